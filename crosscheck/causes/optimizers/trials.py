"""Runs of an optimizer on which causes are tested: the failing one, and others that take no part in the search."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.operation import Arrays
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.optimizers.runs import Expected, Step, value_of


@dataclass(frozen=True)
class Trial:
    """A run of the code under test.

    Attributes
    ----------
    start : mapping of str to array
        The parameters before the first step.
    grads : sequence of mappings
        The gradients of each step.
    found : sequence of Step
        The parameters after each step, and the states by the reference's names.
    expected : Expected
        What is right.
    precision : Precision
    """

    start: Arrays
    grads: Sequence[Arrays]
    found: Sequence[Step]
    expected: Expected
    precision: Precision

    @property
    def wide(self) -> list[dict[str, Array]]:
        """The gradients in float64."""
        return [{name: value.astype(np.float64) for name, value in given.items()} for given in self.grads]

    @property
    def params(self) -> list[Arrays]:
        """The parameters found after each step."""
        return [step.params for step in self.found]

    @property
    def complete(self) -> bool:
        """Whether all numbers of all steps were found, and are finite."""
        found = [(value_of(step, *place), self.expected.value(number, *place)) for number, step in enumerate(self.found) for place in self.places]
        return len(self.found) == len(self.grads) and all(mine.shape == right.shape and np.isfinite(mine).all() for mine, right in found)

    @property
    def places(self) -> list[tuple[str, str]]:
        """The states that are compared (empty for the parameters themselves), each with each parameter."""
        return [(state, name) for state in ("", *self.found[0].state) for name in self.start] if self.found else []

    @property
    def count(self) -> int:
        """The number of numbers that are compared."""
        return sum(value_of(step, *place).size for step in self.found for place in self.places)

    @property
    def wrong(self) -> frozenset[str]:
        """The names of the parameters that are wrong, or have a wrong state, after any step."""
        return frozenset(place[1] for _, place, judgement in self._judged(self.expected, self.places) if judgement.verdict is Verdict.MISMATCH)

    def errors(self, steps: Sequence[Step], places: Collection[tuple[str, str]] | None = None) -> list[dict[tuple[str, str], Array]]:
        """Return how far the numbers found are from other ones, in tolerances of the right ones, for each step and place."""
        result: list[dict[tuple[str, str], Array]] = []
        with np.errstate(all="ignore"):
            for number, (mine, theirs) in enumerate(zip(self.found, steps, strict=True)):
                result.append({})
                for place in places or self.places:
                    tolerance = self.precision.tolerance(self.expected.bounds[number][place]) + self.precision.smallest
                    result[-1][place] = np.abs(value_of(mine, *place) - value_of(theirs, *place)) / tolerance
        return result

    def distance(self, steps: Sequence[Step], places: Collection[tuple[str, str]] | None = None) -> float:
        """Return a measure of how far the numbers found are from other ones, in which no single large error outweighs all others."""
        return float(sum(np.log1p(value).sum() for errors in self.errors(steps, places) for value in errors.values()))

    def agreement(self, expected: Expected, names: Collection[str] | None = None) -> Judgement | None:
        """Return the verdict with the largest error if all numbers agree, those of the parameters ``names`` alone if given; None if they do not."""
        places = [place for place in self.places if (names is None or place[1] in names) and place in expected.bounds[0]]
        judgements = [judgement for _, _, judgement in self._judged(expected, places)]
        if not judgements or any(one.verdict is not Verdict.MATCH for one in judgements):
            return None
        return max(judgements, key=lambda one: one.fraction)

    def covers(self, expected: Expected) -> bool:
        """Return whether an explanation's tolerances have room for the right numbers, so that it explains nothing."""
        right = [Step(_like(step.params, self.found[0].params), {}) for step in self.expected.steps]
        return replace(self, found=right).agreement(expected) is not None

    def only(self, names: Collection[str]) -> Trial:
        """Return this run with some of its parameters."""

        def some(arrays: Arrays) -> dict[str, Array]:
            return {name: value for name, value in arrays.items() if name in names}

        found = [Step(some(step.params), {state: some(arrays) for state, arrays in step.state.items()}) for step in self.found]
        return replace(self, start=some(self.start), grads=[some(given) for given in self.grads], found=found)

    def _judged(self, expected: Expected, places: Sequence[tuple[str, str]]) -> list[tuple[int, tuple[str, str], Judgement]]:
        return [
            (number, place, judge(_NOWHERE, Kind.UPDATE, value_of(step, *place), expected.value(number, *place), bounds[place], self.precision))
            for number, (step, bounds) in enumerate(zip(self.found, expected.bounds, strict=False))
            for place in places
        ]


_NOWHERE = Place(0, "", "")
"""The place of judgements that are not reported."""


def _like(arrays: Arrays, like: Mapping[str, Array]) -> dict[str, Array]:
    return {name: value.astype(like[name].dtype) for name, value in arrays.items()}
