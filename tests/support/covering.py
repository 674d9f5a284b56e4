"""Covering arrays: few rows of a product of factors in which every pair of values of two factors still occurs.

A fault nearly always shows at one value of a factor, or at a pair of values (Kuhn, Wallace and Gallo, "Software fault interactions and
implications for software testing", IEEE Transactions on Software Engineering 30, 2004). With k factors of n values a product has n**k rows, a
covering array of strength two about n**2, and one of strength one, in which each value occurs, n.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

Row = tuple[Hashable, ...]
"""A value of each factor."""

Meeting = tuple[tuple[int, Hashable], ...]
"""A combination of values, one for each of `strength` factors, each with the number of its factor."""

PAIRS = 2
"""The strength at which every pair of values of two factors occurs."""


def meetings(row: Row, strength: int = PAIRS) -> list[Meeting]:
    """Return the combinations of values in a row."""
    return list(itertools.combinations(enumerate(row), strength))


def uncovered(rows: Iterable[Row], chosen: Iterable[Row], strength: int = PAIRS) -> set[Meeting]:
    """Return the combinations that occur in some row and in no chosen one."""
    return {one for row in rows for one in meetings(row, strength)} - {one for row in chosen for one in meetings(row, strength)}


def covering(rows: Sequence[Row], strength: int = PAIRS) -> list[Row]:
    """Choose rows in which every combination of values that occurs in any row occurs; no chosen row is redundant.

    The row with the most new combinations is chosen, the first of several, until no row has any (Cohen, Dalal, Fredman and Patton, "The AETG system",
    IEEE Transactions on Software Engineering 23, 1997). The choice depends on the rows and their order alone.

    Parameters
    ----------
    rows : sequence of tuple
        A product, or a part of it.
    strength : int
        2 for every pair of values, 1 for every value.

    Returns
    -------
    list of tuple
        In the order of ``rows``.

    Raises
    ------
    ValueError
        If there are not more factors than the strength: then every row has to be chosen.
    """
    if any(len(row) <= strength for row in rows):
        raise ValueError(f"a covering array of strength {strength} takes {strength + 1} factors or more")
    covered: Counter[Meeting] = Counter()
    chosen: set[int] = set()
    # The number of new combinations of a row only falls: an old number is an upper limit, and only the row on top of the heap is counted again.
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
