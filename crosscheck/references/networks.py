"""What reference networks of all frameworks share: their declaration, their snapshots, and the order of quantities in a trace."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from crosscheck.core.training import AnyArray, Training, TrainState
from crosscheck.oracles.network import LOSS, Architecture, wired
from crosscheck.oracles.optimizers import Settings

Layer = TypeVar("Layer")


@dataclass(frozen=True)
class NetworkReference(ABC, Generic[Layer]):
    """A reference network: named layers and their connections, a loss, and an optimizer's settings.

    Attributes
    ----------
    name : str
        Framework and version, for reports.
    converted : frozenset of str
        Optimizer states that the framework defines differently from PyTorch, so that they are converted in both directions.
    layers : mapping of str to layer
        In the order of the forward pass.
    loss : layer
        Gets the last output and the labels.
    frozen : frozenset of str
        Layers whose parameters are not trained.
    sources : mapping of str to tuple of str
        As for :class:`crosscheck.oracles.network.Architecture`.
    device : str
        Where oracles and references are computed, such as ``"cuda:0"``; one that cannot be used is a :class:`DeviceError`.
    tf32 : bool
        Whether references in float32 may multiply in TF32 on a GPU.
    """

    name: ClassVar[str]
    converted: ClassVar[frozenset[str]] = frozenset()

    layers: Mapping[str, Layer]
    loss: Layer
    settings: Settings
    frozen: frozenset[str] = frozenset()
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    device: str = "cpu"
    tf32: bool = False

    @cached_property
    def wiring(self) -> dict[str, tuple[str, ...]]:
        """For every layer and for the loss, the names of the layers whose outputs it gets."""
        return wired(list(self.layers), self.sources)

    @property
    @abstractmethod
    def place(self) -> str:
        """The device, with the model of a GPU, for reports."""

    @property
    @abstractmethod
    def architecture(self) -> Architecture:
        """The oracles of layers, loss and optimizer."""

    @abstractmethod
    def training(self, dtype: npt.DTypeLike = np.float64, noise: Mapping[tuple[str, str], float] | None = None, seed: int = 0) -> Training:
        """Return a reference that trains on its own."""


def below(arrays: Mapping[str, Any], layer: str) -> dict[str, Any]:
    """Return the arrays whose names begin with ``layer.``, without that prefix."""
    return {name.removeprefix(f"{layer}."): value for name, value in arrays.items() if name.rpartition(".")[0] == layer}


def kept_arrays(training: Training) -> dict[str, AnyArray]:
    """Return the parameters, the buffers and the optimizer's state of a training as one dict of arrays, for a snapshot."""
    arrays = {f"params/{name}": value for name, value in training.params.items()}
    arrays |= {f"buffers/{name}": value for name, value in training.buffers.items()}
    return arrays | {f"optimizer/{state}/{name}": value for name, own in training.state.items() for state, value in own.items()}


def kept_state(arrays: Mapping[str, AnyArray]) -> TrainState:
    """Return the training state that the arrays of a snapshot hold; snapshots of version 0.1 have other names, which are read, too."""
    params, buffers, states = dict[str, AnyArray](), dict[str, AnyArray](), dict[str, dict[str, AnyArray]]()
    for key, value in arrays.items():
        kind, _, name = key.partition("/")
        if kind in ("optimizer", "state"):
            state, _, name = name.partition("/")
            states.setdefault(name, {})[state] = value
        for own in {"params": (params,), "buffers": (buffers,), "tensor": (params, buffers)}.get(kind, ()):
            own[name] = value
    return TrainState(params, states, buffers)


def in_order(names: Sequence[str], step: Mapping[str, Mapping[str, Any]], loss: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield layer, quantity and value of everything that a step computed, in execution order.

    ``step`` has ``input``, ``output``, ``grad_output`` and ``grad_input``, each by layer, as far as known; ``grads`` of parameters and new
    ``buffers``, each by ``layer.name``.
    """
    for name in names:
        yield name, "input", step["input"][name]
        yield name, "output", step["output"][name]
        yield from ((name, own, value) for own, value in below(step["buffers"], name).items())
    yield LOSS, "input", step["output"][names[-1]]
    yield LOSS, "output", loss
    for name in [LOSS, *reversed(names)]:
        yield from ((name, quantity, step[quantity][name]) for quantity in ("grad_output", "grad_input") if name in step[quantity])
        yield from ((name, f"{own}.grad", value) for own, value in below(step["grads"], name).items())
