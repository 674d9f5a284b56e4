"""Other sizes than the declared ones, on which code has to be right, too.

Each axis is also tried at 1, at lengths that differ from the declared one by one and two, so that they are odd, and that strides and pools do not
divide them, and at more than twice its length; axes that were equal are made unequal, and all axes together equal. What the reference refuses is no
size. Axes that a reference accepts only together, such as the two axes of a square matrix or an inner axis of two factors, change together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from crosscheck.core.arguments import Case
from crosscheck.pairs.cases import UNNAMED

BUDGET = 2**14
"""The most numbers in the inputs of a derived case; larger cases get fewer samples or are left out. So most time goes to the declared sizes."""

FEW = 3
"""A report says so in its first line if fewer derived cases than this could be tried."""

_NUMBERED = re.compile(r"axis\d+")
"""Axes of an input that was declared by its shape alone."""

_EXTRA = 3
"""How far a length may be raised so that it differs from the lengths of other axes."""


@dataclass(frozen=True)
class Derived:
    """The derived cases of a pair, and the axes that the reference accepts in their declared length only."""

    cases: tuple[Case, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Group:
    """Axes that change together, their declared length, and the other lengths that the reference accepts; the last ones are the longest."""

    axes: tuple[str, ...]
    length: int
    accepted: tuple[int, ...]

    def at(self, variant: int) -> int:
        """Return the accepted length of a variant: one more, two more, more than twice; the nearest one if it was refused."""
        longer = [length for length in self.accepted if length > 1] or [self.length]
        return longer[min(variant, len(longer) - 1)]


def derived(declared: Sequence[Case], accepts: Callable[[Case], bool], fixed: frozenset[str], batch: str, few: bool = False) -> Derived:
    """Return derived cases for the first declared case.

    Parameters
    ----------
    accepts : callable
        Returns whether the references accept a case.
    fixed : frozenset of str
        The axes that keep their declared lengths.
    batch : str
        The axis of the samples; empty if there is none.
    few : bool
        Whether each size costs much time, so that only one of each kind is wanted: an axis at 1, all axes odd or unequal, all axes longer.
    """
    first = max(declared[:1], key=lambda case: case.elements)
    groups, refused = list[_Group](), list[str]()
    for axis in first.sizes:
        if axis in fixed or any(axis in group.axes for group in groups):
            continue
        group = next((group for together in _together(first, axis, fixed) if (group := _grouped(first, together, accepts)).accepted), None)
        groups += [group] if group else []
        refused += [] if group else [axis]
    ones, mixed = list(_ones(first, groups)), list(_mixed(first, groups, accepts, batch))
    some = [*ones[:1], *mixed[:1], *mixed[-1:]] if few else [*ones, *mixed, *_equal(first, groups, accepts, batch)]
    found = dict.fromkeys(some)
    return Derived(tuple(case for case in found if case not in declared), tuple(refused))


def _together(case: Case, axis: str, fixed: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """Yield sets of axes that may have to change together: alone, with one other of equal length, with those at the same place, and with all.

    Axes that the user named are on their own, because axes of one name already change together.
    """
    yield (axis,)
    if UNNAMED not in axis and not _NUMBERED.fullmatch(axis):
        return
    alike = [other for other, length in case.sizes.items() if length == case.sizes[axis] and other not in fixed and other != axis]
    same_place = [other for other in alike if other.partition(UNNAMED)[2] == axis.partition(UNNAMED)[2]]
    yield from dict.fromkeys((axis, *others) for others in (*((other,) for other in alike), same_place, alike) if others)


def _grouped(case: Case, axes: tuple[str, ...], accepts: Callable[[Case], bool]) -> _Group:
    length = case.sizes[axes[0]]

    def accepted(lengths: Sequence[int]) -> list[int]:
        return [other for other in lengths if accepts(case.resized(dict.fromkeys(axes, other)))]

    # An operation on pairs or blocks takes multiples only.
    longer = accepted([length + 1, length + 2, 2 * length + 1]) or accepted([2 * length, 3 * length] if length > 1 else [])
    # A reference that accepts no length but 1 broadcasts: this is another function.
    return _Group(axes, length, (*(accepted([1]) if longer and length > 1 else []), *longer))


def _ones(case: Case, groups: Sequence[_Group]) -> Iterator[Case]:
    """Yield the case with each group of axes at length 1."""
    yield from (case.resized(dict.fromkeys(group.axes, 1)) for group in groups if 1 in group.accepted)


def _mixed(case: Case, groups: Sequence[_Group], accepts: Callable[[Case], bool], batch: str) -> Iterator[Case]:
    """Yield cases in which all axes have another length, and no two axes that can differ have the same."""
    for variant in range(3):
        sizes: dict[str, int] = {}
        for group in groups:
            wanted = _samples(group, variant) if batch in group.axes else group.at(variant)
            taken = set(sizes.values())
            for length in (wanted, *(wanted + extra for extra in range(1, _EXTRA + 1))):
                if length not in taken and (length == wanted or accepts(case.resized(dict.fromkeys(group.axes, length)))):
                    wanted = length
                    break
            sizes |= dict.fromkeys(group.axes, wanted)
        together = _affordable(case.resized(sizes), batch if batch in sizes else "")
        if groups and together is not None and accepts(together):
            yield together
            continue
        for group in groups:
            alone = _affordable(case.resized({axis: sizes[axis] for axis in group.axes}), batch if batch in sizes else "")
            if alone is not None and accepts(alone):
                yield alone


def _equal(case: Case, groups: Sequence[_Group], accepts: Callable[[Case], bool], batch: str) -> Iterator[Case]:
    """Yield a case in which all axes are equally long, where code that looks at lengths mistakes one axis for another."""
    for length in dict.fromkeys(group.length for group in groups if group.length > 1):
        together = case.resized({axis: length for group in groups for axis in group.axes})
        if len(groups) > 1 and _affordable(together, batch) == together and accepts(together):
            yield together
            return


def _samples(group: _Group, variant: int) -> int:
    """Return the number of samples of a variant: one fewer than declared, then few."""
    if group.length > 2 and variant == 0 and group.accepted:
        return group.length - 1
    return group.at(0) if group.length < 3 else 2 + variant % 2


def with_fewer_samples(case: Case, batch: str) -> Case:
    """Return the case, cut to as many samples as the budget allows, but at least two."""
    if not batch or case.elements <= BUDGET or case.sizes[batch] <= 2:
        return case
    return case.resized({batch: max(2, BUDGET * case.sizes[batch] // case.elements)})


def _affordable(case: Case, batch: str) -> Case | None:
    """Return the case, with fewer samples if it exceeds the budget; None if even two samples do."""
    fewer = with_fewer_samples(case, batch)
    return fewer if fewer.elements <= BUDGET else None
