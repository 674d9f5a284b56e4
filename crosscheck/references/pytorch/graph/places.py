"""Joining, repeating, padding and rearranging tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from crosscheck.oracles.graph.graph import At
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.pytorch.graph.indexing import take_at
from crosscheck.references.pytorch.graph.steps import Rule, Steps


def _concatenate(t: Steps, tensors: Sequence[At], dim: int = 0) -> At:
    # PyTorch lets an empty tensor of one axis be joined with anything.
    parts = [one for one in tensors if t.shape(one) != (0,)] or list(tensors[:1])
    return parts[0] if len(parts) == 1 else t.add("concatenate", *parts, axis=dim % len(t.shape(parts[0])))


def _stack(t: Steps, tensors: Sequence[At], dim: int = 0) -> At:
    return t.add("stack", *tensors, axis=dim % len(t.out.shape))


def _repeat(t: Steps, x: At, repeats: Sequence[int]) -> At:
    x = t.reshape(x, (*[1] * (len(repeats) - len(t.shape(x))), *t.shape(x)))
    for axis, count in enumerate(repeats):
        if count == 0:
            raise NoGraphError("a tensor is repeated no times")
        if count > 1:
            x = t.add("concatenate", *[x] * count, axis=axis)
    return x


def _each_repeated(t: Steps, x: At, repeats: Any, dim: int | None = None, **options: Any) -> At:
    if isinstance(repeats, At):
        raise NoGraphError("numbers are repeated computed times")
    if dim is None:
        x, dim = t.reshape(x, (math.prod(t.shape(x)),)), 0
    axis = dim % len(t.shape(x))
    before, length, after = t.shape(x)[:axis], t.shape(x)[axis], t.shape(x)[axis + 1 :]
    wide = t.expand(t.reshape(x, (*before, length, 1, *after)), (*before, length, repeats, *after))
    return t.reshape(wide, (*before, length * repeats, *after))


def _flip(t: Steps, x: At, dims: Any) -> At:
    return t.add("flip", x, axes=t.axes(x, dims)) if dims else x


def _roll(t: Steps, x: At, shifts: Any, dims: Any = ()) -> At:
    shape = t.shape(x)
    shifts, dims = ([one] if isinstance(one, int) else list(one) for one in (shifts, dims))
    if not dims:
        return t.reshape(t.add("roll", t.reshape(x, (math.prod(shape),)), shift=shifts[0], axis=0), shape)
    for shift, axis in zip(shifts, t.axes(x, dims), strict=True):
        x = t.add("roll", x, shift=shift, axis=axis)
    return x


def _pad(t: Steps, x: At, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> At:
    pairs = [(pad[2 * k], pad[2 * k + 1]) for k in range(len(pad) // 2)][::-1]
    lead = len(t.shape(x)) - len(pairs)
    if mode == "constant":
        border: dict[str, Any] = {"fill": float(value)} if value else {}
        return t.add("pad", x, widths=(*[(0, 0)] * lead, *pairs), **border)
    kind: Any = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    for axis, widths in enumerate(pairs, lead):
        if any(widths):
            length = t.shape(x)[axis]
            cut = np.arange(length)[max(0, -widths[0]) : length - max(0, -widths[1])]
            x = take_at(t, x, t.constant(np.pad(cut, [(max(0, widths[0]), max(0, widths[1]))], mode=kind)), axis)
    return x


def _nearest(t: Steps, x: At, *given: Any, **options: Any) -> At:
    """Add an image of another size, each of whose pixels is the nearest one of the given image."""
    places = t.shape(x)[2:]
    for axis, length in enumerate(places):
        numbers = np.broadcast_to(np.arange(length, dtype=np.float64).reshape(-1, *[1] * (len(places) - axis - 1)), (1, 1, *places))
        chosen = t.function(torch.from_numpy(numbers.copy()), *given, **options).numpy()
        ids = np.moveaxis(chosen, axis + 2, -1).reshape(-1, chosen.shape[axis + 2])[0]
        x = take_at(t, x, t.constant(ids.astype(np.int64)), axis + 2)
    return x


def _triangle(operation: str) -> Rule:
    return lambda t, x, diagonal=0: t.add(operation, x, k=diagonal)


def _shuffled(t: Steps, x: At, factor: int) -> At:
    """Add a pixel shuffle: channels become pixels."""
    *lead, channels, rows, columns = t.shape(x)
    n = len(lead)
    parts = t.reshape(x, (*lead, channels // factor**2, factor, factor, rows, columns))
    return t.reshape(t.transpose(parts, (*range(n), n, n + 3, n + 1, n + 4, n + 2)), (*lead, channels // factor**2, rows * factor, columns * factor))


def _unshuffled(t: Steps, x: At, factor: int) -> At:
    *lead, channels, rows, columns = t.shape(x)
    n = len(lead)
    parts = t.reshape(x, (*lead, channels, rows // factor, factor, columns // factor, factor))
    return t.reshape(t.transpose(parts, (*range(n), n, n + 2, n + 4, n + 1, n + 3)), (*lead, channels * factor**2, rows // factor, columns // factor))


def _trace(t: Steps, x: At) -> At:
    rows, columns = t.shape(x)
    length = min(rows, columns)
    diagonal = t.add("index", t.reshape(x, (rows * columns,)), key=(slice(0, (length - 1) * (columns + 1) + 1, columns + 1),))
    return t.add("sum", diagonal, axes=(0,), keepdims=False)


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("cat", "concat", "concatenate"), _concatenate),
    "stack": _stack,
    "repeat": _repeat,
    "repeat_interleave.self_int": _each_repeated,
    "flip": _flip,
    "roll": _roll,
    "pad": _pad,
    "constant_pad_nd": lambda t, x, pad, value=0: _pad(t, x, pad, "constant", value),
    **{f"reflection_pad{d}d": lambda t, x, pad: _pad(t, x, pad, "reflect") for d in (1, 2, 3)},
    **{f"replication_pad{d}d": lambda t, x, pad: _pad(t, x, pad, "replicate") for d in (1, 2, 3)},
    "tril": _triangle("tril"),
    "triu": _triangle("triu"),
    "pixel_shuffle": _shuffled,
    "pixel_unshuffle": _unshuffled,
    "trace": _trace,
    **{f"upsample_nearest{d}d": _nearest for d in (1, 2, 3)},
    **{f"_upsample_nearest_exact{d}d": _nearest for d in (1, 2, 3)},
}
"""The rules by the names of PyTorch's operations."""
