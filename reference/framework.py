"""The base of the reference frameworks: a version ("twin") of each scratch layer, and networks made of these twins.

The parameters of all twins have PyTorch's names and order of axes, to which :func:`reference.copying.layout_of` leads. A framework with other names
or axes translates inside its entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy.typing as npt

import scratch
from crosscheck.core.training import Training
from crosscheck.oracles.optimizers import Settings
from crosscheck.oracles.optimizers.runs import OptimizerOracle
from crosscheck.references.networks import NetworkReference
from reference import copying
from scratch.optimizer import Optimizer

Twin = TypeVar("Twin")
Network = TypeVar("Network", bound=NetworkReference[Any])

Entries = Callable[[Any], Any]

PARAM = "param"
"""The name of the parameter itself among an optimizer's quantities; the other quantities are its states."""


def no_twin(framework: str, thing: object, file: str) -> TypeError:
    """Return the error for a layer, loss or optimizer without an entry in a framework's file."""
    return TypeError(f"no {framework} twin for {type(thing).__name__}; add an entry to {file}")


@dataclass(frozen=True)
class OptimizerTwin:
    """A framework's optimizer with a scratch optimizer's settings, or the closest one that the framework has.

    Attributes
    ----------
    states : mapping of str to str
        The framework's name of each of scratch's states.
    factors : mapping of str to float
        For each state that the framework scales differently, the factor that turns the framework's value into scratch's.
    differs : mapping of str to str
        For each quantity that the framework computes by another formula (a state, or ``"param"``), the difference in words.
    """

    oracle: OptimizerOracle
    states: Mapping[str, str]
    factors: Mapping[str, float] = field(default_factory=dict)
    differs: Mapping[str, str] = field(default_factory=dict)


class Framework(Generic[Twin, Network]):
    """A framework's versions of scratch's layers, losses and networks.

    Parameters
    ----------
    entry : callable
        Returns the twin of a layer or loss, by its class.
    optimizer_entry : callable
        Returns the :class:`OptimizerTwin` for an optimizer's settings.
    kind : type of NetworkReference
        The class of the framework's networks.
    """

    def __init__(self, entry: Entries, optimizer_entry: Entries, kind: type[Network]) -> None:
        self.entry, self.optimizer_entry, self.kind = entry, optimizer_entry, kind

    def twin(self, layer: object) -> Twin:
        """Return the framework's version of a scratch layer or loss; raise a TypeError if it has no entry."""
        twin: Twin = self.entry(layer)
        return twin

    def twins(self, layers: Mapping[str, object]) -> dict[str, Twin]:
        """Return the framework's versions of the layers of a network, by name."""
        return {name: self.twin(layer) for name, layer in layers.items()}

    def optimizer_twin(self, optimizer: object) -> OptimizerTwin:
        """Return the framework's version of a scratch optimizer with its current settings; raise a TypeError if it has no entry."""
        twin: OptimizerTwin = self.optimizer_entry(copying.settings_of(optimizer))
        return twin

    def network(
        self,
        layers: Mapping[str, object],
        loss: object | None,
        settings: Settings,
        frozen: frozenset[str] = frozenset(),
        sources: Mapping[str, tuple[str, ...]] | None = None,
        device: str = "cpu",
        tf32: bool = False,
    ) -> Network:
        """Return the framework's version of a network of named scratch layers, with its loss and its optimizer's settings.

        Parameters
        ----------
        layers : mapping of str to layer
            In the order of the forward pass.
        loss : scratch loss or None
            None if the last layer returns probabilities: the loss is then their negative log-likelihood.
        sources : mapping of str to tuple of str, optional
            The graph, as for :class:`crosscheck.oracles.network.Architecture`; the default is a chain.
        settings, frozen, device, tf32
            As for :class:`crosscheck.references.networks.NetworkReference`.
        """
        return self.kind(self.twins(layers), self.twin(loss), settings, frozen, sources or {}, device, tf32)

    def from_scratch(self, model: scratch.Sequential, optimizer: Optimizer, dtype: npt.DTypeLike | None = None) -> Training:
        """Return the framework's version of a scratch network, with its weights, running statistics, optimizer settings and optimizer state."""
        settings, frozen, sources = copying.settings_of(optimizer), frozenset(model.frozen), copying.sources_of(model)
        network = self.network(model.layers, scratch.SoftmaxCrossEntropy(), settings, frozen, sources)
        training = network.training(next(iter(model.params.values())).dtype if dtype is None else dtype)
        training.load(copying.to_reference(model, optimizer))
        return training
