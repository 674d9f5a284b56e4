"""Changes of axes and shapes: reductions over other axes, transpositions, reshapes, matrix products."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from crosscheck.causes.variants.arithmetic import like
from crosscheck.causes.variants.change import Change, Rewrite, made
from crosscheck.oracles.graph.graph import At, Graph, Step
from crosscheck.oracles.graph.operations import swapped_axes

_REDUCTIONS = ("sum", "mean", "amax", "amin", "prod")
_MOST_AXES = 5
"""Arrays with more axes have too many orders of them to try."""


def changes(graph: Graph, at: At) -> Iterator[Change]:
    """Yield the changes of one step's axes."""
    step = graph.steps[at]
    yield from _OF.get(step.operation, _none)(graph, at, step)


def _none(graph: Graph, at: At, step: Step) -> Iterator[Change]:
    return iter(())


def in_words(axes: Sequence[int]) -> str:
    """Return axes as text: ``axis 1``, ``axes 0 and 2``."""
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes[:-1]))} and {axes[-1]}" if axes else "no axis"


def _of_reduction(graph: Graph, at: At, step: Step) -> Iterator[Change]:
    x, name = step.source(), step.operation
    shape, result, n = graph.shape(x), graph.shape(at), len(graph.shape(x))
    axes, keepdims = tuple(axis % n for axis in step.settings["axes"]), step.settings.get("keepdims", False)
    count = math.prod(shape[axis] for axis in axes)
    yield from _of_terms(graph, step, axes, keepdims)
    if name in ("sum", "mean") and count > 1:
        other = "mean" if name == "sum" else "sum"
        yield Change((other,), 0, f"the {other} is taken, not the {name}", made(other, x, axes=axes, keepdims=keepdims))
        for reduction in ("amax", "prod"):
            words = f"the {_spoken(reduction)} is taken, not the {name}"
            yield Change((reduction,), 2, words, made(reduction, x, axes=axes, keepdims=keepdims))
        yield Change(("number of terms",), 0, f"the number of terms, {count}, is taken, not their {name}", _filled(float(count), result))
    if name == "sum" and count > 1:
        less = made("divide", made("sum", x, axes=axes, keepdims=keepdims), float(count - 1))
        yield Change(("less",), 2, f"the sum is divided by n - 1 = {count - 1}", less)
    if name == "amax":
        yield Change(("mean",), 1, "the mean is taken, not the maximum", made("mean", x, axes=axes, keepdims=keepdims))
        yield Change(("from zero",), 1, "the search for the maximum starts at 0", made("maximum", made("amax", x, axes=axes, keepdims=keepdims), 0.0))
        yield Change(("zero",), 1, "the maximum is left out", _filled(0.0, result))
    for size in range(1, n + 1):
        for chosen in itertools.combinations(range(n), size):
            if set(chosen) == set(axes):
                continue
            if (changed := _reduced(graph, step, chosen, axes, keepdims)) is not None:
                yield Change(("axes", chosen), 1, f"the {_noun(step)} is taken over {in_words(chosen)}, not over {in_words(axes)}", changed)
    if (keep := like(graph, x, result)) is not None or keepdims:
        # Not reduced, the array goes on as it is: later steps repeat the shorter of two arrays anyway.
        kept = keep or (x)
        yield Change(("not reduced",), 0, f"the {_noun(step)} over {in_words(axes)} is left out", kept)


def _of_terms(graph: Graph, step: Step, axes: tuple[int, ...], keepdims: bool) -> Iterator[Change]:
    """Yield the changes in which the first or the last index is missing from a reduction."""
    x, name = step.source(), step.operation
    shape = graph.shape(x)
    for axis in axes:
        for place, key, word in ((0, slice(1, None), "first"), (-1, slice(None, -1), "last")):
            if shape[axis] > 1:
                part = tuple(key if one == axis else slice(None) for one in range(len(shape)))
                words = f"the {word} index along axis {axis} is missing from the {_noun(step)}"
                yield Change(
                    ("without", axis, place),
                    2,
                    words,
                    made(name, made("index", x, key=part), axes=axes, keepdims=keepdims),
                )


def _spoken(operation: str) -> str:
    return {"amax": "maximum", "amin": "minimum", "prod": "product"}.get(operation, operation)


def _noun(step: Step) -> str:
    return step.role or _spoken(step.operation)


def _filled(value: float, shape: tuple[int, ...]) -> Rewrite:
    return made("expand", made("same", value), shape=shape)


def _reduced(graph: Graph, step: Step, chosen: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Rewrite | None:
    """Return the rewrite that reduces other axes; None if nothing of its shape can go on."""
    x, name, n = step.source(), step.operation, len(graph.shape(step.source()))
    if keepdims:
        return made(name, x, axes=chosen, keepdims=True)
    result = tuple(size for axis, size in enumerate(graph.shape(x)) if axis not in axes)
    found = tuple(size for axis, size in enumerate(graph.shape(x)) if axis not in chosen)
    if found == result or len(axes) == len(chosen):
        return made(name, x, axes=chosen, keepdims=False)
    if set(axes) < set(chosen) and len(chosen) < n + 1:
        kept = tuple(1 if axis in chosen else size for axis, size in enumerate(graph.shape(x)) if axis not in axes)
        return made("expand", made("reshape", made(name, x, axes=chosen, keepdims=False), shape=kept), shape=result)
    return None


def _orders(n: int) -> Iterator[tuple[int, ...]]:
    if n <= _MOST_AXES:
        yield from itertools.permutations(range(n))
    else:
        # Two axes exchanged, or three in a circle.
        for places in itertools.chain(itertools.combinations(range(n), 2), itertools.combinations(range(n), 3)):
            for turned in [(*places[1:], places[0]), (places[-1], *places[:-1])][: len(places) - 1]:
                order = list(range(n))
                for place, axis in zip(places, turned, strict=True):
                    order[place] = axis
                yield tuple(order)


def _of_transpose(graph: Graph, at: At, step: Step) -> Iterator[Change]:
    x, axes, result = step.source(), step.settings["axes"], graph.shape(at)
    n = len(result)
    for order in _orders(n):
        if order != tuple(axes):
            left_out = order == tuple(range(n))
            words = "the transposition is left out" if left_out else f"the axes are ordered {order}, not {tuple(axes)}"
            stage = 0 if left_out else 1
            yield Change(("order", order), stage, words, x if left_out else made("transpose", x, axes=order))
            words = f"the axes are ordered {order} and reshaped to {result}; they have to be ordered {tuple(axes)}"
            yield Change(("order reshaped", order), 2, words, made("reshape", made("transpose", x, axes=order), shape=result))
    words = "{0} is reshaped where its axes have to be transposed"
    yield Change(("reshaped",), 0, words, made("reshape", x, shape=result))


def _of_reshape(graph: Graph, at: At, step: Step) -> Iterator[Change]:
    x, result = step.source(), graph.shape(at)
    shape = graph.shape(x)
    squeezed = [size for size in shape if size != 1] == [size for size in result if size != 1]
    if squeezed:
        return
    for order in _orders(len(shape)):
        if order != tuple(range(len(shape))):
            changed = made("reshape", made("transpose", x, axes=order), shape=result)
            yield Change(("before", order), 1, f"the axes are ordered {order} before they are reshaped", changed)
    if step.role != "windows" and graph.steps[x].operation in ("windows", "index", "transpose", "input", "same", "pad") and len(shape) >= 3:
        for count in range(1, len(shape) - 1):
            for axes in itertools.combinations(range(1, len(shape)), count):
                turned = made("reshape", made("flip", x, axes=axes), shape=result)
                yield Change(("flipped", axes), 2, f"{{0}} is turned round along {in_words(axes)}", turned)
    for order in _orders(len(result)):
        if order == tuple(range(len(result))):
            continue
        inner = tuple(result[axis] for axis in order)
        back = tuple(int(axis) for axis in np.argsort(order))
        changed = made("transpose", made("reshape", x, shape=inner), axes=back)
        yield Change(("after", order), 1, f"{{0}} is reshaped as if the axes of {result} were in the order {order}", changed)
        if inner != result:
            exchanged = made("reshape", x, shape=inner)
            yield Change(("shape", order), 1, f"{{0}} is reshaped to {inner}, not to {result}", exchanged)


def _of_matmul(graph: Graph, at: At, step: Step) -> Iterator[Change]:
    x, y = step.source(), step.source(1)
    for number, one in enumerate((x, y)):
        shape = graph.shape(one)
        if shape[-1] != shape[-2]:
            continue
        order = swapped_axes(len(shape))
        turned = made("matmul", *(made("transpose", arg, axes=order) if place == number else arg for place, arg in enumerate((x, y))))
        yield Change(("transposed", number), 0, f"{{{number}}} is transposed", turned)
    if graph.shape(x)[-2:] == graph.shape(y)[-2:][::-1]:
        yield Change(("exchanged",), 1, "the factors {0} and {1} are exchanged", made("matmul", y, x))
    if graph.shape(x)[-1] > 1:
        rows = float(graph.shape(x)[-1])
        sums = made("matmul", made("sum", x, axes=(-1,), keepdims=True), made("sum", y, axes=(-2,), keepdims=True))
        for name, divisor in (("sums", 1.0), ("mean and sum", rows), ("means", rows * rows)):
            words = f"the {name} of {{0}} and {{1}} are multiplied; their products have to be summed"
            yield Change(("of sums", name), 2, words, made("divide", sums, divisor))
    if graph.shape(x) == graph.shape(y):
        yield Change(("by element",), 1, "{0} and {1} are multiplied element by element, not as matrices", made("multiply", x, y))


def _of_expand(graph: Graph, at: At, step: Step) -> Iterator[Change]:
    x, result = step.source(), graph.shape(at)
    shape = (1,) * (len(result) - len(graph.shape(x))) + graph.shape(x)
    long = [axis for axis, size in enumerate(shape) if size > 1]
    if len(long) == 1:
        (axis,) = long
        for other in range(len(result)):
            if other != axis and result[other] == shape[axis]:
                moved = tuple(shape[axis] if place == other else 1 for place in range(len(result)))
                words = f"{{0}} belongs to axis {axis}, and is used along axis {other}"
                yield Change(("axis", other), 1, words, made("expand", made("reshape", x, shape=moved), shape=result))


_OF: Mapping[str, Callable[[Graph, At, Step], Iterator[Change]]] = {
    **dict.fromkeys(_REDUCTIONS, _of_reduction),
    "transpose": _of_transpose,
    "reshape": _of_reshape,
    "matmul": _of_matmul,
    "expand": _of_expand,
}
"""For each operation, the function that yields its changes."""
