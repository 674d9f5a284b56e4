r"""Masks of dropouts: whatever is computed with a mask may be right although the mask was never drawn.

A mask keeps each element with probability q = 1 - p, independently of all others and of all masks before. Of n elements drawn so far k are kept; by
Bernstein's inequality (1924),

.. math:: |k - nq| \le \frac{\lambda^2}{6} + \sqrt{\frac{\lambda^4}{36} + \lambda^2 \, n p q}

but with the probability that :math:`\lambda` stands for. And two masks in a row are equal with probability :math:`(p^2 + q^2)^n` alone.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.judge import Judgement, Kind, Verdict
from crosscheck.core.precision import Precision
from crosscheck.core.trace import Place

Mask = npt.NDArray[Any]


def all_alike(masks: Mask, p: float, precision: Precision) -> bool:
    """Return whether the masks ``(passes, samples, ...)`` of all samples of a pass are the same, which chance does not explain."""
    others = masks[:, 1:]
    return bool((others == masks[:, :1]).all()) and _by_no_chance(others.size, p, precision)


def _by_no_chance(equal: int, p: float, precision: Precision) -> bool:
    """Return whether so many elements of masks that are drawn one after the other are not equal by chance."""
    return math.log(p**2 + (1 - p) ** 2) * equal < math.log(precision.false_alarms / precision.elements)


@dataclass
class DropoutRateTest:
    """What one dropout drew so far.

    Attributes
    ----------
    p : float
        The probability of being dropped.
    last : str
        A digest of the mask of the last step looked at.
    """

    p: float
    drawn: int = 0
    kept: int = 0
    last: str = ""

    def judge(self, place: Place, mask: Mask, precision: Precision) -> Judgement:
        """Take in the mask of one step and say whether chance explains all of them."""
        self.drawn, self.kept = self.drawn + mask.size, self.kept + int(np.count_nonzero(mask))
        digest, q = hashlib.sha256(np.packbits(mask.astype(bool)).tobytes()).hexdigest(), 1 - self.p
        repeated = digest == self.last and _by_no_chance(mask.size, self.p, precision)
        self.last = digest
        spread = precision.confidence**2
        allowed = spread / 6 + math.sqrt(spread**2 / 36 + spread * self.drawn * self.p * q)
        away = abs(self.kept - self.drawn * q)
        if away > allowed:
            reason = f"{self.kept:,} of {self.drawn:,} elements were kept so far, expected {q:g} of them: chance explains {allowed:.0f} more or less"
            return Judgement(place, Kind.LAYER, Verdict.MISMATCH, mask.size, fraction=away / allowed, reason=reason)
        if repeated:
            return Judgement(place, Kind.LAYER, Verdict.MISMATCH, mask.size, fraction=math.inf, reason="the same mask as in the step before")
        return Judgement(place, Kind.LAYER, Verdict.MATCH, mask.size, fraction=away / allowed)
