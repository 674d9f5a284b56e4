r"""The witness: the reference in the subject's own precision. It is an independent right implementation, so the tolerances must let it pass.

Theory judges first. If theory alone does not give ``match``, the witness is used:

1. If the witness's error is more than half of a tolerance, this tolerance is too tight, for example because a fused kernel computes in another way.
   Each sample is then allowed twice the witness's largest error in this sample, but no element more than :data:`MOST` times what theory allows.
2. Theory may set no limit although the witness is finite and the largest given numbers are too small for their products to overflow. Then the
   subject must be finite, too, and half of its digits must be right in norm. This coarse comparison can give a mismatch, but not a match.
3. If the witness is not finite, or exceeds theory and has lost half of its digits, nothing can be judged in this precision. If this is so in only
   some of the samples, the others are judged.

The witness may widen a tolerance but does not decide alone, because the error of a single run can be zero by chance. In float64 the witness would be
the oracle itself, so the reference in float32 takes its place, with its error in units of its own roundoff. If it has lost half of its digits, theory
says whether float64 has lost them, too. If it has not, theory judges alone. If it has, the third rule applies, except that an error above
:data:`MOST` times theory stays a mismatch. The second rule needs a witness in the subject's own precision: if rounding alone determines the result,
float32 may be right by chance although float64 is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from crosscheck.core.judge import UNLIMITED, Effect, Judgement, Verdict, WitnessEffect, fractions_of, judge, judge_norm
from crosscheck.core.operation import Arrays, Call, Oracle, RefusedError, is_grad_input, is_output
from crosscheck.core.precision import Array, Bound, Precision

ROOM = 2.0
"""The allowed error as a multiple of the witness's largest error. With 1 instead of 2, 12 of 445 right operations were called mismatches."""

TIGHT = 0.5
"""A tolerance is too tight if the witness's error is more than this fraction of it."""

MOST = 64.0
"""The largest error that the witness may allow, as a multiple of what theory allows. A larger error is a fault, not another way to compute."""

SINGLE = np.dtype(np.float32)

COARSE = "theory sets no limit to its error; it is finite, and half of its digits are right, as in the reference's result in this precision"
"""The reason in a judgement that is undecided because the quantity could only be compared coarsely."""

_NOT_HALF = "fewer than half of the digits are right, although the reference gets half of them right in this precision"


class OwnWitness(Protocol):
    """An oracle that supplies the errors of its witness itself, such as a recorded one."""

    def witness(self, call: Call, precision: Precision) -> Arrays:
        """Return the witness's errors as :func:`witness_errors` does, for a call in the subject's precision."""


def witness_errors(oracle: Oracle, call: Call, expected: Arrays, precision: Precision) -> dict[str, Array]:
    """Return the witness's absolute errors by quantity, in multiples of the unit roundoff; NaN where the witness is not finite.

    Parameters
    ----------
    call : Call
        The call in the subject's precision.
    expected : mapping of str to array
        The oracle's results in float64.

    Raises
    ------
    RefusedError
        If the reference cannot be computed in the precision of the witness.
    """
    if hasattr(oracle, "witness"):
        return dict(cast("OwnWitness", oracle).witness(call, precision))
    stands_for = precision.dtype != witness_dtype(precision)
    narrow = call.astype(witness_dtype(precision))
    own = Precision(narrow.dtype, precision.elements)
    # If float32 takes the place of float64, losses from its smaller range do not count.
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
    """Return the precision of the witness: the subject's, or float32 if the subject is as precise as the oracle."""
    return SINGLE if precision.sides > 1 else precision.dtype


@dataclass(frozen=True)
class Evidence:
    """The data behind a judgement by theory alone (the subject's and the oracle's values, and theory's bound), and the witness's ``errors``."""

    found: Array
    expected: Array
    bound: Bound
    errors: Array
    call: Call
    precision: Precision

    def reconsider(self, judgement: Judgement) -> tuple[Judgement, Bound]:
        """Return the judgement that takes the witness into account, and the bound that it used."""
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
        widened = self._widened(judgement.place.quantity, limit, lost)
        again = judge(judgement.place, judgement.kind, self.found, self.expected, widened, self.precision)
        return replace(again, witness_effect=WitnessEffect(Effect.WIDENED, judgement.fraction, own)), widened

    def widest(self, quantity: str) -> Bound:
        """Return the bound within which :meth:`reconsider` finds every value of the subject right; it is infinite where nothing can be judged."""
        limit = np.broadcast_to(self.precision.error(self.bound), self.expected.shape)
        if not self.expected.size or not np.isfinite(self.expected).all():
            return self.bound
        blurred = self._blurred(quantity, limit)
        lost_samples = self._lost(quantity, limit, blurred)
        if self._stands_for and (lost_samples & ~blurred).any():
            return self.bound
        lost = np.repeat(lost_samples, limit.size // lost_samples.size).reshape(limit.shape)
        own = float(fractions_of(self.errors, np.where(np.isfinite(limit) & ~lost, limit, np.inf)).max(initial=0.0))
        return self.bound if own <= TIGHT and not lost.any() else self._widened(quantity, limit, lost)

    def _widened(self, quantity: str, limit: Array, lost: npt.NDArray[np.bool_]) -> Bound:
        """Return the bound with the room that the witness needs; infinite in samples in which the witness is lost, about which nothing is known."""
        # Underflow is already part of the limit.
        terms = np.maximum(limit, np.minimum(ROOM * self._largest_by_sample(quantity), MOST * limit))
        terms = np.where(lost, np.inf, terms)
        return Bound(terms, np.where(terms > 0, 1.0, 0.0))

    def _lost(self, quantity: str, limit: Array, blurred: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return a mask of the samples in which the witness is not finite, or exceeds theory and has lost half of its digits in norm.

        If theory leaves float64 few digits (``blurred``), a float32 witness need not exceed theory, because its error no longer grows with roundoff.
        """
        errors, expected, own = (self._samples(value, quantity) for value in (self.errors, self.expected, limit))
        limited = np.isfinite(own)
        beyond = (fractions_of(errors, np.where(limited, own, np.inf)) > 1).any(axis=1) | ~limited.any(axis=1)
        # If theory limits some elements of a sample, only these count.
        counted = limited | ~limited.any(axis=1, keepdims=True)
        lost = _lost_half(errors, expected, counted, self._unit)
        if self._stands_for:
            beyond = beyond | blurred
        return np.asarray(~np.isfinite(errors).all(axis=1) | (beyond & lost))

    def _blurred(self, quantity: str, limit: Array) -> npt.NDArray[np.bool_]:
        """Return a mask of the samples in which theory allows the subject to lose half of its digits in norm."""
        expected, own = (self._samples(value, quantity) for value in (self.expected, limit))
        return _lost_half(own, expected, np.isfinite(own), self.precision.unit)

    @property
    def _stands_for(self) -> bool:
        """Whether the witness has a lower precision than the subject."""
        return self.precision.sides > 1

    def _unreliable(self, judgement: Judgement) -> Judgement:
        """Return a match unchanged, and anything else as undecided, because nothing can be judged in the subject's precision."""
        if judgement.verdict is Verdict.MATCH:
            return judgement
        lost = "has lost half of its digits" if np.isfinite(self.errors).all() else "is not finite"
        reason = f"nothing can be judged in {self.precision.dtype}: the reference itself {lost} in it"
        effect = WitnessEffect(Effect.UNRELIABLE, judgement.fraction, math.inf)
        return Judgement(judgement.place, judgement.kind, Verdict.UNDECIDED, self.found.size, reason=reason, witness_effect=effect)

    def _coarse(self, judgement: Judgement, unlimited: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]) -> Judgement:
        """Return a mismatch if less than half of the digits are right in the elements without a limit; otherwise the judgement, with a reason."""
        if self._may_leave_range or _lost_half(self.errors.ravel(), self.expected.ravel(), unlimited.ravel(), self._unit):
            undecided = judgement.verdict is Verdict.UNDECIDED and bool((unlimited | ~known).all())
            return replace(judgement, reason=UNLIMITED) if undecided else judgement
        effect = WitnessEffect(Effect.COARSE, math.inf, 0.0)
        # The norm of the whole array counts, because elements that only rounding determines may be just the oracle's own rounding errors.
        allowed = max(math.sqrt(self.precision.unit) * float(np.linalg.norm(self.expected[known])), self.precision.smallest_normal)
        in_units = allowed / (self.precision.sides * self.precision.unit)
        # Elements that theory has judged, or in whose sample the witness is lost, get an error of zero.
        found, expected = (np.where(unlimited, value, value.dtype.type(0)) for value in (self.found, self.expected))
        coarse = judge_norm(judgement.place, judgement.kind, found, expected, in_units, self.precision)
        if coarse.verdict is Verdict.MISMATCH:
            return replace(coarse, reason=f"{_NOT_HALF}; {coarse.reason}", witness_effect=effect)
        return replace(judgement, reason=COARSE, witness_effect=effect) if judgement.verdict is Verdict.UNDECIDED else judgement

    @property
    def _unit(self) -> float:
        """The unit roundoff of the witness."""
        return float(np.finfo(witness_dtype(self.precision)).eps) / 2

    @property
    def _may_leave_range(self) -> bool:
        """Whether products of the given numbers may overflow or underflow, so that intermediate results of a right formula may, too.

        Formulas also contain third powers, such as ``-0.5 * (var + eps) ** -1.5`` in the usual gradient of a normalisation.
        """
        given = [*self.call.inputs.values(), *(value for value in self.call.constants.values() if value.dtype.kind == "f")]
        given += self.call.cotangents.values()
        largest = [max(1.0, float(np.abs(value[np.isfinite(value)]).max(initial=0.0))) for value in given]
        largest.append(max([1.0, *(float(np.abs(value).max(initial=0.0)) for value in self.call.params.values())]))
        return math.prod(largest) >= math.cbrt(float(np.finfo(self.precision.dtype).max))

    def _largest_by_sample(self, quantity: str) -> Array:
        """Return the witness's largest error in each sample, so that one bad sample does not excuse the others.

        A sample with few numbers may be right by chance, so each sample gets at least the (lower) median over all samples.
        """
        largest = self._samples(np.nan_to_num(self.errors, nan=0.0), quantity).max(axis=1)
        usual = np.sort(largest)[(len(largest) - 1) // 2]
        return np.asarray(np.maximum(largest, usual)).reshape(-1, *[1] * (self.errors.ndim - 1)) if len(largest) > 1 else largest[0]

    def _samples(self, value: Array, quantity: str) -> Array:
        """Reshape an array to one row for each sample; a parameter's gradient becomes a single row."""
        batch = self.call.x.shape[:1]
        by_sample = (is_output(quantity) or is_grad_input(quantity)) and batch and value.shape[:1] == batch
        return np.asarray(value).reshape(batch[0] if by_sample else 1, -1)


def _lost_half(error: Array, value: Array, counted: npt.NDArray[np.bool_], unit: float) -> npt.NDArray[np.bool_]:
    """Return, for each row, whether errors (in multiples of ``unit``) take half of the digits, in the norm of the counted elements."""
    error_norm, norm = (np.linalg.norm(np.where(counted, array, 0.0), axis=-1) for array in (error, value))
    return np.asarray(error_norm > norm / math.sqrt(unit))
