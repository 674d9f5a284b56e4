"""Save and restore the state of a scratch network in training: parameters, buffers, the optimizer's state, and random generators.

A restored network continues bit for bit. Its weights alone (parameters and buffers) can be saved in a plain safetensors file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from crosscheck.core.training import Snapshot
from training.checkpoints import AnyArrays, Arrays, CheckpointError, read_arrays, write_arrays


@contextmanager
def evaluation(model: Any) -> Iterator[None]:
    """Inside this context, every layer is in evaluation mode; afterwards, each layer has its previous mode again."""
    before = [(layer, layer.training) for layer in model.layers.values()]
    model.eval()
    try:
        yield
    finally:
        for layer, mode in before:
            layer.training = mode


def weights(model: Any) -> AnyArrays:
    """Return the arrays of all parameters and buffers, not copied, named ``layer.parameter``."""
    return {f"{name}.{own}": value for name, layer in model.layers.items() for own, value in {**layer.params, **layer.buffers}.items()}


def save_weights(model: Any, path: Path) -> None:
    """Write parameters and buffers to a safetensors file, atomically."""
    write_arrays(path, weights(model), {})


def load_weights(model: Any, path: Path) -> None:
    """Load parameters and buffers from a safetensors file; nothing is converted or transposed.

    CheckpointError lists all names, shapes and dtypes that differ from the network's.
    """
    arrays, _ = read_arrays(path, "the weights of a network")
    _take_over(weights(model), arrays, f"{path}: not the weights of this network")


def _take_over(ours: Arrays, found: Arrays, complaint: str) -> None:
    """Copy the arrays of ``found`` into those of ``ours`` with the same names; the names, shapes and dtypes have to agree."""
    faults = [f"missing: {', '.join(missing)}"] if (missing := [name for name in ours if name not in found]) else []
    faults += [f"unexpected: {', '.join(others)}"] if (others := [name for name in found if name not in ours]) else []
    for name in ours:
        if name in found and (found[name].shape, found[name].dtype) != (ours[name].shape, ours[name].dtype):
            faults.append(f"{name} is {found[name].dtype} {found[name].shape}, expected {ours[name].dtype} {ours[name].shape}")
    if faults:
        raise CheckpointError(f"{complaint} ({'; '.join(faults)}); name the file of a network of the same layers and precision")
    for name, value in ours.items():
        value[...] = found[name]


def snapshot(model: Any, optimizer: Any) -> Snapshot:
    """Return the whole state of a network in training, as arrays and as data for JSON."""
    arrays = {f"weights/{name}": value.copy() for name, value in weights(model).items()}
    arrays |= {f"optimizer/{state}/{name}": value.copy() for state, own in optimizer.state.items() for name, value in own.items()}
    return Snapshot(arrays, {"generators": {name: rng.bit_generator.state for name, rng in _generators(model)}})


def restore(model: Any, optimizer: Any, snapshot: Snapshot) -> None:
    """Restore a snapshot; raise CheckpointError if it belongs to another network."""
    _take_over(weights(model), _below(snapshot.arrays, "weights/"), "the checkpoint is not of this network")
    for state, own in optimizer.state.items():
        own.clear()
        own.update(_below(snapshot.arrays, f"optimizer/{state}/"))
    for name, rng in _generators(model):
        rng.bit_generator.state = snapshot.facts["generators"][name]


def _below(arrays: Arrays, prefix: str) -> AnyArrays:
    return {name.removeprefix(prefix): np.array(value) for name, value in arrays.items() if name.startswith(prefix)}


def _generators(model: Any) -> Iterator[tuple[str, np.random.Generator]]:
    """Yield the random generators of the layers, by name."""
    for name, layer in model.layers.items():
        for attribute, value in vars(layer).items():
            if isinstance(value, np.random.Generator):
                yield f"{name}.{attribute}", value
