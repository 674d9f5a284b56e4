"""A covering array of strength two: of a product of factors so few rows that every two values of two factors still meet in one of them.

What is wrong nearly always shows at one value of a factor, or where two values meet (Kuhn, Wallace and Gallo, "Software fault interactions and
implications for software testing", IEEE Transactions on Software Engineering 30, 2004). A product grows with the number of values to the power of the
number of factors, its covering array with their square.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

Row = tuple[Hashable, ...]
"""A value of each factor."""

Pair = tuple[tuple[int, Hashable], tuple[int, Hashable]]
"""Two values, each with the number of its factor."""


def pairs(row: Row) -> list[Pair]:
    """Return the pairs of values that meet in a row."""
    return list(itertools.combinations(enumerate(row), 2))


def uncovered(rows: Iterable[Row], chosen: Iterable[Row]) -> set[Pair]:
    """Return the pairs of values that meet in some row and in none of the chosen ones."""
    return {pair for row in rows for pair in pairs(row)} - {pair for row in chosen for pair in pairs(row)}


def covering(rows: Sequence[Row]) -> list[Row]:
    """Choose rows in which every pair of values meets that meets in any row; none of them can be spared.

    The row that brings the most new pairs is chosen, among several the first, until none brings any (Cohen, Dalal, Fredman and Patton, "The AETG
    system", IEEE Transactions on Software Engineering 23, 1997). Which rows are chosen depends on the rows and their order and on nothing else.

    Parameters
    ----------
    rows : sequence of tuple
        A product, or that part of it that makes sense.

    Returns
    -------
    list of tuple
        In the order of ``rows``.

    Raises
    ------
    ValueError
        If the rows have fewer than two factors, where there is nothing to choose.
    """
    if any(len(row) < 2 for row in rows):
        raise ValueError("a covering array takes two factors or more")
    covered: Counter[Pair] = Counter()
    chosen: set[int] = set()
    # What a row brings only ever becomes less: an old figure is an upper limit, and only the row on top need be looked at anew.
    brings = [(-len(pairs(row)), number) for number, row in enumerate(rows)]
    heapq.heapify(brings)
    while brings:
        figure, number = heapq.heappop(brings)
        new = sum(not covered[pair] for pair in pairs(rows[number]))
        if new == -figure:
            chosen.add(number)
            covered.update(pairs(rows[number]))
        elif new:
            heapq.heappush(brings, (-new, number))
    for number in sorted(chosen, reverse=True):
        if all(covered[pair] > 1 for pair in pairs(rows[number])):
            chosen.remove(number)
            covered.subtract(pairs(rows[number]))
    return [rows[number] for number in sorted(chosen)]
