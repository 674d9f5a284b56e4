"""Covering arrays: of a product of factors so few rows that every two values of two factors still meet in one of them.

What is wrong nearly always shows at one value of a factor, or where two values meet (Kuhn, Wallace and Gallo, "Software fault interactions and
implications for software testing", IEEE Transactions on Software Engineering 30, 2004). A product grows with the number of values to the power of the
number of factors, its covering array of strength two with their square, and one of strength one, in which each value occurs, not at all.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

Row = tuple[Hashable, ...]
"""A value of each factor."""

Meeting = tuple[tuple[int, Hashable], ...]
"""Values of so many factors as the strength says, each with the number of its factor."""

PAIRS = 2
"""The strength at which every two values of two factors meet."""


def meetings(row: Row, strength: int = PAIRS) -> list[Meeting]:
    """Return the values that meet in a row."""
    return list(itertools.combinations(enumerate(row), strength))


def uncovered(rows: Iterable[Row], chosen: Iterable[Row], strength: int = PAIRS) -> set[Meeting]:
    """Return what meets in some row and in none of the chosen ones."""
    return {one for row in rows for one in meetings(row, strength)} - {one for row in chosen for one in meetings(row, strength)}


def covering(rows: Sequence[Row], strength: int = PAIRS) -> list[Row]:
    """Choose rows in which all values meet that meet in any row, so many at a time as the strength says; no row can be spared.

    The row that brings the most that is new is chosen, among several the first, until none brings any (Cohen, Dalal, Fredman and Patton, "The AETG
    system", IEEE Transactions on Software Engineering 23, 1997). Which rows are chosen depends on the rows and their order and on nothing else.

    Parameters
    ----------
    rows : sequence of tuple
        A product, or that part of it that makes sense.
    strength : int
        2 for every pair of values, 1 for every value.

    Returns
    -------
    list of tuple
        In the order of ``rows``.

    Raises
    ------
    ValueError
        If there are not more factors than the strength says, so that there is nothing to choose.
    """
    if any(len(row) <= strength for row in rows):
        raise ValueError(f"a covering array of strength {strength} takes {strength + 1} factors or more")
    covered: Counter[Meeting] = Counter()
    chosen: set[int] = set()
    # What a row brings only ever becomes less: an old figure is an upper limit, and only the row on top need be looked at anew.
    brings = [(-len(meetings(row, strength)), number) for number, row in enumerate(rows)]
    heapq.heapify(brings)
    while brings:
        figure, number = heapq.heappop(brings)
        new = sum(not covered[one] for one in meetings(rows[number], strength))
        if new == -figure:
            chosen.add(number)
            covered.update(meetings(rows[number], strength))
        elif new:
            heapq.heappush(brings, (-new, number))
    for number in sorted(chosen, reverse=True):
        if all(covered[one] > 1 for one in meetings(rows[number], strength)):
            chosen.remove(number)
            covered.subtract(meetings(rows[number], strength))
    return [rows[number] for number in sorted(chosen)]
