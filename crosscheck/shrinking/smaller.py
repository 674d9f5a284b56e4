"""Make calls smaller and plainer: cut parts out of the arrays, and replace numbers by plainer numbers.

A part of the original input keeps what a fault may need, such as ties, signed zeros or logits of 1000; a new, smaller input might not have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.arguments import Argument, Inputs, Integers, Mask, name_in_call
from crosscheck.core.inputs import arranged, memory_of
from crosscheck.core.operation import DECISIONS, Call, Shape
from crosscheck.core.precision import Array

Axis = tuple[str, int]
"""The name of an array, such as ``inputs.input`` or ``params.weight``, and the number of an axis."""

AnyArrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Linked:
    """Axes that must have equal length and so are cut together, such as an input's features and its weight's columns."""

    axes: tuple[Axis, ...]
    length: int


@dataclass(frozen=True)
class Taken:
    """What a call's array is: what the pair declares of it and, for ids and labels, the axes whose length they stay below."""

    argument: Argument
    limits: tuple[Axis, ...] = ()


def taken(inputs: Inputs, call: Call) -> dict[str, Taken]:
    """Return what the arrays of a call are, by their names, such as ``constants.ids``; those with another number of axes are left out."""
    given = _named(call)
    found: dict[str, Argument] = {}
    for own, one in inputs.items():
        name = f"inputs.{name_in_call(own, inputs)}" if one.gradient else f"constants.{own}"
        if name in given and given[name].ndim == len(one.axes):
            found[name] = one
    return {name: Taken(one, _limits(one, found, given)) for name, one in found.items()}


def _limits(one: Argument, found: Mapping[str, Argument], given: AnyArrays) -> tuple[Axis, ...]:
    if not isinstance(one, Integers):
        return ()
    if isinstance(one.below, str):
        return tuple((name, number) for name, other in found.items() for number, axis in enumerate(other.axes) if axis == one.below)
    tables = {name: value for name, value in given.items() if value.dtype.kind == "f" and not name.startswith("buffers.")}
    return tuple((name, number) for name, value in tables.items() for number, length in enumerate(value.shape) if length == one.below)


def linked_axes(call: Call, fixed: Callable[[int], bool]) -> list[Linked]:
    """Group the axes longer than 1 by length. ``fixed`` says which lengths must not be cut if a parameter has them."""
    lengths: dict[int, list[Axis]] = {}
    for name, value in _named(call).items():
        for axis, length in enumerate(value.shape):
            lengths.setdefault(length, []).append((name, axis))
    free = {length: axes for length, axes in lengths.items() if length > 1 and not (fixed(length) and any(map(_is_parameter, axes)))}
    return [Linked(tuple(axes), length) for length, axes in free.items()]


def _named(call: Call) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays whose axes may be cut, by name."""
    groups = {"inputs": call.inputs, "params": call.params, "buffers": call.buffers, "constants": call.constants}
    return {f"{group}.{name}": value for group, arrays in groups.items() for name, value in arrays.items() if name != DECISIONS}


def _is_parameter(axis: Axis) -> bool:
    return axis[0].startswith(("params.", "buffers."))


def input_axes(call: Call, what: Mapping[str, Taken]) -> list[Linked]:
    """Return the inputs' axes longer than 1 in groups of the same name; an axis without a name is alone."""
    groups: dict[str | Axis, list[Axis]] = {}
    given = {name: value for name, value in _named(call).items() if not name.startswith(("params.", "buffers."))}
    for name, value in given.items():
        axes = what[name].argument.axes if name in what else range(value.ndim)
        for number, axis in enumerate(axes):
            groups.setdefault(axis if isinstance(axis, str) else (name, number), []).append((name, number))
    linked = [Linked(tuple(axes), given[axes[0][0]].shape[axes[0][1]]) for axes in groups.values()]
    return [each for each in linked if each.length > 1]


def window(call: Call, cuts: Mapping[Axis, slice], output_shapes: Callable[[Call], Mapping[str, Shape]], what: Mapping[str, Taken]) -> Call:
    """Return a call on a part of each array; ids and labels stay in range, and upstream gradients are cut to fit the outputs."""

    def cut(group: str, arrays: AnyArrays) -> dict[str, Any]:
        return {name: value[tuple(cuts.get((f"{group}.{name}", axis), slice(None)) for axis in range(value.ndim))] for name, value in arrays.items()}

    given = _named(call)
    constants = cut("constants", call.constants)
    for name, value in constants.items():
        if (own := what.get(f"constants.{name}")) is not None:
            constants[name] = _valid(
                value, call.constants[name], own, [(given[array].shape[axis], cuts.get((array, axis))) for array, axis in own.limits]
            )
    inputs, params, buffers = cut("inputs", call.inputs), cut("params", call.params), cut("buffers", call.buffers)
    smaller = replace(call, inputs=inputs, params=params, cotangents={}, constants=constants, buffers=buffers)
    if not call.cotangents:
        return smaller
    first = next((f"inputs.{name}" for name in call.inputs), next((f"constants.{name}" for name in call.constants), ""))
    # On an axis that input and output share, such as the batch, the same part of the upstream gradient is kept.
    beside = [cuts.get((first, axis), slice(None)) for axis in range(call.x.ndim)]
    along = list(zip(beside, call.x.shape, smaller.x.shape, strict=True))
    shapes = output_shapes(smaller)
    return replace(smaller, cotangents={name: _cut(value, shapes[name], along) for name, value in call.cotangents.items()})


def _valid(part: npt.NDArray[Any], whole: npt.NDArray[Any], what: Taken, limits: Sequence[tuple[int, slice | None]]) -> npt.NDArray[Any]:
    """Return a part of ids or labels in range again, and of a mask with a place that takes part in each row, if this was so before."""
    one = what.argument
    if isinstance(one, Mask) and part.ndim and (whole != one.hidden).any(axis=-1).all():
        part = part.copy()
        part[..., 0] ^= (part == one.hidden).all(axis=-1)
    for length, cut in limits:
        if cut is not None:
            inside = (part >= 0) & (part < length)  # ignored labels and paddings may lie outside
            inside &= part != getattr(one, "ignored", None)
            part = np.where(inside, np.clip(part - cut.start, 0, cut.stop - cut.start - 1), part)
    return part


def _cut(grad_output: Array, shape: Shape, beside: Sequence[tuple[slice, int, int]]) -> Array:
    """Return the part of an upstream gradient that fits an output; if a smaller kernel made the output larger, repeat the gradient's numbers."""
    if len(shape) != grad_output.ndim or any(new > old for new, old in zip(shape, grad_output.shape, strict=True)):
        return arranged(np.resize(grad_output, shape), memory_of(grad_output))
    cuts = [slice(size) for size in shape]
    for axis, (cut, old, new) in enumerate(beside[: len(shape)]):
        if (old, new) == (grad_output.shape[axis], shape[axis]):
            cuts[axis] = cut
    return grad_output[tuple(cuts)]


def memory_orders(call: Call) -> dict[str, str]:
    """Return the memory orders of the inputs and upstream gradients, by name."""
    return {name: memory_of(value) for name, value in (*call.inputs.items(), *call.cotangents.items())}


def copied(call: Call, memory: Mapping[str, str]) -> Call:
    """Return a copy of a call; ``memory`` names the memory orders of inputs and upstream gradients, as :func:`memory_orders` does."""
    params, buffers = ({name: np.array(value, order="C") for name, value in arrays.items()} for arrays in (call.params, call.buffers))
    inputs, cotangents = (
        {name: arranged(value, memory.get(name, "C")) for name, value in arrays.items()} for arrays in (call.inputs, call.cotangents)
    )
    constants = {name: value.copy() for name, value in call.constants.items()}
    return replace(call, inputs=inputs, params=params, cotangents=cotangents, constants=constants, buffers=buffers)


def numbers_of(call: Call) -> Array:
    """Return the numbers of a call that may be replaced, as one row: input, parameters, upstream gradient, but not running statistics."""
    arrays = _arrays(call)
    return np.concatenate([np.ravel(array) for array in arrays]) if arrays else np.empty(0)


def with_numbers(call: Call, numbers: Array) -> Call:
    """Return a call with the same shapes and other numbers, in the order of :func:`numbers_of`."""
    parts = iter([numbers[indices].reshape(array.shape) for indices, array in zip(whole_arrays(call), _arrays(call), strict=True)])
    inputs, params, cotangents = ({name: next(parts) for name in arrays} for arrays in (call.inputs, call.params, call.cotangents))
    return replace(call, inputs=inputs, params=params, cotangents=cotangents)


def _arrays(call: Call) -> list[Array]:
    return [*call.inputs.values(), *call.params.values(), *call.cotangents.values()]


def _quarters(numbers: Array) -> Array:
    """Return the nearest multiples of 1/4 between -8 and 8."""
    return np.asarray(np.clip(np.rint(4 * numbers) / 4, -8, 8))


PLAINER: tuple[Callable[[Array], Array], ...] = (
    np.zeros_like,
    np.ones_like,
    lambda numbers: -np.ones_like(numbers),
    _quarters,
)
"""Functions that replace numbers by plainer ones, the plainest first."""


def ranked(x: Array) -> Array:
    """Return whole numbers with the same order and signs as the input; equal numbers stay equal, and zeros stay zero."""
    above = np.searchsorted(np.unique(x[x > 0]), x) + 1
    below = np.searchsorted(np.unique(-x[x < 0]), -x) + 1
    return np.asarray(np.where(x > 0, above, np.where(x < 0, -below, x)), dtype=x.dtype)


def complexity(call: Call) -> tuple[int, int, float]:
    """Return how hard a call is to read: the number of elements, a sum that is larger for less plain numbers, and the sum of labels and targets."""
    numbers = numbers_of(call)
    plain = np.full(numbers.shape, 4)
    plain[(_quarters(numbers) == numbers) | ((numbers == np.rint(numbers)) & (np.abs(numbers) < 1000))] = 3
    for weight, value in ((2, -1.0), (1, 1.0), (0, 0.0)):
        plain[(numbers == value) & ~(np.signbit(numbers) & (value == 0))] = weight
    return numbers.size, int(plain.sum()), sum(float(np.sum(np.abs(value))) for value in call.constants.values() if value.dtype.kind != "b")


def groups_of(chosen: npt.NDArray[np.bool_], most: int = 64) -> list[npt.NDArray[Any]]:
    """Split the indices of the chosen numbers into at most ``most`` groups: single numbers if there are few, otherwise neighbouring numbers."""
    indices = np.flatnonzero(chosen)
    return np.array_split(indices, min(len(indices), most)) if len(indices) else []


def whole_arrays(call: Call) -> list[npt.NDArray[Any]]:
    """Return the indices of each array's numbers in :func:`numbers_of`."""
    ends = np.cumsum([array.size for array in _arrays(call)], dtype=int)
    return np.split(np.arange(ends[-1]), ends[:-1]) if len(ends) else []
