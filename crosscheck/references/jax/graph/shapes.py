"""Primitives that put numbers at other places: other shapes, other orders, parts, and parts joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crosscheck.oracles.graph.graph import At
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.jax.graph.steps import Operand, Wide, uniform
from crosscheck.references.jax.graph.translate import Rule, Translation

Params = Mapping[str, Any]


def _broadcast(t: Translation, params: Params, x: Operand) -> Operand:
    shape, axes = tuple(params["shape"]), tuple(params["broadcast_dimensions"])
    if isinstance(x, Wide):
        x = x.at if len(t.shape(x.at)) == len(x.shape) else t.at(x)
    assert isinstance(x, At)
    own = t.shape(x)
    # NumPy adds axes in front by itself.
    if axes == tuple(range(len(shape) - len(own), len(shape))):
        return t.wide(x, shape)
    spread = [1] * len(shape)
    for axis, size in zip(axes, own, strict=True):
        spread[axis] = size
    return t.wide(t.reshape(x, spread), shape)


def _reshape(t: Translation, params: Params, x: Operand) -> Operand:
    shape = tuple(params["new_sizes"])
    if isinstance(x, At) and len(shape) > len(t.shape(x)) and shape == (*[1] * (len(shape) - len(t.shape(x))), *t.shape(x)):
        return Wide(x, shape)
    return t.reshape(t.at(x), shape)


def _squeeze(t: Translation, params: Params, x: Operand) -> Operand:
    """Remove axes of length 1; of a part that was taken with slices, their numbers are taken instead."""
    axes = {axis % len(t.shape(x)) for axis in params["dimensions"]}
    if isinstance(x, Wide) and t.shape(x.at) == x.shape[-len(t.shape(x.at)) :] and axes == set(range(len(x.shape) - len(t.shape(x.at)))):
        return x.at
    step = t.step(x)
    if isinstance(x, At) and step.operation == "index" and all(isinstance(one, slice) for one in step.settings["key"]):
        key = [*step.settings["key"], *[slice(None)] * (len(t.shape(x)) - len(step.settings["key"]))]
        if all(key[axis] != slice(None) for axis in axes):
            taken = [one.start or 0 if axis in axes else one for axis, one in enumerate(key)]
            return t.index(step.sources[0], taken)
    return t.reshape(t.at(x), [size for axis, size in enumerate(t.shape(x)) if axis not in axes])


def _expand_dims(t: Translation, params: Params, x: Operand) -> Operand:
    return t.reshape(t.at(x), t.out.shape)


def part(length: int, start: int, end: int, step: int = 1) -> slice:
    """Return a slice as people write it."""
    if start == 0 and end == length and step == 1:
        return slice(None)
    return slice(int(start), int(end)) if step == 1 else slice(int(start), int(end), int(step))


def _slice(t: Translation, params: Params, x: Operand) -> Operand:
    steps = params["strides"] or [1] * len(t.shape(x))
    given = zip(t.shape(x), params["start_indices"], params["limit_indices"], steps, strict=True)
    return t.index(t.at(x), [part(*one) for one in given])


def _pad(t: Translation, params: Params, x: Operand, fill: Operand) -> Operand:
    """Add a border; zeros between the numbers are an array of zeros in which the numbers have their places."""
    number = None if isinstance(fill, At | Wide) else uniform(fill)
    if number is None:
        raise NoGraphError("a border consists of a computed number")
    at, config = t.at(x), params["padding_config"]
    if any(between for _, _, between in config):
        if number:
            raise NoGraphError("numbers are put between others")
        shape = [size + max(0, size - 1) * between for size, (_, _, between) in zip(t.shape(at), config, strict=True)]
        key = tuple(slice(None, None, between + 1) if between else slice(None) for _, _, between in config)
        at = t.add("place", at, shape=tuple(shape), key=key)
    return t.padded(at, [(before, after) for before, after, _ in config], float(number))


def _concatenate(t: Translation, params: Params, *parts: Operand) -> Operand:
    """Join arrays; arrays that got a new axis for it are stacked."""
    axis, given = params["dimension"], [t.at(one) for one in parts]
    if len(given) == 1:
        return given[0]
    inner = [_without_axis(t, one, axis) for one in given]
    if all(one is not None for one in inner) and all(t.shape(one)[axis] == 1 for one in given):
        return t.add("stack", *(one for one in inner if one is not None), axis=axis)
    return t.add("concatenate", *given, axis=axis)


def _without_axis(t: Translation, at: At, axis: int) -> At | None:
    """Return the step that got a new axis in this one."""
    step, shape = t.graph.steps[at], t.shape(at)
    if step.operation == "reshape" and t.shape(step.sources[0]) == (*shape[:axis], *shape[axis + 1 :]) and shape[axis] == 1:
        return step.sources[0]
    return None


def _split(t: Translation, params: Params, x: Operand) -> list[Operand]:
    axis, start, found = params["axis"], 0, []
    at = t.at(x)
    for size in params["sizes"]:
        found.append(t.index(at, [*[slice(None)] * axis, part(t.shape(at)[axis], start, start + size)]))
        start += size
    return list(found)


def _unstack(t: Translation, params: Params, x: Operand) -> list[Operand]:
    at, axis = t.at(x), params["axis"]
    return [t.index(at, [*[slice(None)] * axis, number]) for number in range(t.shape(at)[axis])]


def _tile(t: Translation, params: Params, x: Operand) -> Operand:
    at, reps = t.at(x), params["reps"]
    shape = t.shape(at)
    spread = [size for one in shape for size in (1, one)]
    wide = [size for count, one in zip(reps, shape, strict=True) for size in (count, one)]
    return t.reshape(t.add("expand", t.reshape(at, spread), shape=tuple(wide)), t.out.shape)


def starts_of(sizes: Sequence[int], shape: Sequence[int], starts: Sequence[Any]) -> list[int]:
    """Return known first indices of a part, moved so that the part lies within the array, as JAX does."""
    return [int(np.clip(start, 0, length - size)) for start, length, size in zip(starts, shape, sizes, strict=True)]


def _dynamic_slice(t: Translation, params: Params, x: Operand, *starts: Operand) -> Operand:
    at, sizes = t.at(x), params["slice_sizes"]
    if not any(isinstance(start, At | Wide) for start in starts):
        firsts = starts_of(sizes, t.shape(at), starts)
        return t.index(at, [part(length, start, start + size) for length, start, size in zip(t.shape(at), firsts, sizes, strict=True)])
    for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        length = t.shape(at)[axis]
        if not isinstance(start, At | Wide):
            (first,) = starts_of([size], [length], [start])
            at = t.index(at, [*[slice(None)] * axis, part(length, first, first + size)])
            continue
        if not 0 <= int(t.value(start)) <= length - size:
            raise NoGraphError("a part of an array begins outside of it")
        ids = t.add("add", t.at(start), t.graph.constant(np.arange(size)))
        at = t.moved(t.add("take", t.moved(at, axis, 0), ids), 0, axis)
    return at


def _dynamic_update(t: Translation, params: Params, x: Operand, new: Operand, *starts: Operand) -> Operand:
    if any(isinstance(start, At | Wide) for start in starts):
        raise NoGraphError("a part of an array is replaced at a computed place")
    sizes = t.shape(new)
    first = starts_of(sizes, t.shape(x), starts)
    return replaced(t, x, t.at(new), [part(length, start, start + size) for length, start, size in zip(t.shape(x), first, sizes, strict=True)])


def replaced(t: Translation, x: Operand, new: At, key: Sequence[int | slice]) -> At:
    """Return an array in which a part was replaced; of an array of zeros, the part at its place."""
    if all(one == slice(None) for one in key):
        return new
    if not isinstance(x, At | Wide) and uniform(x) == 0:
        return t.add("place", new, shape=t.shape(x), key=tuple(key))
    return t.add("replace_at", t.at(x), new, key=tuple(key))


RULES: Mapping[str, Rule] = {
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "expand_dims": _expand_dims,
    "transpose": lambda t, params, x: t.transpose(t.at(x), params["permutation"]),
    "rev": lambda t, params, x: t.add("flip", t.at(x), axes=tuple(params["dimensions"])) if params["dimensions"] else x,
    "slice": _slice,
    "pad": _pad,
    "concatenate": _concatenate,
    "stack": lambda t, params, *parts: t.add("stack", *(t.at(one) for one in parts), axis=params["axis"]),
    "split": _split,
    "unstack": _unstack,
    "tile": _tile,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update,
}
"""The rules by the names of JAX's primitives."""
