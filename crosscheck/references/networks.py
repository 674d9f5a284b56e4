"""Shared code for the reference networks of all frameworks: declaration, snapshots, and the order of quantities in a trace."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

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
    layers : mapping of str to layer
        The layers, in the order of the forward pass.
    loss : layer
        The loss, which gets the last output and the labels.
    frozen : frozenset of str
        Layers whose parameters are not trained.
    sources : mapping of str to tuple of str
        As for :class:`crosscheck.oracles.network.Architecture`.
    device : str
        The device that computes oracles and references, such as ``"cuda:0"``; an unusable device raises :class:`DeviceError`.
    tf32 : bool
        Whether references in float32 may multiply in TF32 on a GPU.
    """

    layers: Mapping[str, Layer]
    loss: Layer
    settings: Settings
    frozen: frozenset[str] = frozenset()
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    device: str = "cpu"
    tf32: bool = False

    @property
    @abstractmethod
    def name(self) -> str:
        """The framework and its version, for reports."""

    @property
    def converted(self) -> frozenset[str]:
        """Names of optimizer states that the framework defines differently from PyTorch; they are converted in both directions."""
        return frozenset()

    @cached_property
    def wiring(self) -> dict[str, tuple[str, ...]]:
        """The sources of every layer and of the loss: the names of the layers whose outputs are summed to form its input."""
        return wired(list(self.layers), self.sources)

    @property
    @abstractmethod
    def place(self) -> str:
        """The device and, for a GPU, its model, for reports."""

    @property
    @abstractmethod
    def architecture(self) -> Architecture:
        """The oracles of the layers, the loss and the optimizer, with their connections."""

    @abstractmethod
    def training(self, dtype: npt.DTypeLike = np.float64, noise: Mapping[tuple[str, str], float] | None = None, seed: int = 0) -> Training:
        """Return a reference that trains independently of the subject."""


def below(arrays: Mapping[str, Any], layer: str) -> dict[str, Any]:
    """Return the arrays whose names are ``layer.name``, keyed by ``name``."""
    return {name.removeprefix(f"{layer}."): value for name, value in arrays.items() if name.rpartition(".")[0] == layer}


def kept_arrays(training: Training) -> dict[str, AnyArray]:
    """Return a training's parameters, buffers and optimizer state in one dict of arrays, for a snapshot."""
    arrays = {f"params/{name}": value for name, value in training.params.items()}
    arrays |= {f"buffers/{name}": value for name, value in training.buffers.items()}
    return arrays | {f"optimizer/{state}/{name}": value for name, own in training.state.items() for state, value in own.items()}


def kept_state(arrays: Mapping[str, AnyArray]) -> TrainState:
    """Return the training state from the arrays of a snapshot. Snapshots of version 0.1, with different names, can also be read."""
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
    """Yield the layer, the quantity and the value of each array that a step computed, in execution order.

    ``step`` has the entries ``input``, ``output``, ``grad_output`` and ``grad_input``, each a dict of the known arrays by layer, and the parameters'
    ``grads`` and new ``buffers``, each a dict by ``layer.name``.
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
