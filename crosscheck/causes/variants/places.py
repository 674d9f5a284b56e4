"""Changes of places: borders, windows, indices, and which number of a window is the largest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from crosscheck.causes.variants.axes import in_words
from crosscheck.causes.variants.change import Change, made
from crosscheck.oracles.graph.graph import At, Graph, Step


def changes(graph: Graph, at: At) -> Iterator[Change]:
    """Yield the changes of the places that one step takes its numbers from."""
    step = graph.steps[at]
    yield from _OF.get(step.operation, _none)(graph, at, step)


def _none(graph: Graph, at: At, step: Step) -> Iterator[Change]:
    return iter(())


def _of_pad(graph: Graph, at: At, step: Step) -> Iterator[Change]:
    widths, x = step.settings["widths"], step.args[0]
    others = {name: value for name, value in step.settings.items() if name != "widths"}
    for axis, (before, after) in enumerate(widths):
        if not before and not after:
            continue
        for shift in (1, -1, 2, -2):
            moved = tuple((b + shift, a - shift) if place == axis else (b, a) for place, (b, a) in enumerate(widths))
            direction = "later" if shift > 0 else "earlier"
            words = f"along axis {axis} everything is {abs(shift)} {direction} than it should be"
            yield Change(("moved", axis, shift), 1, words, made("pad", x, widths=moved, **others))
    pairs = [axis for axis, width in enumerate(widths) if any(width)]
    for shift in (1, -1) if len(pairs) > 1 else ():
        moved = tuple((before + shift, after - shift) if axis in pairs else (before, after) for axis, (before, after) in enumerate(widths))
        words = f"along {in_words(pairs)} everything is one {'later' if shift > 0 else 'earlier'} than it should be"
        yield Change(("moved", "all", shift), 1, words, made("pad", x, widths=moved, **others))
    if any(before > 0 or after > 0 for before, after in widths):
        for fill in (0.0, 1.0, -1.0, -1e9, -1e10, -1e6, -1e5, -1e4, -1e3, -1e2):
            if fill != step.settings.get("fill", 0.0):
                words = f"the border is filled with {fill:g}, not with {step.settings.get('fill', 0.0):g}"
                yield Change(("fill", fill), 0, words, made("pad", x, widths=widths, fill=fill))
        for mode in ("edge", "reflect", "wrap"):
            words = f"the border repeats the image ({mode}); it has to be filled with {step.settings.get('fill', 0.0):g}"
            yield Change(("mode", mode), 1, words, made("pad", x, widths=widths, mode=mode))


def _of_windows(graph: Graph, at: At, step: Step) -> Iterator[Change]:
    x, kernel = step.source(), step.settings["kernel"]
    n = len(graph.shape(at)) if step.operation == "windows" else len(graph.shape(x))
    last = tuple(range(n - len(kernel), n))
    if step.operation == "add_windows":
        turned = made("add_windows", made("flip", x, axes=last), **step.settings)
    else:
        turned = made("flip", made("windows", x, **step.settings), axes=last)
    if math.prod(kernel) > 1:
        yield Change(("flipped",), 0, "the windows are turned round, so that the kernel is flipped", turned)
    if len(kernel) > 1 and len(set(kernel)) == 1:
        order = (*range(n - len(kernel)), *reversed(last))
        if step.operation == "windows":
            yield Change(
                ("transposed",),
                1,
                "height and width of the windows are exchanged",
                made("transpose", made("windows", x, **step.settings), axes=order),
            )
        else:
            yield Change(
                ("transposed",),
                1,
                "height and width of the windows are exchanged",
                made("add_windows", made("transpose", x, axes=order), **step.settings),
            )


def _of_index(graph: Graph, at: At, step: Step) -> Iterator[Change]:
    key, x = step.settings["key"], step.source()
    for axis, one in enumerate(key):
        length = graph.shape(x)[axis]
        if isinstance(one, int):
            for shift in (1, -1):
                other = one % length + shift
                if 0 <= other < length:
                    moved = (*key[:axis], other, *key[axis + 1 :])
                    words = f"index {other} of axis {axis} is taken, not {one % length}"
                    yield Change(("index", axis, shift), 1, words, made("index", x, key=moved))
            last = (*key[:axis], length - 1 - one % length, *key[axis + 1 :])
            yield Change(("mirrored", axis), 2, f"axis {axis} is read from its end", made("index", x, key=last))
        elif one != slice(None) and (one.step or 1) == 1:
            start, end, _ = one.indices(length)
            for shift in (1, -1):
                if start + shift >= 0 and end + shift <= length:
                    moved = (*key[:axis], slice(start + shift, end + shift), *key[axis + 1 :])
                    words = f"the part of axis {axis} starts at {start + shift}, not at {start}"
                    yield Change(("index", axis, shift), 2, words, made("index", x, key=moved))
            turned = made("flip", made("index", x, key=key), axes=(axis,))
            yield Change(("flipped", axis), 2, f"the part is turned round along axis {axis}", turned)


def _of_winner(graph: Graph, at: At, step: Step) -> Iterator[Change]:
    """Yield the changes of which number of a window counts as the largest."""
    x, axes = step.source(), tuple(step.settings["axes"])
    shape = graph.shape(at)
    if len(axes) > 1:
        words = "of equal maxima the first in the order of columns is taken, not of rows"
        yield Change(("columns first",), 1, words, made("first_largest", x, axes=axes[::-1]))
    first = np.zeros(shape)
    first[tuple(0 if axis in {one % len(shape) for one in axes} else slice(None) for axis in range(len(shape)))] = 1.0
    yield Change(("first",), 1, "the first number of each window is taken, not the largest", first)
    for axis in range(len(shape)):
        if axis not in {one % len(shape) for one in axes} and shape[axis] > 1:
            key = (*[slice(None)] * axis, slice(0, 1))
            words = f"the largest of index 0 of axis {axis} is taken for all indices"
            yield Change(("of one", axis), 2, words, made("expand", made("first_largest", made("index", x, key=key), axes=axes), shape=shape))


def _of_others(graph: Graph, at: At, step: Step) -> Iterator[Change]:
    n = len(graph.shape(at))
    if step.operation == "cumsum":
        for axis in range(n):
            if axis != step.settings["axis"] % n:
                words = f"the sum runs along axis {axis}, not along axis {step.settings['axis'] % n}"
                yield Change(("axis", axis), 1, words, made("cumsum", step.args[0], axis=axis))
    elif step.operation in ("flip", "roll"):
        yield Change(("left out",), 0, "the order is not reversed" if step.operation == "flip" else "it is not moved", step.args[0])
    elif step.operation == "one_hot":
        for shift in (1, -1):
            words = f"the labels are off by one: {'+' if shift > 0 else '-'}1"
            yield Change(("shift", shift), 1, words, made("roll", made("one_hot", step.args[0], **step.settings), shift=shift, axis=-1))
    elif step.operation == "take_along":
        ids = step.args[1]
        for shift in (1, -1):
            moved = made("take_along", made("roll", step.args[0], shift=shift, axis=step.settings["axis"]), ids, **step.settings)
            yield Change(("shift", shift), 1, "the labels are off by one", moved)


_OF: Mapping[str, Callable[[Graph, At, Step], Iterator[Change]]] = {
    "pad": _of_pad,
    **dict.fromkeys(("windows", "add_windows"), _of_windows),
    "index": _of_index,
    "first_largest": _of_winner,
    **dict.fromkeys(("cumsum", "take_along", "one_hot", "flip", "roll"), _of_others),
}
"""For each operation, the function that yields its changes."""
