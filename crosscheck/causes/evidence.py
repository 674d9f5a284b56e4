"""Decide whether a fault model, or a pair of them, explains a mismatch, and keep the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from crosscheck.causes.candidate import Candidate, FaultModel
from crosscheck.causes.scale import constant_factor
from crosscheck.core.check_layer import Failure
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.operation import Oracle
from crosscheck.core.precision import Array, Bound
from crosscheck.oracles.wrapped import limited

_CLOSER = 16
"""A candidate must be this many times closer to the numbers found than the correct numbers are."""

_ROOM = 4
"""A candidate is also close if its distance is below this multiple of the correct result's tolerance; its own tolerance may be larger."""

_CALLS = 200
"""Largest number of oracle calls in the search for a second fault. Fault models that only move numbers need none."""

_FEWEST = 4
"""Two faults are looked for only if the result has at least this many numbers. With fewer, one of the many pairs could fit by chance."""

_MOST = 1 << 14
"""Two faults are looked for only if result and input have at most this many numbers, to save time. The checks of a single layer use fewer."""


EDIT = "edit: "
"""How the names of causes begin that are edits of the reference."""


@dataclass(frozen=True)
class Cause:
    """A fault model that explains a mismatch, with its evidence.

    The evidence is the largest error before and after the fault is taken into account.
    """

    name: str
    words: str
    units_before: float  # largest difference from the correct result, in error units
    units_after: float  # largest difference from the result with this fault, in error units
    fraction_after: float  # the same difference as a fraction of its tolerance
    fitted: bool = False
    confirmed: bool = False  # whether it also explains another call, which took no part in the search; False if the code cannot be called again

    def __str__(self) -> str:
        # An edit of the reference says what is right in its own words.
        return self.words if self.name.startswith(EDIT) else f"{self.words} (with this undone, the result agrees)"


@dataclass(frozen=True)
class Explanation:
    """A candidate that agrees with the numbers found within its own ``tolerance``, the cause to report for it, and the fault model of both."""

    cause: Cause
    candidate: Candidate
    tolerance: Array
    model: FaultModel

    def like(self, other: Explanation) -> bool:
        """Return whether the results of two candidates agree on this call, so that it cannot tell the faults apart."""
        return bool((np.abs(self.candidate.expected - other.candidate.expected) <= np.minimum(self.tolerance, other.tolerance)).all())


@dataclass(frozen=True)
class Evidence:
    """A mismatch against which fault models are tested."""

    failure: Failure

    @cached_property
    def found(self) -> Array:
        """The numbers found, in float64."""
        return self.failure.found.astype(np.float64)

    @cached_property
    def tolerance(self) -> Array:
        """The largest difference from the correct numbers that rounding explains."""
        return np.broadcast_to(self.failure.precision.tolerance(self.failure.bound), self.found.shape)

    @cached_property
    def exceeding(self) -> npt.NDArray[np.bool_]:
        """Mask of the elements whose error exceeds the tolerance, or that are not finite."""
        with np.errstate(invalid="ignore"):
            return np.asarray(~(np.abs(self.found - self.failure.expected) <= self.tolerance))

    @cached_property
    def _reach(self) -> float:
        """Largest distance at which a candidate's own bound is computed; distances are summed over the elements that exceed the tolerance."""
        away = float(np.abs(self.found - self.failure.expected)[self.exceeding].sum())
        return min(away, max(away / _CLOSER, _ROOM * float(self.tolerance[self.exceeding].sum())))

    def candidates(self, fault_model: FaultModel) -> Iterator[Candidate]:
        """Yield the candidates of a fault model until it raises an error.

        A recorded oracle refuses calls that were not recorded, a finite-difference oracle computes one quantity only, and a fault model may fail in
        other ways. No such error may prevent the verdict.
        """
        with suppress(ValueError, LookupError, ArithmeticError), np.errstate(all="ignore"):
            yield from fault_model(self.failure)

    def explained(self, candidate: Candidate, model: FaultModel) -> Explanation | None:
        """Return a candidate as an explanation; None if the numbers found deviate from it, or if its tolerance is so wide that it proves nothing."""
        failure, expected = self.failure, candidate.expected
        dtype = failure.precision.dtype
        if expected.shape != self.found.shape or failure.found.dtype != (candidate.dtype or dtype):
            return None
        if candidate.dtype is None and not self.exceeding.any():
            return None
        with np.errstate(invalid="ignore"):
            distance = float(np.abs(self.found - expected)[self.exceeding].sum())
        if not candidate.shown and not distance < self._reach:
            return None
        bound = candidate.limits(failure)
        tolerance = np.broadcast_to(failure.precision.tolerance(bound), expected.shape)
        after = agreement(failure, candidate, bound)
        if after.verdict is not Verdict.MATCH or not np.isfinite(tolerance[self.exceeding]).all():
            return None
        # A candidate explains nothing if its tolerance covers the correct numbers, too, at all elements where the subject is wrong.
        if not candidate.shown and not (np.abs(expected - failure.expected) > tolerance)[self.exceeding].any():
            return None
        cause = Cause(candidate.name, candidate.words + candidate.note, failure.judgement.units, after.units, after.fraction, candidate.fitted)
        return Explanation(cause, candidate, tolerance, model)

    def explanations(self, fault_models: Sequence[FaultModel]) -> list[Explanation]:
        """Return all explanations in the order of the fault models, the closest candidate of each first; those with a fitted number come last."""
        tested = [
            (place, explanation)
            for place, fault_model in enumerate(fault_models)
            for candidate in self.candidates(fault_model)
            if (explanation := self.explained(candidate, fault_model)) is not None
        ]
        return [one for _, one in sorted(tested, key=lambda found: (found[1].candidate.fitted, found[0], found[1].cause.fraction_after))]


def agreement(failure: Failure, candidate: Candidate, bound: Bound) -> Judgement:
    """Judge whether the numbers of a failure agree with a candidate's. What is not finite agrees only with what is not finite."""
    found, expected = failure.found.astype(failure.precision.dtype, copy=False), candidate.expected
    beyond = ~np.isfinite(expected)
    if beyond.any() and found.shape == expected.shape and np.array_equal(beyond, ~np.isfinite(found)):
        found, expected = (np.where(beyond, array.dtype.type(0), array) for array in (found, expected))
    return judge(failure.judgement.place, Kind.LAYER, found, expected, bound, failure.precision)


def in_its_precision(failure: Failure) -> Failure:
    """Return a failure whose numbers, if they are in a lower precision than expected, are converted, so that they can be judged."""
    found, dtype = failure.found, failure.precision.dtype
    lower = found.dtype.kind == "f" and found.dtype.itemsize < dtype.itemsize
    return replace(failure, found=found.astype(dtype)) if lower else failure


def two_at_once(failure: Failure, fault_models: Sequence[FaultModel], on_top: Sequence[FaultModel]) -> Iterator[Explanation]:
    """Yield the pairs of fault models that explain a mismatch together.

    The first is one of ``fault_models``. The second is one of ``on_top``; it is tested as if the result with the first fault were correct.
    """
    if failure.found.size < _FEWEST or max(failure.found.size, failure.call.x.size) > _MOST:
        return
    evidence, oracle = Evidence(failure), limited(failure.oracle, _CALLS)
    for one in fault_models:
        for first in evidence.candidates(one):
            if not _may_be_first(first, evidence):
                continue
            changed = _as_if_right(first, failure, oracle)
            for second in Evidence(changed).explanations(on_top):
                if second.candidate.fitted or one is second.model is constant_factor:
                    continue
                pair = _Pair(one, first, second.model, second.candidate)
                # The pair is tested against the correct numbers, too: two faults that cancel each other explain nothing.
                both = evidence.explained(pair.joined(second.candidate, changed), pair)
                if both is not None:
                    yield both


def _as_if_right(first: Candidate, failure: Failure, oracle: Oracle) -> Failure:
    """Return a failure as it would be if the result with one fault were the correct one."""
    with np.errstate(all="ignore"):
        return replace(failure, expected=first.expected, bound=first.limits(failure), call=first.call or failure.call, oracle=oracle)


@dataclass(frozen=True)
class _Pair:
    """The fault model of a layer with two faults, each a candidate of its own fault model."""

    one: FaultModel
    first: Candidate
    on_top: FaultModel
    second: Candidate

    def __call__(self, failure: Failure) -> Iterator[Candidate]:
        """Yield what a layer with both faults would have computed on another call."""
        for first in self.one(failure):
            if first.words == self.first.words:
                changed = _as_if_right(first, failure, failure.oracle)
                yield from (self.joined(second, changed) for second in self.on_top(changed) if second.words == self.second.words)

    def joined(self, second: Candidate, changed: Failure) -> Candidate:
        """Return the result with both faults, given the candidate of the second and the failure that it was tested on."""
        words = f"two faults: {self.first.words}; and {second.words}"
        return replace(second, name=f"{self.first.name} + {second.name}", words=words, bound=second.limits(changed), again=None)


def _may_be_first(first: Candidate, evidence: Evidence) -> bool:
    """Return whether to look for a second fault on top of ``first``.

    It has no fitted number, it changes the result, and if most numbers already match, it makes more of them match.
    """
    if first.fitted or first.shown or first.expected.shape != evidence.found.shape or not first.expected.any():
        return False
    if not (np.abs(first.expected - evidence.failure.expected) > evidence.tolerance).any():
        return False
    wrong, exceeding = np.abs(evidence.found - first.expected) > evidence.tolerance, evidence.exceeding
    return bool(2 * np.count_nonzero(exceeding) > exceeding.size or np.count_nonzero(wrong) < np.count_nonzero(exceeding))
