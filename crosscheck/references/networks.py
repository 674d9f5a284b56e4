"""What networks that train have in common in every framework: what they are made of, what they keep, and the order in which a trace shows a step."""

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
    """Named layers with their wiring, their loss and their optimizer's settings: an architecture, and references that train.

    Attributes
    ----------
    name : str
        Framework and version, for reports.
    converted : frozenset of str
        States that the framework's optimizer keeps in another form than PyTorch's, from which and to which they are converted.
    layers : mapping of str to layer
        In the order of the forward pass.
    loss : layer
        Gets the last output and the labels.
    frozen : frozenset of str
        Layers whose parameters do not train.
    sources : mapping of str to tuple of str
        As for :class:`crosscheck.oracles.network.Architecture`.
    device : str
        Where oracles and references are computed: ``"cuda:0"``.
    tf32 : bool
        Whether references in float32 may multiply in TF32 on a GPU.

    Raises
    ------
    DeviceError
        If the device cannot be computed on.
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
        """The sources of every layer and of the loss."""
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
    """Return the arrays of one layer by their own names, of those named ``layer.name``."""
    return {name.removeprefix(f"{layer}."): value for name, value in arrays.items() if name.rpartition(".")[0] == layer}


def kept_arrays(training: Training) -> dict[str, AnyArray]:
    """Return all parameters, buffers and states of the optimizer of a training by name, for a snapshot."""
    arrays = {f"params/{name}": value for name, value in training.params.items()}
    arrays |= {f"buffers/{name}": value for name, value in training.buffers.items()}
    return arrays | {f"optimizer/{state}/{name}": value for name, own in training.state.items() for state, value in own.items()}


def kept_state(arrays: Mapping[str, AnyArray]) -> TrainState:
    """Return what a training goes on from, of the arrays of a snapshot; those that version 0.1 kept have other names."""
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

    Parameters
    ----------
    step : mapping of str to mapping
        By layer, what is found of ``input``, ``output``, ``grad_output`` and ``grad_input``, that of the loss included; named ``layer.name``, the
        ``grads`` of parameters and the new ``buffers``.
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
