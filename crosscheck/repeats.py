r"""Equal terms of a sum, whose rounding errors are no accident.

The probabilistic bound takes the roundings of a sum to be independent. Those of equal terms are not: as long as the partial sums stay between two
powers of two, adding the same number rounds in the same way every time, and the errors add up as the terms themselves do. If :math:`m_j` terms are
equal each, the groups are independent, but not what is in them, so that by the same inequality (Hoeffding's) the bound is

.. math:: \min\Big(n, \; \lambda \sqrt{\textstyle\sum_j m_j^2}\Big) \; u \; T

where it is :math:`\min(n, \lambda \sqrt n) \, u \, T` if all terms differ. Images on a constant background have such sums.
"""

from __future__ import annotations

import math

import numpy as np

from crosscheck.arithmetic import Arithmetic, Array

_SAMPLE = 1024
"""Terms of each sum that are looked at first. A term that is repeated often enough to matter, the root of n times, is among them twice."""


def independent(terms: Array, axes: tuple[int, ...], arithmetic: Arithmetic) -> Array:
    """Return how many independent roundings each sum over some axes is worth, the axes kept: as many as it has terms, or more where they repeat.

    Parameters
    ----------
    terms : array
    axes : tuple of int
    arithmetic : Arithmetic
        Of whoever adds them up.
    """
    others = tuple(place for place in range(terms.ndim) if place not in axes)
    count = math.prod(terms.shape[place] for place in axes)
    shape = [1 if place in axes else size for place, size in enumerate(terms.shape)]
    most = (count / arithmetic.confidence) ** 2  # the worst case, of any order and whatever repeats
    if most <= count:
        return np.full(shape, float(count))
    sums = terms.transpose(*others, *axes).reshape(-1, count)
    sample = np.sort(sums[:, :: max(1, count // _SAMPLE)], axis=1)
    if not ((sample[:, 1:] == sample[:, :-1]) & (sample[:, 1:] != 0)).any():
        return np.full(shape, float(count))
    squares = np.array([np.square(_occurrences(own)).sum() for own in sums])
    return np.asarray(np.clip(squares, count, most).reshape(shape))


def _occurrences(terms: Array) -> Array:
    """Return how often each number other than zero occurs; to add zero rounds nothing."""
    return np.unique(terms[terms != 0], return_counts=True)[1].astype(np.float64)
