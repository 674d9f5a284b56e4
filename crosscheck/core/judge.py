"""From two arrays and a bound to a verdict.

The error unit of an element is u * T; its error in these units, eta, is free of scale and sees through cancellation. As a fraction of the
tolerance an error below 1 is explained by rounding, and one above 1 is not.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Place


class Verdict(enum.StrEnum):
    """What a comparison found."""

    MATCH = "match"
    MISMATCH = "mismatch"
    UNDECIDED = "undecided"
    SKIPPED = "skipped"


class Kind(enum.StrEnum):
    """Which claim a judgement is about."""

    LAYER = "layer"  # a layer, on the values that it got in the subject's own step
    WIRE = "wire"  # what one layer put out is what the next one received
    UPDATE = "update"  # a parameter or the optimizer's state after the step
    ISOLATED = "isolated"  # a layer, on values chosen by the harness or taken from the reference
    WHOLE = "whole step"  # the end of a whole step against the oracle's


@dataclass(frozen=True)
class Worst:
    """The element that exceeds its tolerance most: its index and both sides' values."""

    index: tuple[int, ...]
    subject: float
    oracle: float


class Effect(enum.StrEnum):
    """What it changed to hear the witness, the reference in the subject's own precision."""

    WIDENED = "widened"  # the tolerance
    COARSE = "coarse"  # half of the digits were asked for, where theory asks for nothing
    UNRELIABLE = "unreliable"  # nothing can be judged in this precision


@dataclass(frozen=True)
class Heard:
    """What the witness had to say where theory alone did not say ``match``.

    Attributes
    ----------
    fraction : float
        The subject's largest error as a fraction of what theory alone allows.
    own : float
        The same of the witness.
    """

    effect: Effect
    fraction: float
    own: float


@dataclass(frozen=True)
class Judgement:
    """The verdict on one quantity.

    Attributes
    ----------
    elements : int
        How many numbers were compared; those whose error is not limited are left out.
    exceeding : int
        How many of them exceed their tolerance.
    units : float
        The error of the worst element in error units, u * T.
    fraction : float
        The largest error as a fraction of its tolerance; infinite where nothing is tolerated.
    worst : Worst or None
        The element with the largest fraction, if any number differs.
    reason : str
        In words, where the verdict is not one of numbers: shapes that differ, a NaN, a quantity left out.
    heard : Heard or None
        What the witness changed, if it was heard and changed anything.
    """

    place: Place
    kind: Kind
    verdict: Verdict
    elements: int = 0
    exceeding: int = 0
    units: float = 0.0
    fraction: float = 0.0
    worst: Worst | None = None
    reason: str = ""
    heard: Heard | None = None

    @property
    def widened(self) -> bool:
        """Whether the tolerance is not theory's alone."""
        return self.heard is not None and self.heard.effect is Effect.WIDENED


UNLIMITED = "no limit to its error: rounding alone decides what it is here, or numbers on the way may exceed the range"
"""Why a quantity with an unlimited error is undecided."""

NO_ORACLE = "the oracle itself is not finite here"
"""Why a quantity is undecided about which the oracle says nothing."""


def judge(place: Place, kind: Kind, subject: Array, oracle: Array, bound: Bound, precision: Precision) -> Judgement:
    """Compare one quantity with the oracle's, element by element.

    Parameters
    ----------
    place, kind
        Copied into the judgement.
    subject, oracle : array
        Of the same shape; the oracle's in float64.
    bound : Bound
        Of the operation that made the quantity.
    precision : Precision
        The subject's.

    Returns
    -------
    Judgement
        ``mismatch`` where rounding cannot explain a difference, the shape or dtype is wrong, or the subject is not finite where the oracle is;
        ``undecided`` where the oracle itself is not finite, the intermediate sums may have exceeded the subject's range, or no error is limited.
    """
    if subject.shape != oracle.shape or subject.dtype != precision.dtype:
        return _of_another_kind(place, kind, subject, oracle, precision)
    with np.errstate(invalid="ignore", over="ignore"):  # an infinity less another one
        error = np.asarray(subject - oracle)  # in float64, as the oracle's numbers are
    np.abs(error, out=error)
    largest = error.max(initial=0.0)
    # One number that is not finite, on either side, makes its error so; which is looked at only where there is one.
    if not math.isfinite(largest):
        wide = subject.astype(np.float64, copy=False)
        if (plain := _not_numbers(place, kind, wide, oracle, bound.abs_sum, precision)) is not None:
            return plain
    # Where any error would be allowed, not even the same number is right.
    if not largest and (not subject.size or np.isfinite(bound.abs_sum).any()):
        return Judgement(place, kind, Verdict.MATCH, subject.size)
    return _by_size(place, kind, subject, oracle, error, bound, precision)


def judge_norm(place: Place, kind: Kind, subject: Array, oracle: Array, allowed: float, precision: Precision) -> Judgement:
    """Compare one quantity with the oracle's as a whole: the norm of the difference with the largest that rounding explains.

    Parameters
    ----------
    place, kind, subject, oracle, precision
        As for :func:`judge`.
    allowed : float
        In multiples of the unit roundoff.
    """
    if subject.shape != oracle.shape or subject.dtype != precision.dtype:
        return _of_another_kind(place, kind, subject, oracle, precision)
    wide = subject.astype(np.float64, copy=False)
    if (plain := _not_numbers(place, kind, wide, oracle, 0.0, precision)) is not None:
        return plain
    error = np.abs(wide - oracle)
    norm, size = float(np.linalg.norm(error)), float(np.linalg.norm(oracle))
    if not norm:
        return Judgement(place, kind, Verdict.MATCH, subject.size)
    if not math.isfinite(allowed):
        return Judgement(place, kind, Verdict.UNDECIDED, subject.size, reason=UNLIMITED)
    fraction = float(fractions_of(np.asarray(norm), np.asarray(precision.sides * precision.unit * allowed)))
    units = norm / (precision.unit * size) if size else math.inf
    worst = _worst(wide, oracle, np.unravel_index(int(error.argmax()), error.shape))
    if fraction <= 1:
        return Judgement(place, kind, Verdict.MATCH, error.size, 0, units, fraction, worst)
    reason = f"the norm of the difference is {norm:.3g}, that of the whole {size:.3g}"
    return Judgement(place, kind, Verdict.MISMATCH, error.size, int(np.count_nonzero(error)), units, fraction, worst, reason)


def _of_another_kind(place: Place, kind: Kind, subject: Array, oracle: Array, precision: Precision) -> Judgement:
    """Return the verdict on an array of another shape or precision."""
    if subject.shape != oracle.shape:
        return Judgement(place, kind, Verdict.MISMATCH, reason=f"the shape is {subject.shape}, expected {oracle.shape}")
    return Judgement(place, kind, Verdict.MISMATCH, subject.size, reason=f"the dtype is {subject.dtype}, expected {precision.dtype}")


def _not_numbers(place: Place, kind: Kind, wide: Array, oracle: Array, terms: Array | float, precision: Precision) -> Judgement | None:
    """Return the verdict where one side holds a NaN or an infinity; None where neither does."""
    if not np.isfinite(oracle).all():
        return Judgement(place, kind, Verdict.UNDECIDED, wide.size, reason=NO_ORACLE)
    if not np.isfinite(wide).all():
        return _not_finite(place, kind, wide, oracle, np.broadcast_to(np.asarray(terms), wide.shape), precision)
    return None


def _by_size(place: Place, kind: Kind, subject: Array, oracle: Array, error: Array, bound: Bound, precision: Precision) -> Judgement:
    """Return the verdict on finite errors, some of which are not zero."""
    tolerance = precision.tolerance(bound)
    decided = subject.size
    if not math.isfinite(tolerance.max()):
        decided = int(np.count_nonzero(np.isfinite(np.broadcast_to(tolerance, error.shape))))
    if not decided:
        return Judgement(place, kind, Verdict.UNDECIDED, subject.size, reason=UNLIMITED)
    fractions = fractions_of(error, tolerance)
    index = np.unravel_index(int(fractions.argmax()), error.shape)
    # An error that exceeds its tolerance is a fraction of at least 1 of it, however the quotient is rounded.
    exceeding = 0 if fractions[index] < 1 else int(np.count_nonzero(error > tolerance))
    if exceeding and math.isinf(fractions[index]):
        # Of several infinite fractions the largest error is the most telling.
        index = np.unravel_index(int(np.where(np.isinf(fractions), error, 0.0).argmax()), error.shape)
    verdict = Verdict.MISMATCH if exceeding else Verdict.MATCH
    units = _units(error, bound, index, precision)
    return Judgement(place, kind, verdict, decided, exceeding, units, float(fractions[index]), _worst(subject, oracle, index))


def fractions_of(error: Array, tolerance: Array) -> Array:
    """Return errors as fractions of their tolerances: 0 where there is no error, infinite where there is one and nothing is tolerated."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        fractions = np.asarray(error / tolerance)
    # A NaN is 0 of 0; where there is one, it is the largest number as well.
    return np.where(np.isnan(fractions), 0.0, fractions) if math.isnan(fractions.max(initial=0.0)) else fractions


def _units(error: Array, bound: Bound, index: tuple[Any, ...], precision: Precision) -> float:
    """Return one element's error in error units; where its own unit is zero, in those of the largest T of the array; infinite where all are."""
    terms = np.asarray(bound.abs_sum)
    own = terms if terms.shape == error.shape else np.broadcast_to(terms, error.shape)
    unit = precision.unit * float(own[index]) or precision.unit * float(terms.max())
    return float(error[index]) / unit if unit else float("inf")


def _worst(subject: Array, oracle: Array, index: tuple[Any, ...]) -> Worst:
    return Worst(tuple(int(i) for i in index), float(subject[index]), float(oracle[index]))


def _not_finite(place: Place, kind: Kind, subject: Array, oracle: Array, terms: Array, precision: Precision) -> Judgement:
    """Return the verdict on a subject with NaN or infinity where the oracle is finite: wrong, unless its sums may have left the range."""
    finite: npt.NDArray[np.bool_] = np.isfinite(subject)
    first = np.unravel_index(int(np.argmin(finite)), subject.shape)
    exceeding = int(np.count_nonzero(~finite))
    largest = float(np.finfo(precision.dtype).max)
    if bool((terms[~finite] > largest).all()):
        reason = f"not finite in {exceeding} elements, whose sums of absolute terms exceed {largest:.3g}, the largest {precision.dtype}"
        return Judgement(place, kind, Verdict.UNDECIDED, subject.size, exceeding, worst=_worst(subject, oracle, first), reason=reason)
    reason = f"{'NaN' if np.isnan(subject[first]) else 'infinite'} where the oracle is finite, in {exceeding} of {subject.size} elements"
    infinite = float("inf")
    return Judgement(place, kind, Verdict.MISMATCH, subject.size, exceeding, infinite, infinite, _worst(subject, oracle, first), reason)


def equal(place: Place, kind: Kind, subject: Array, other: Array, precision: Precision) -> Judgement:
    """Compare two arrays of the subject that must hold the same numbers, bit for bit; NaN equals NaN."""
    alike = subject.shape == other.shape and subject.dtype == other.dtype
    # Where no NaN is, which is nearly always, the first comparison is enough.
    if alike and ((subject == other).all() or np.array_equal(subject, other, equal_nan=True)):
        return Judgement(place, kind, Verdict.MATCH, subject.size)
    wide = other.astype(np.float64)
    if subject.shape == other.shape and subject.dtype != other.dtype:
        return Judgement(place, kind, Verdict.MISMATCH, subject.size, reason=f"the dtype is {subject.dtype}, before it was {other.dtype}")
    if subject.shape != other.shape or np.isfinite(wide).all():
        return judge(place, kind, subject, wide, Bound.exact(wide), precision)
    differing = (subject != other) & ~(np.isnan(subject) & np.isnan(other))
    first, exceeding = np.unravel_index(int(differing.argmax()), wide.shape), int(np.count_nonzero(differing))
    worst, infinite = _worst(subject.astype(np.float64), wide, first), float("inf")
    return Judgement(place, kind, Verdict.MISMATCH, subject.size, exceeding, infinite, infinite, worst, "not the same numbers")


EXIT_STATUS = {Verdict.MATCH: 0, Verdict.MISMATCH: 1, Verdict.UNDECIDED: 2, Verdict.SKIPPED: 2}
"""What a command ends with."""


Facts = dict[str, Any]
"""What a report shows, as plain data that JSON can hold."""


def number(value: float) -> float | None:
    """Return a number that JSON knows; None for infinity and NaN."""
    return float(value) if math.isfinite(value) else None


def judgement_facts(judgement: Judgement) -> Facts:
    """Return a judgement as data."""
    worst, heard = judgement.worst, judgement.heard
    return {
        "step": judgement.place.step,
        "layer": judgement.place.layer,
        "quantity": judgement.place.quantity,
        "kind": judgement.kind.value,
        "verdict": judgement.verdict.value,
        "error_units": number(judgement.units),
        "fraction_of_tolerance": number(judgement.fraction),
        "elements": judgement.elements,
        "exceeding": judgement.exceeding,
        "worst_element": None if worst is None else {"index": list(worst.index), "subject": number(worst.subject), "oracle": number(worst.oracle)},
        "reason": judgement.reason,
        "witness": None
        if heard is None
        else {"effect": heard.effect.value, "fraction_by_theory": number(heard.fraction), "own_fraction_by_theory": number(heard.own)},
    }


CONTRACT = "contract-"
"""How the names of checks begin that compare no value with anything."""
