"""Shrink a failing call: use fewer samples, channels and pixels, then replace values by 0 or 1, as long as the fault persists.

Hypothesis does the search. It draws only booleans, which decide where each axis is cut and which values are kept. A smaller call counts only if the
same quantity is wrong in the same way and nothing is wrong that was right before. If there is no smaller call, the original one is the result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.causes.divergence import Divergence
from crosscheck.checks.check import FailingCall
from crosscheck.core.arguments import times
from crosscheck.core.operation import DECISIONS, Call
from crosscheck.core.precision import Array
from crosscheck.pairs.prepared import Prepared
from crosscheck.shrinking.search import Bits, Enough, Search
from crosscheck.shrinking.smaller import (
    PLAINER,
    Axis,
    Linked,
    groups_of,
    input_axes,
    linked_axes,
    numbers_of,
    ranked,
    whole_arrays,
    window,
    with_numbers,
)

SECONDS = 20.0
"""The most seconds that the search takes for a slow subject."""

_ROUNDS = 8
"""The most rounds of cutting axes; each round starts from the previous round's result."""


@dataclass(frozen=True)
class Small:
    """The smallest call found on which a quantity is wrong, in the subject's precision."""

    call: Call
    quantity: str
    divergence: Divergence  # the judgement on this call; cause and source are those of the original call, whose numbers tell causes apart better
    shrunk: tuple[str, ...]  # in words, what became smaller; empty if nothing did
    evaluations: int  # the number of calls of the subject


def shrink(prepared: Prepared, given: FailingCall, divergence: Divergence, seed: int = 0, seconds: float = SECONDS) -> Small:
    """Return the smallest call found that shows the same fault as the given call, or the given call itself. The given call is not changed.

    The search ends after ``seconds`` at the latest.
    """
    search = Search(prepared, given, divergence.judgement, seed, seconds)
    with contextlib.suppress(Enough):
        _search_all(search)
    judgement = search.repeated()
    if judgement is None:
        # The subject is not deterministic: only the original call is known to show the fault.
        return Small(given.call, given.quantity, divergence, (), search.evaluations)
    shrunk = _in_words(given.call, search.best)
    return Small(search.best, given.quantity, replace(divergence, judgement=judgement), shrunk, search.evaluations)


def _search_all(search: Search) -> None:
    """Try all ways to shrink the call, beginning with the ways that shrink most."""
    if not search.starts():
        return
    _all_sizes(search)
    search.try_one(replace(search.best, inputs={name: ranked(value) for name, value in search.best.inputs.items()}))
    for plainer in PLAINER:
        # Twice, because the first time there may be so many numbers that neighbours are replaced together.
        for few in (True, False, False):
            _numbers(search, plainer, few)
    _labels(search)
    _all_sizes(search)


def _all_sizes(search: Search) -> None:
    """Cut axes until nothing more can be cut: axes of equal length together, then all axes of the inputs at once, then each alone.

    Axes of one name are always cut together.
    """
    for _ in range(_ROUNDS):
        before = search.best
        _sizes(search, linked_axes(search.best, search.fixed))
        _sizes(search, input_axes(search.best, search.what))
        for axis in [each.axes for each in input_axes(search.best, search.what)]:
            _sizes(search, [each for each in input_axes(search.best, search.what) if each.axes == axis])
        if search.best is before:
            break


def _sizes(search: Search, linked: Sequence[Linked]) -> None:
    """Cut axes. The booleans say how much of each axis is kept and where the kept part begins."""
    if not linked:
        return
    start = search.best
    widths = [width for each in linked for width in (1, *[(each.length - 1).bit_length()] * 2)]

    def smaller(bits: Bits) -> Call:
        numbers = iter(_in_binary(bits, widths))
        cuts: dict[Axis, slice] = {}
        for each, (whole, less_one, first) in zip(linked, zip(numbers, numbers, numbers, strict=True), strict=True):
            size = less_one % each.length + 1
            begin = first % (each.length - size + 1)
            # Some axes cannot get shorter, so half of the draws keep an axis whole.
            cuts |= {} if whole else dict.fromkeys(each.axes, slice(begin, begin + size))
        return window(start, cuts, search.prepared.output_shapes, search.what)

    search.run(sum(widths), smaller, examples=60)


def _in_binary(bits: Bits, widths: Sequence[int]) -> list[int]:
    """Decode a row of booleans as binary numbers of the given widths, each with its most significant bit first."""
    ends = np.cumsum(widths)
    return [int("".join("01"[bit] for bit in bits[end - width : end]), 2) for width, end in zip(widths, ends, strict=True)]


def _numbers(search: Search, plainer: Callable[[Array], Array], few: bool) -> None:
    """Replace numbers by plainer numbers: all numbers of an array together if ``few``, otherwise each number alone."""
    start = search.best
    old = numbers_of(start)
    new = plainer(old)
    plainest = [float(each(np.zeros(1))[0]) for each in PLAINER[: PLAINER.index(plainer)]]
    differ = (new != old) & ~np.isin(old, plainest)
    arrays = [group[differ[group]] for group in whole_arrays(start)]
    groups = [group for group in arrays if len(group)] if few else groups_of(differ)

    def replaced(bits: Bits, draws: int = 1) -> Call:
        numbers = old.copy()
        for index, group in enumerate(groups):
            if not any(bits[index * draws : (index + 1) * draws]):
                numbers[group] = new[group]
        return with_numbers(start, numbers)

    # A number is kept if any of its booleans is true. One boolean keeps half of the numbers; a fault that needs more numbers gets more booleans.
    for draws in (1,) if few else (1, 4):
        if search.run(draws * len(groups), lambda bits, draws=draws: replaced(bits, draws), examples=25):  # type: ignore[misc]
            return


def _labels(search: Search) -> None:
    """Replace labels, ids and real targets by zeros, each as long as the fault persists."""
    for name in search.best.constants:
        start, one = search.best, search.what.get(f"constants.{name}")
        given = start.constants[name]
        if name == DECISIONS or given.dtype.kind == "b" or getattr(one and one.argument, "of", "real") not in ("real", "unit"):
            continue

        def replaced(bits: Bits, name: str = name, given: npt.NDArray[Any] = given, start: Call = start) -> Call:
            return replace(start, constants={**start.constants, name: np.where(np.reshape(bits, given.shape), given, given.dtype.type(0))})

        search.run(given.size, replaced, examples=25)


def _in_words(before: Call, after: Call) -> tuple[str, ...]:
    """Return in words what became smaller."""
    given = before.arguments()
    arrays = [(name, given[name], value) for name, value in after.arguments().items() if name != "labels"]
    arrays += [(name, before.params[name], value) for name, value in after.params.items()]
    sizes = [f"{name} {times(old.shape)} to {times(new.shape)}" for name, old, new in arrays if old.shape != new.shape]
    numbers = numbers_of(after)
    plain = int(np.isin(numbers, (0.0, 1.0)).sum())
    return (*sizes, f"{plain} of {numbers.size} numbers are 0 or 1")
