"""Test whether two classifiers are equally good, from the images that only one of them classifies right (McNemar's exact test).

Images that both or neither classify right do not show which is better. If both are equally good, each of the other images is equally likely to
be right for either: of n such images, the number that the first classifies right is distributed as the number of heads in n throws of a fair coin.

References
----------
McNemar: Note on the sampling error of the difference between correlated proportions or percentages, Psychometrika 12, 1947.
Dietterich: Approximate statistical tests for comparing supervised classification learning algorithms, Neural Computation 10(7), 1998.
"""

from __future__ import annotations

from itertools import count


def p_value(first: int, second: int) -> float:
    """Return the probability that a fair coin falls at least as unevenly: twice the smaller tail, and at most 1.

    ``first`` and ``second`` are the numbers of images that only the first, or only the second, classifier has right.
    """
    throws = first + second
    tail, ways = 0, 1
    for heads in range(min(first, second) + 1):
        tail += ways
        # the binomial coefficient for one head more
        ways = ways * (throws - heads) // (heads + 1)
    return min(1.0, float(2 * tail / 2**throws))


def least_telling(level: float) -> int:
    """Return the smallest number of images, all right for the same classifier, that chance does not explain at this level."""
    return next(images for images in count(1) if p_value(images, 0) < level)
