r"""The witness: the reference in the subject's own precision. It is a right implementation that nobody here wrote, so it has to pass.

Theory judges first. Where theory alone does not say ``match``, the witness is heard:

1. Its error comes to more than half of a tolerance: theory is too tight there, as a fused kernel takes another route. Each sample is then allowed
   twice the largest error that the witness has in it, but no element more than :data:`MOST` times what theory allows.
2. Theory knows no limit, but the witness is finite, and the largest numbers given are too small for any product of them to leave the range. Then
   the subject has to be finite, too, and right to half of its digits, as a norm. Such a coarse look can find a mismatch and never a match.
3. The witness is not finite, or exceeds theory and has lost half of its digits: nothing can be judged in this precision. Where that is so of some
   samples alone, the others are judged.

It may widen a tolerance and never decides alone: one run's error can be zero. In float64 the witness would be the oracle itself, so the reference in
float32 stands for it, its error in units of its own roundoff. Where that has lost half of its digits, theory says whether float64 has, too. If not,
theory stands alone; if so, the third rule holds, but what exceeds :data:`MOST` times theory stays a mismatch. The second rule is for a witness in the
subject's own precision: where rounding alone decides, float32 may be right by luck where float64 is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from crosscheck.core.judge import UNLIMITED, Effect, Heard, Judgement, Verdict, fractions_of, judge, judge_norm
from crosscheck.core.operation import Arrays, Call, Oracle, RefusedError
from crosscheck.core.precision import Array, Bound, Precision

ROOM = 2.0
"""How many times the witness's largest error a subject may have: twice, because with once, 12 of 445 operations failed by their own rounding."""

TIGHT = 0.5
"""The fraction of a tolerance from which on the witness shows it to be too tight."""

MOST = 64.0
"""How many times what theory allows the witness may allow: one that is further off is no evidence of another route but of a fault."""

SINGLE = np.dtype(np.float32)

COARSE = "out of range by theory; finite and right to half of the digits, as the reference itself is in this precision"
"""Why a quantity is undecided on which no more than a coarse look was possible."""

_NOT_HALF = "not finite, or not even half of the digits are right, as they are of the reference itself in this precision"


class OwnWitness(Protocol):
    """An oracle that says itself how far its witness strays, such as one that was recorded."""

    def testimony(self, call: Call, precision: Precision) -> Arrays:
        """Return what :func:`witness_errors` does for a call in the subject's precision."""


def witness_errors(oracle: Oracle, call: Call, expected: Arrays, precision: Precision) -> dict[str, Array]:
    """Return how far the witness strays from the oracle, by quantity: absolute errors in multiples of the unit roundoff, NaN where it is not finite.

    Parameters
    ----------
    call : Call
        In the subject's precision.
    expected : mapping of str to array
        The oracle's results in float64.
    precision : Precision
        The subject's.

    Raises
    ------
    RefusedError
        If the reference cannot be computed in the precision of the witness.
    """
    if hasattr(oracle, "testimony"):
        return dict(cast("OwnWitness", oracle).testimony(call, precision))
    stands_for = precision.dtype != witness_dtype(precision)
    narrow = call.astype(witness_dtype(precision))
    own = Precision(narrow.x.dtype, precision.elements)
    # Where float32 stands for float64, what its shorter range loses is none of its rounding.
    lost = 4 * own.smallest_normal if stands_for else 0.0
    try:
        with np.errstate(all="ignore"):
            seen = oracle.vjp(narrow)
            right = oracle.vjp(narrow.astype(np.float64)) if stands_for else expected
    except (RefusedError, ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise RefusedError(f"the reference cannot be computed in {own.dtype}: {error}") from error
    usable = {name: value for name, value in seen.items() if name in right and value.dtype == own.dtype and value.shape == right[name].shape}
    with np.errstate(all="ignore"):
        return {name: np.maximum(np.abs(value - right[name]) - lost, 0.0) / own.unit for name, value in usable.items()}


def witness_dtype(precision: Precision) -> np.dtype[Any]:
    """Return the precision of the witness: the subject's, or float32 where that is the oracle's."""
    return SINGLE if precision.sides > 1 else precision.dtype


@dataclass(frozen=True)
class Evidence:
    """What a judgement by theory alone was made from, and what the witness has to say about it.

    Attributes
    ----------
    found : array
        The subject's.
    expected : array
        The oracle's.
    bound : Bound
        Theory's.
    errors : array
        The witness's, from :func:`witness_errors`.
    precision : Precision
        The subject's.
    """

    found: Array
    expected: Array
    bound: Bound
    errors: Array
    call: Call
    precision: Precision

    def reconsider(self, judgement: Judgement) -> tuple[Judgement, Bound]:
        """Return the judgement that stands once the witness was heard, and the bound that it was made by."""
        alike = self.found.shape == self.expected.shape and self.found.dtype == self.precision.dtype
        if not self.found.size or not alike or not np.isfinite(self.expected).all():
            return judgement, self.bound
        limit = np.broadcast_to(self.precision.error(self.bound), self.expected.shape)
        limited = np.isfinite(limit)
        blurred = self._blurred(judgement.place.quantity, limit)
        lost_samples = self._lost(judgement.place.quantity, limit, blurred)
        if self._stands_for and (judgement.fraction > MOST or (lost_samples & ~blurred).any()):
            return judgement, self.bound
        lost = np.repeat(lost_samples, limit.size // lost_samples.size).reshape(limit.shape)
        if lost.all():
            return self._unreliable(judgement), self.bound
        own = float(fractions_of(self.errors, np.where(limited & ~lost, limit, np.inf)).max(initial=0.0))
        unlimited = ~limited & ~lost
        if unlimited.any() and judgement.verdict is not Verdict.MISMATCH and not self._stands_for:
            return self._coarse(judgement, unlimited, ~lost), self.bound
        beyond = own <= TIGHT or judgement.fraction > MOST or not np.isfinite(self.found).all()
        if judgement.verdict is Verdict.MATCH or (beyond and not lost.any()):
            return judgement, self.bound
        # What underflows is in the limit already. Of a sample that the witness has lost nothing is known.
        terms = np.maximum(limit, np.minimum(ROOM * self._largest_by_sample(judgement.place.quantity), MOST * limit))
        terms = np.where(lost, np.inf, terms)
        widened = Bound(terms, np.where(terms > 0, 1.0, 0.0))
        again = judge(judgement.place, judgement.kind, self.found, self.expected, widened, self.precision)
        return replace(again, heard=Heard(Effect.WIDENED, judgement.fraction, own)), widened

    def _lost(self, quantity: str, limit: Array, blurred: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return in which samples the witness is not finite, or exceeds theory and has lost half of its digits, as a norm.

        Of one in float32 the error no longer grows with its roundoff there, so that it need not exceed a theory that leaves float64 little.
        """
        errors, expected, own = (self._samples(value, quantity) for value in (self.errors, self.expected, limit))
        limited = np.isfinite(own)
        beyond = (fractions_of(errors, np.where(limited, own, np.inf)) > 1).any(axis=1) | ~limited.any(axis=1)
        # Where theory sets limits to some elements of a sample, those are the ones that count.
        counted = limited | ~limited.any(axis=1, keepdims=True)
        lost = _lost_half(errors, expected, counted, self._unit)
        if self._stands_for:
            beyond = beyond | blurred
        return np.asarray(~np.isfinite(errors).all(axis=1) | (beyond & lost))

    def _blurred(self, quantity: str, limit: Array) -> npt.NDArray[np.bool_]:
        """Return in which samples theory itself leaves less than half of the subject's digits, as a norm."""
        expected, own = (self._samples(value, quantity) for value in (self.expected, limit))
        return _lost_half(own, expected, np.isfinite(own), self.precision.unit)

    @property
    def _stands_for(self) -> bool:
        """Whether the witness is of a shorter precision than the subject."""
        return self.precision.sides > 1

    def _unreliable(self, judgement: Judgement) -> Judgement:
        """Return what is left to say where nothing can be judged in the subject's precision."""
        if judgement.verdict is Verdict.MATCH:
            return judgement
        lost = "has lost half of its digits" if np.isfinite(self.errors).all() else "is not finite"
        reason = f"nothing can be judged in {self.precision.dtype}: the reference itself {lost} in it"
        heard = Heard(Effect.UNRELIABLE, judgement.fraction, math.inf)
        return Judgement(judgement.place, judgement.kind, Verdict.UNDECIDED, self.found.size, reason=reason, heard=heard)

    def _coarse(self, judgement: Judgement, unlimited: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]) -> Judgement:
        """Return a mismatch where not even half of the digits are right of what theory sets no limit to; else what was known before, or why."""
        if self._may_leave_range or _lost_half(self.errors.ravel(), self.expected.ravel(), unlimited.ravel(), self._unit):
            undecided = judgement.verdict is Verdict.UNDECIDED and bool((unlimited | ~known).all())
            return replace(judgement, reason=UNLIMITED) if undecided else judgement
        heard = Heard(Effect.COARSE, math.inf, 0.0)
        # Of the whole: elements that nothing but rounding decides may be made of the oracle's own rounding, zero beside a number that is right.
        allowed = max(math.sqrt(self.precision.unit) * float(np.linalg.norm(self.expected[known])), self.precision.smallest_normal)
        in_units = allowed / (self.precision.sides * self.precision.unit)
        # What theory has judged, and what the witness has lost, is taken out by an error of zero.
        found, expected = (np.where(unlimited, value, value.dtype.type(0)) for value in (self.found, self.expected))
        coarse = judge_norm(judgement.place, judgement.kind, found, expected, in_units, self.precision)
        if coarse.verdict is Verdict.MISMATCH:
            return replace(coarse, reason=f"{_NOT_HALF}; {coarse.reason}", heard=heard)
        return replace(judgement, reason=COARSE, heard=heard) if judgement.verdict is Verdict.UNDECIDED else judgement

    @property
    def _unit(self) -> float:
        """The unit roundoff of the witness."""
        return float(np.finfo(witness_dtype(self.precision)).eps) / 2

    @property
    def _may_leave_range(self) -> bool:
        """Whether products of what was given may leave the range, at either end: a right formula may then do so on its way.

        Third powers are formed, too, as of a deviation in the usual gradient of a normalisation, ``-0.5 * (var + eps) ** -1.5``.
        """
        given = [self.call.x, *([] if self.call.grad_output is None else [self.call.grad_output])]
        largest = [max(1.0, float(np.abs(value[np.isfinite(value)]).max(initial=0.0))) for value in given]
        largest.append(max([1.0, *(float(np.abs(value).max(initial=0.0)) for value in self.call.params.values())]))
        return math.prod(largest) >= math.cbrt(float(np.finfo(self.precision.dtype).max))

    def _largest_by_sample(self, quantity: str) -> Array:
        """Return the witness's largest error in each element's own sample, so that one bad sample excuses no other.

        A sample of few numbers may be right by luck: it is granted what the lower half of all samples stays below.
        """
        largest = self._samples(np.nan_to_num(self.errors, nan=0.0), quantity).max(axis=1)
        usual = np.sort(largest)[(len(largest) - 1) // 2]
        return np.asarray(np.maximum(largest, usual)).reshape(-1, *[1] * (self.errors.ndim - 1)) if len(largest) > 1 else largest[0]

    def _samples(self, value: Array, quantity: str) -> Array:
        """Return an array with one row for each sample; the gradient of a parameter is one."""
        batch = self.call.x.shape[:1]
        by_sample = quantity in _BY_SAMPLE and batch and value.shape[:1] == batch
        return np.asarray(value).reshape(batch[0] if by_sample else 1, -1)


def _lost_half(error: Array, value: Array, counted: npt.NDArray[np.bool_], unit: float) -> npt.NDArray[np.bool_]:
    """Return for each row whether errors, in roundoffs, take half of the digits of the elements that are counted, as a norm."""
    error_norm, norm = (np.linalg.norm(np.where(counted, array, 0.0), axis=-1) for array in (error, value))
    return np.asarray(error_norm > norm / math.sqrt(unit))


_BY_SAMPLE = ("output", "grad_input")
"""Quantities whose first axis is the batch."""
