"""The inputs that a pair declares, and those that its reference is known to take: shapes and kinds of numbers, as cases to try."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from inspect import Parameter
from typing import Any

import numpy as np

from crosscheck.core.arguments import Argument, Case, Input, Inputs, Labels, Signature, axes_of, name_in_call
from crosscheck.core.guard import SubjectError, contained
from crosscheck.core.operation import DECISIONS, INPUT, Shape
from crosscheck.pairs.model_pair import ModelPair
from crosscheck.pairs.pair import Pair

_DRAWN = 4
"""How many shapes are drawn if ``shapes`` is a function."""

UNNAMED = "·"
"""A letter that no user types: it separates an input's name from the number of an axis that was declared by its length alone."""


def declared_cases(pair: Pair, signature: Signature | None, labels: bool) -> list[Case]:
    """Return the declared cases of a pair.

    Parameters
    ----------
    signature : Signature, optional
        What the reference says of its arguments.
    labels : bool
        Whether the second input holds class labels.

    Raises
    ------
    PairError
        If the declaration of the inputs does not fit.
    """
    if pair.inputs and pair.shapes:
        raise pair.error("shapes and inputs are both given; shapes is for a single input, inputs for several: leave one out")
    if pair.inputs:
        return [by_name(pair)]
    shapes = _shapes(pair)
    if signature is None and labels and (wrong := [shape for shape in shapes if len(shape) < 2]):
        raise pair.error(f"a loss with labels takes inputs of shape (batch, classes, ...), found {wrong[0]}")
    return [_of_shape(pair, shape, signature, labels) for shape in shapes]


def by_name(pair: Pair | ModelPair) -> Case:
    """Return the case of inputs that are declared by name. Axes that have only a length get a name, so that they can have other lengths, too."""
    inputs: dict[str, Argument] = {}
    sizes = dict(pair.sizes)
    for name, given in pair.inputs.items():
        if name == DECISIONS:
            raise pair.error(f"inputs has an input named {name!r}, which has a meaning of its own; choose another name")
        try:
            one = given if isinstance(given, Argument) else Input(given)
        except (TypeError, ValueError) as error:
            raise pair.error(f"inputs[{name!r}]: {error}") from error
        if not isinstance(one.shape, str):
            named = [axis if isinstance(axis, str) else f"{name}{UNNAMED}{number}" for number, axis in enumerate(one.axes)]
            sizes |= {own: length for own, length in zip(named, one.axes, strict=True) if isinstance(length, int)}
            one = replace(one, shape=tuple(named))
        inputs[name] = one
    needed = [axis for one in inputs.values() for axis in _named(one)]
    if missing := [axis for axis in needed if axis not in sizes]:
        unused = [axis for axis in pair.sizes if axis not in needed]
        close = get_close_matches(missing[0], unused, 1) or [axis for axis in unused[:1] if len(missing) == len(unused) == 1]
        hint = f"sizes has {close[0]!r}: is it the same axis?" if close else f"declare sizes={{{missing[0]!r}: 5}}"
        raise pair.error(f"the length of the axis {missing[0]!r} is not known; {hint}")
    lengths = {axis: _length(pair, axis, sizes[axis]) for axis in dict.fromkeys(needed)}
    by_user = all(axis in pair.sizes for one in inputs.values() for axis in one.axes if isinstance(axis, str))
    return Case(inputs, lengths, named=by_user)


def _named(one: Argument) -> list[str]:
    below = getattr(one, "below", None)
    return [axis for axis in one.axes if isinstance(axis, str)] + ([below] if isinstance(below, str) else [])


def _length(pair: Pair | ModelPair, axis: str, length: Any) -> int:
    try:
        found = operator.index(length)
    except TypeError:
        found = 0
    if found < 1:
        raise pair.error(f"sizes[{axis!r}] is {length!r}, expected a whole number of at least 1")
    return found


def _of_shape(pair: Pair, shape: Shape, signature: Signature | None, labels: bool) -> Case:
    """Return the case of one declared shape, which is that of the first input; the reference says what the other inputs are."""
    axes = axes_of(len(shape))
    inputs: Inputs = {INPUT: Input(axes)} | ({"labels": Labels([axes[0], *axes[2:]], below=axes[1])} if labels and len(axes) > 1 else {})
    if signature is not None:
        try:
            inputs = signature.inputs(len(shape))
        except IndexError as error:
            raise pair.error(f"the shape {shape} has too few axes for the reference") from error
    first = next(iter(inputs.values())).axes
    if len(first) != len(shape) or any(isinstance(axis, int) and axis != length for axis, length in zip(first, shape, strict=True)):
        raise pair.error(f"the shape {shape} does not fit the reference, which takes ({', '.join(map(str, first))})")
    sizes = {axis: length for axis, length in zip(first, shape, strict=True) if isinstance(axis, str)}
    known = next((known for known in (signature.sizes if signature else ()) if all(known.get(axis) == sizes[axis] for axis in sizes)), {})
    sizes |= {axis: length for axis, length in known.items() if any(axis in _named(one) for one in inputs.values())}
    for number, axis in enumerate(dict.fromkeys(axis for one in inputs.values() for axis in _named(one) if axis not in sizes)):
        sizes[axis] = pair.sizes.get(axis, max(shape[:-1], default=1) + 2 + number)
    return Case(inputs, sizes, named=signature is not None and signature.named)


def without_optional(case: Case, signature: Signature, arguments: Sequence[Parameter], declared: Sequence[str]) -> Case:
    """Return the case with only those optional inputs that the subject takes, judged by the names and number of its arguments.

    ``declared`` are the names of the subject's parameters, which are no inputs.
    """
    kept, own = dict[str, Argument](), [argument for argument in arguments if argument.name not in declared]
    spread = any(argument.kind is argument.VAR_POSITIONAL for argument in own)
    for name, one in case.inputs.items():
        if name in signature.optional:
            place = len(kept)
            taken = next((argument for argument in own if _same_name(argument.name, name)), None)
            of_another = place < len(own) and any(_same_name(own[place].name, other) for other in case.inputs if other != name)
            required = place < len(own) and own[place].default is Parameter.empty and "mask" not in name and not of_another
            if taken is None and not required and not spread:
                continue
        kept[name] = one
    if signature.by_name:
        named = [name for argument in own for name in kept if _means(argument.name, name)]
        kept = {name: kept[name] for name in named} if sorted(named) == sorted(kept) else kept
    used = {axis for one in kept.values() for axis in _named(one)}
    return replace(case, inputs=kept, sizes={axis: length for axis, length in case.sizes.items() if axis in used})


def _same_name(own: str, name: str) -> bool:
    """Return whether the subject's name of an argument means the reference's input: ``h0`` is ``h_0``, ``mask`` is ``attn_mask``."""
    one, other = (text.lower().replace("_", "") for text in (own, name))
    return one == other or (name in {"attn_mask", "attention_mask"} and one in {"mask", "attnmask", "attentionmask"})


def _means(own: str, name: str) -> bool:
    """Return whether the subject's name of an argument means the reference's input, possibly by its first letters: ``q`` is ``query``."""
    return _same_name(own, name) or name.startswith(own.lower())


def _shapes(pair: Pair) -> list[Shape]:
    drawn: Any = pair.shapes
    if callable(pair.shapes):
        rng = np.random.default_rng(0)
        try:
            with contained("shapes"):
                drawn = [pair.shapes(rng) for _ in range(_DRAWN)]
        except SubjectError as error:
            raise pair.error(error.reason) from error
    elif isinstance(drawn, Sequence) and drawn and all(isinstance(size, int) for size in drawn):
        drawn = [drawn]
    try:
        shapes = list(dict.fromkeys(tuple(operator.index(size) for size in shape) for shape in drawn))
    except TypeError:
        shapes = []
    if not shapes or any(size < 1 for shape in shapes for size in shape) or not all(shapes):
        found = f"drawn as {drawn!r}" if callable(pair.shapes) else repr(pair.shapes)
        raise pair.error(
            f"shapes is {found}, expected shapes of the input with the batch axis, such as [(3, 12), (1, 12)]; "
            "several inputs are declared by name: inputs={'a': 'batch n', 'b': 'batch m'}"
        )
    return shapes


def batch_axis(case: Case) -> str:
    """Return the name of the axis of the samples: one called batch, or else the first of the first input.

    It is empty if that has a fixed length, or if an input has it twice, as a square matrix has.
    """
    inputs = list(case.inputs.values())
    named = next((axis for axis in case.sizes if axis.lower() in ("batch", "batch_size", "samples")), "")
    # A single letter may name an axis of a matrix; in a sequence or an image it is the batch, also where the time comes first.
    named = named or next((axis for axis in ("n", "b", "N", "B") if any(axis in one.axes and len(one.axes) > 2 for one in inputs)), "")
    first = next((one for one in inputs if one.axes), None)
    found = named or (str(first.axes[0]) if first is not None and isinstance(first.axes[0], str) else "")
    return "" if any(list(one.axes).count(found) > 1 for one in inputs) else found


def without_samples(case: Case) -> frozenset[str]:
    """Return the inputs, by their names in a call, that have no axis of samples; those declared by lengths have one if the lengths agree."""
    batch = batch_axis(case)

    def has(one: Argument) -> bool:
        first = one.axes[0] if one.axes else ""
        return batch in one.axes or (UNNAMED in str(first) and case.sizes[str(first)] == case.sizes[batch])

    return frozenset(name_in_call(name, case.inputs) for name, one in case.inputs.items() if batch and not has(one))


def axis_in_words(axis: str) -> str:
    """Return an axis as a user knows it: by its name, or by the number of the axis."""
    name, _, number = axis.rpartition(UNNAMED)
    if name:
        return f"axis {number} of {name}"
    return f"axis {axis.removeprefix('axis')}" if axis.removeprefix("axis").isdigit() else axis
