"""PyTorch: all that a training remembers between two steps, whatever its optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from crosscheck.frameworks.pytorch import array, tensor
from crosscheck.snapshot import AnyArray, Snapshot
from crosscheck.update.rules import COUNTERS


def taken(tensors: Mapping[str, torch.Tensor], optimizer: Any, generator: torch.Generator) -> Snapshot:
    """Return the state of a training.

    Parameters
    ----------
    tensors : mapping of str to torch.Tensor
        All parameters and buffers.
    optimizer : torch.optim.Optimizer or None
    generator : torch.Generator
    """
    arrays: dict[str, AnyArray] = {"generator": array(generator.get_state())}
    for name, value in tensors.items():
        arrays[f"tensor/{name}"] = array(value)
        own = {} if optimizer is None else optimizer.state.get(value, {})
        arrays.update({f"optimizer/{state}/{name}": array(kept) for state, kept in own.items() if kept is not None})
    return Snapshot(arrays, {})


def given(snapshot: Snapshot, tensors: Mapping[str, torch.Tensor], optimizer: Any, generator: torch.Generator) -> None:
    """Take over what :func:`taken` returned of a training with the same tensors and optimizer."""
    generator.set_state(tensor(snapshot.arrays["generator"]))
    with torch.no_grad():
        for name, value in tensors.items():
            value.copy_(tensor(snapshot.arrays[f"tensor/{name}"]))
    if optimizer is None:
        return
    optimizer.state.clear()
    for key, kept in snapshot.arrays.items():
        kind, _, place = key.partition("/")
        if kind == "optimizer":
            state, _, name = place.partition("/")
            optimizer.state[tensors[name]][state] = state_tensor(state, kept, tensors[name].device)


def state_tensor(name: str, value: AnyArray, device: torch.device) -> torch.Tensor:
    """Return a state of an optimizer as PyTorch keeps it: where its parameter is, and a counter on the CPU."""
    return tensor(value) if name in COUNTERS else tensor(value, device)
