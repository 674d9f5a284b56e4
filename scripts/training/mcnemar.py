"""Whether two classifiers are equally good, from the images that only one of them classifies right (McNemar's exact test).

Images that both classify right, or neither, do not tell which is better. If both are equally good, each other image is as likely to be right on one
side as on the other: of n such images, the number on one side is the number of heads in n throws of a fair coin.

References
----------
McNemar: Note on the sampling error of the difference between correlated proportions or percentages, Psychometrika 12, 1947.
Dietterich: Approximate statistical tests for comparing supervised classification learning algorithms, Neural Computation 10(7), 1998.
"""

from __future__ import annotations

from itertools import count


def p_value(first: int, second: int) -> float:
    """Return the probability that a fair coin falls at least as unevenly: twice the smaller tail, and at most 1.

    The numbers are those of the images that only the first side classifies right, and only the second.
    """
    throws = first + second
    tail, ways = 0, 1
    for heads in range(min(first, second) + 1):
        tail += ways
        # the number of ways to throw one head more, from the number for this many
        ways = ways * (throws - heads) // (heads + 1)
    return min(1.0, float(2 * tail / 2**throws))


def least_telling(level: float) -> int:
    """Return the smallest number of images, all on one side, that chance does not explain at this probability of a false alarm."""
    return next(images for images in count(1) if p_value(images, 0) < level)
