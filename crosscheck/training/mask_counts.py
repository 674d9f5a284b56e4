r"""Test whether the masks of dropout layers are random; a comparison of values with the same mask cannot show this.

A mask keeps each element with probability q = 1 - p, independently of all other elements and of all earlier masks. If k of the n elements drawn so
far are kept, then by Bernstein's inequality (1924)

.. math:: |k - nq| \le \frac{\lambda^2}{6} + \sqrt{\frac{\lambda^4}{36} + \lambda^2 \, n p q}

except with the probability from which :math:`\lambda` is computed. Two consecutive masks are equal only with probability :math:`(p^2 + q^2)^n`.
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
    """Return whether all samples of each pass have the same mask and chance does not explain it; ``masks`` is ``(passes, samples, ...)``."""
    others = masks[:, 1:]
    return bool((others == masks[:, :1]).all()) and _beyond_chance(others.size, p, precision)


def _beyond_chance(equal: int, p: float, precision: Precision) -> bool:
    """Return whether chance does not explain that ``equal`` elements of two masks agree."""
    return math.log(p**2 + (1 - p) ** 2) * equal < math.log(precision.false_alarms / precision.elements)


@dataclass
class DropoutRateTest:
    """The counts of the masks that one dropout layer drew so far."""

    p: float  # the probability of dropping an element
    drawn: int = 0  # the number of elements in all masks so far
    kept: int = 0  # the number of elements that were kept
    last: str = ""  # a digest of the last mask

    def judge(self, place: Place, mask: Mask, precision: Precision) -> Judgement:
        """Add the mask of one step, and judge whether chance explains all masks so far."""
        self.drawn, self.kept = self.drawn + mask.size, self.kept + int(np.count_nonzero(mask))
        digest, q = hashlib.sha256(np.packbits(mask.astype(bool)).tobytes()).hexdigest(), 1 - self.p
        repeated = digest == self.last and _beyond_chance(mask.size, self.p, precision)
        self.last = digest
        spread = precision.confidence**2
        allowed = spread / 6 + math.sqrt(spread**2 / 36 + spread * self.drawn * self.p * q)
        away = abs(self.kept - self.drawn * q)
        if away > allowed:
            expected = f"expected {self.drawn * q:,.0f}, and chance explains at most {allowed:,.0f} more or fewer"
            reason = f"{self.kept:,} of {self.drawn:,} elements were kept so far; {expected}"
            return Judgement(place, Kind.LAYER, Verdict.MISMATCH, mask.size, fraction=away / allowed, reason=reason)
        if repeated:
            return Judgement(place, Kind.LAYER, Verdict.MISMATCH, mask.size, fraction=math.inf, reason="the same mask as in the previous step")
        return Judgement(place, Kind.LAYER, Verdict.MATCH, mask.size, fraction=away / allowed)
