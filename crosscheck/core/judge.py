"""Judge whether rounding explains the difference between two arrays.

Errors are given in two ways. In units of u * T, an error does not depend on the scale of the numbers and is not inflated by cancellation. As a
fraction of its tolerance, an error is explained by rounding if it is at most 1.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Place


class Verdict(enum.StrEnum):
    """The result of a comparison."""

    MATCH = "match"
    MISMATCH = "mismatch"
    UNDECIDED = "undecided"
    SKIPPED = "skipped"


def combine_verdicts(verdicts: Collection[Verdict]) -> Verdict:
    """Return the worst of several verdicts; ``skipped`` if there are none or all are ``skipped``."""
    return next((verdict for verdict in (Verdict.MISMATCH, Verdict.UNDECIDED, Verdict.MATCH) if verdict in verdicts), Verdict.SKIPPED)


class Kind(enum.StrEnum):
    """The kind of claim that a judgement is about."""

    LAYER = "in training"  # a layer computes the right values from those that it received in the subject's own training step
    WIRE = "handed over"  # a layer receives exactly the values that the layers connected to it computed
    UPDATE = "update"  # a parameter or the optimizer's state is right after the step
    ISOLATED = "tested alone"  # a layer computes the right values from those that the harness chose or took from the reference
    WHOLE = "whole step"  # the result of a whole step equals the oracle's


@dataclass(frozen=True)
class Worst:
    """The element whose error is the largest fraction of its tolerance."""

    index: tuple[int, ...]
    subject: float
    oracle: float
    tolerance: float | None = None  # the largest difference that rounding explains here; None if the quantity was not judged element by element


class Effect(enum.StrEnum):
    """How the witness, which is the reference in the subject's own precision, changed a judgement."""

    WIDENED = "widened"  # the tolerance is larger than theory allows
    COARSE = "coarse"  # theory sets no limit, so only half of the digits had to be right
    UNRELIABLE = "unreliable"  # nothing can be judged in this precision


@dataclass(frozen=True)
class WitnessEffect:
    """The change that the witness made to a judgement that was not ``match`` by theory alone."""

    effect: Effect
    fraction: float  # the subject's largest error as a fraction of what theory alone allows
    witness_fraction: float  # the witness's largest error as a fraction of what theory alone allows


@dataclass(frozen=True)
class Judgement:
    """The verdict on one quantity."""

    place: Place
    kind: Kind
    verdict: Verdict
    elements: int = 0  # the number of elements that were compared; elements without a limit to their error are left out
    exceeding: int = 0  # the number of elements with an error above their tolerance
    units: float = 0.0  # the error of the worst element in error units, u * T
    fraction: float = 0.0  # the largest error as a fraction of its tolerance; infinite if the tolerance is zero
    worst: Worst | None = None  # the element with the largest fraction, if any number differs
    reason: str = ""  # a sentence, if sizes of errors alone do not explain the verdict: a wrong shape, a NaN, a missing quantity
    witness_effect: WitnessEffect | None = None  # the change by the witness, if there was one

    @property
    def widened(self) -> bool:
        """Whether the witness widened the tolerance."""
        return self.witness_effect is not None and self.witness_effect.effect is Effect.WIDENED


UNLIMITED = "no limit to its error: rounding alone determines the result here, or an intermediate result may overflow"
"""The reason in a judgement that is undecided because the error has no limit."""

NO_ORACLE = "the expected value itself is not finite here"
"""The reason in a judgement that is undecided because the oracle's value is not finite."""


def judge(place: Place, kind: Kind, subject: Array, oracle: Array, bound: Bound, precision: Precision) -> Judgement:
    """Compare the subject's value of one quantity with the oracle's, element by element.

    Parameters
    ----------
    subject, oracle : array
        The two values; the oracle's is in float64.
    bound : Bound
        The bound of the rounding error of this quantity.

    Returns
    -------
    Judgement
        ``mismatch`` if rounding cannot explain a difference, the shape or dtype is wrong, or the subject is not finite where the oracle is;
        ``undecided`` if the oracle itself is not finite, the intermediate sums may have overflowed, or no element has a limit to its error.
    """
    if subject.shape != oracle.shape or subject.dtype != precision.dtype:
        return _of_another_kind(place, kind, subject, oracle, precision)
    with np.errstate(invalid="ignore", over="ignore"):  # infinity - infinity
        error = np.asarray(subject - oracle)  # in float64, because the oracle is
    np.abs(error, out=error)
    largest = error.max(initial=0.0)
    # A NaN or an infinity in either array makes the largest error not finite.
    if not math.isfinite(largest):
        wide = subject.astype(np.float64, copy=False)
        if (plain := _not_numbers(place, kind, wide, oracle, bound.abs_sum, precision)) is not None:
            return plain
    # If no error has a limit, even equal numbers are not evidence of a right computation.
    if not largest and (not subject.size or np.isfinite(bound.abs_sum).any()):
        return Judgement(place, kind, Verdict.MATCH, subject.size)
    return _by_size(place, kind, subject, oracle, error, bound, precision)


def judge_norm(place: Place, kind: Kind, subject: Array, oracle: Array, allowed: float, precision: Precision) -> Judgement:
    """Compare the subject's value of one quantity with the oracle's by the norm of their difference.

    Parameters
    ----------
    place, kind, subject, oracle, precision
        As for :func:`judge`.
    allowed : float
        The largest norm of the difference that rounding explains, in multiples of the unit roundoff.
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
    tolerance = precision.sides * precision.unit * allowed
    fraction = float(fractions_of(np.asarray(norm), np.asarray(tolerance)))
    units = norm / (precision.unit * size) if size else math.inf
    worst = _worst(wide, oracle, np.unravel_index(int(error.argmax()), error.shape), None)
    if fraction <= 1:
        return Judgement(place, kind, Verdict.MATCH, error.size, 0, units, fraction, worst)
    reason = f"off by {significant(norm)} as a norm (expected values: {significant(size)}); rounding explains at most {significant(tolerance)}"
    return Judgement(place, kind, Verdict.MISMATCH, error.size, int(np.count_nonzero(error)), units, fraction, worst, reason)


def _of_another_kind(place: Place, kind: Kind, subject: Array, oracle: Array, precision: Precision) -> Judgement:
    """Return the mismatch for an array with a wrong shape or a wrong dtype."""
    if subject.shape != oracle.shape:
        return Judgement(place, kind, Verdict.MISMATCH, reason=f"the shape is {subject.shape}, expected {oracle.shape}")
    return Judgement(place, kind, Verdict.MISMATCH, subject.size, reason=f"the dtype is {subject.dtype}, expected {precision.dtype}")


def _not_numbers(place: Place, kind: Kind, wide: Array, oracle: Array, terms: Array | float, precision: Precision) -> Judgement | None:
    """Return the judgement if the subject's or the oracle's array holds a NaN or an infinity; None if both are finite."""
    if not np.isfinite(oracle).all():
        return Judgement(place, kind, Verdict.UNDECIDED, wide.size, reason=NO_ORACLE)
    if not np.isfinite(wide).all():
        return _not_finite(place, kind, wide, oracle, np.broadcast_to(np.asarray(terms), wide.shape), precision)
    return None


def _by_size(place: Place, kind: Kind, subject: Array, oracle: Array, error: Array, bound: Bound, precision: Precision) -> Judgement:
    """Return the judgement on arrays whose differences are finite."""
    tolerance = precision.tolerance(bound)
    decided = subject.size
    if not math.isfinite(tolerance.max()):
        decided = int(np.count_nonzero(np.isfinite(np.broadcast_to(tolerance, error.shape))))
    if not decided:
        return Judgement(place, kind, Verdict.UNDECIDED, subject.size, reason=UNLIMITED)
    fractions = fractions_of(error, tolerance)
    index = np.unravel_index(int(fractions.argmax()), error.shape)
    # If an error exceeds its tolerance, their quotient is at least 1 even after rounding.
    exceeding = 0 if fractions[index] < 1 else int(np.count_nonzero(error > tolerance))
    if exceeding and math.isinf(fractions[index]):
        # If several fractions are infinite, report the element with the largest error.
        index = np.unravel_index(int(np.where(np.isinf(fractions), error, 0.0).argmax()), error.shape)
    verdict = Verdict.MISMATCH if exceeding else Verdict.MATCH
    units = _units(error, bound, index, precision)
    worst = _worst(subject, oracle, index, float(np.broadcast_to(tolerance, error.shape)[index]))
    return Judgement(place, kind, verdict, decided, exceeding, units, float(fractions[index]), worst)


def fractions_of(error: Array, tolerance: Array) -> Array:
    """Return errors divided by their tolerances: 0 where the error is 0, infinite where only the tolerance is 0."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        fractions = np.asarray(error / tolerance)
    # 0 / 0 gives NaN, and max() returns NaN if the array contains one.
    return np.where(np.isnan(fractions), 0.0, fractions) if math.isnan(fractions.max(initial=0.0)) else fractions


def _units(error: Array, bound: Bound, index: tuple[Any, ...], precision: Precision) -> float:
    """Return one element's error in error units u * T. If its T is zero, the largest T of the array is used; if all are zero, infinity results."""
    terms = np.asarray(bound.abs_sum)
    own = terms if terms.shape == error.shape else np.broadcast_to(terms, error.shape)
    unit = precision.unit * float(own[index]) or precision.unit * float(terms.max())
    return float(error[index]) / unit if unit else float("inf")


def _worst(subject: Array, oracle: Array, index: tuple[Any, ...], tolerance: float | None) -> Worst:
    return Worst(tuple(int(i) for i in index), float(subject[index]), float(oracle[index]), tolerance)


def _not_finite(place: Place, kind: Kind, subject: Array, oracle: Array, terms: Array, precision: Precision) -> Judgement:
    """Judge a subject with NaN or infinity where the oracle is finite: a mismatch, unless the subject's sums may have overflowed."""
    finite: npt.NDArray[np.bool_] = np.isfinite(subject)
    first = np.unravel_index(int(np.argmin(finite)), subject.shape)
    exceeding = int(np.count_nonzero(~finite))
    largest = float(np.finfo(precision.dtype).max)
    if bool((terms[~finite] > largest).all()):
        reason = (
            f"{exceeding:,} elements are not finite; there the sum of the terms' absolute values exceeds {significant(largest)}, "
            f"the largest {precision.dtype} number, so that right code may overflow, too"
        )
        return Judgement(place, kind, Verdict.UNDECIDED, subject.size, exceeding, worst=_worst(subject, oracle, first, None), reason=reason)
    found = "NaN" if np.isnan(subject[first]) else "infinite"
    reason = f"{found} where a finite number is expected; {exceeding:,} of {subject.size:,} elements are not finite"
    return Judgement(place, kind, Verdict.MISMATCH, subject.size, exceeding, math.inf, math.inf, _worst(subject, oracle, first, None), reason)


def equal(place: Place, kind: Kind, subject: Array, other: Array, precision: Precision) -> Judgement:
    """Judge whether two arrays of the subject hold the same numbers, as they must; NaN equals NaN."""
    alike = subject.shape == other.shape and subject.dtype == other.dtype
    # Without a NaN, the usual case, the first comparison is enough.
    if alike and ((subject == other).all() or np.array_equal(subject, other, equal_nan=True)):
        return Judgement(place, kind, Verdict.MATCH, subject.size)
    wide = other.astype(np.float64)
    if subject.shape == other.shape and subject.dtype != other.dtype:
        return Judgement(place, kind, Verdict.MISMATCH, subject.size, reason=f"the dtype is {subject.dtype}, before it was {other.dtype}")
    if subject.shape != other.shape or np.isfinite(wide).all():
        return judge(place, kind, subject, wide, Bound.exact(wide), precision)
    differing = (subject != other) & ~(np.isnan(subject) & np.isnan(other))
    first, exceeding = np.unravel_index(int(differing.argmax()), wide.shape), int(np.count_nonzero(differing))
    worst = _worst(subject.astype(np.float64), wide, first, None)
    reason = f"{exceeding:,} of {subject.size:,} elements are not the same number"
    return Judgement(place, kind, Verdict.MISMATCH, subject.size, exceeding, math.inf, math.inf, worst, reason)


EXIT_STATUS = {Verdict.MATCH: 0, Verdict.MISMATCH: 1, Verdict.UNDECIDED: 2, Verdict.SKIPPED: 2}
"""The exit status of a command with this verdict."""


Facts = dict[str, Any]
"""Plain data that JSON can store, from which reports are made."""


def number(value: float) -> float | None:
    """Return a number that JSON can store; None for infinity and NaN."""
    return float(value) if math.isfinite(value) else None


def significant(value: float, digits: int = 2) -> str:
    """Return a number as text with a few significant digits and without padding zeros: ``0.0028``, ``1.1e-9``."""
    return re.sub(r"e([+-])0*", lambda exponent: "e-" if exponent[1] == "-" else "e", f"{value:.{digits}g}")


def judgement_facts(judgement: Judgement) -> Facts:
    """Return a judgement as plain data for JSON."""
    witness = judgement.witness_effect
    return {
        "step": judgement.place.step,
        "layer": judgement.place.layer,
        "quantity": judgement.place.quantity,
        "kind": judgement.kind.value,
        "verdict": judgement.verdict.value,
        "error_units": number(judgement.units),
        "fraction_of_tolerance": number(judgement.fraction),
        "elements": judgement.elements,
        "wrong_elements": judgement.exceeding,
        "worst_element": None if judgement.worst is None else _worst_facts(judgement.worst),
        "reason": judgement.reason,
        "same_precision_reference": None
        if witness is None
        else {
            "effect": witness.effect.value,
            "subject_fraction_of_theory": number(witness.fraction),
            "reference_fraction_of_theory": number(witness.witness_fraction),
        },
    }


def _worst_facts(worst: Worst) -> Facts:
    return {
        "index": list(worst.index),
        "found": number(worst.subject),
        "expected": number(worst.oracle),
        "error": number(abs(worst.subject - worst.oracle)),
        "tolerance": None if worst.tolerance is None else number(worst.tolerance),
    }


CONTRACT = "contract-"
"""Prefix of the names of checks that do not compare values."""
