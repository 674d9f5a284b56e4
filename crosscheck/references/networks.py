"""What networks that train have in common in every framework: what they are made of, what they keep, and the order in which a trace shows a step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from crosscheck.core.training import AnyArray, Training, TrainState
from crosscheck.oracles.network import LOSS, wired
from crosscheck.oracles.optimizers import Settings

Layer = TypeVar("Layer")


@dataclass(frozen=True)
class NetworkReference(Generic[Layer]):
    """Named layers with their wiring, their loss and their optimizer's settings: an architecture, and references that train.

    Attributes
    ----------
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
