"""One training step of a subject that shows only its loss and parameters, and how to tell whether a mistake explains it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from crosscheck.causes import Cause
from crosscheck.core.judge import Judgement, Kind, Verdict, equal, judge
from crosscheck.core.operation import Labels
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Place
from crosscheck.core.training import TrainState
from crosscheck.oracles.network import Architecture
from crosscheck.oracles.step import OracleStep, oracle_step

LOSS = ("loss", "output")
Key = tuple[str, str]
Expected: TypeAlias = Mapping[Key, tuple[Array, Bound]]


@dataclass(frozen=True)
class ShownStep:
    """One step of the subject, and the right step from the same parameters.

    Attributes
    ----------
    start : TrainState
        The subject's parameters before the step, and the optimizer's state that right steps so far lead to.
    found : mapping
        The subject's loss and its parameters after the step.
    last_loss : array or None
        The loss that the subject returned in the previous step; None in the first step.
    right_loss : tuple or None
        The right loss of the previous step with its bound; None in the first step.
    batches : sequence
        The batches of the first step and of the previous step, each with its labels; empty in the first step.
    """

    number: int
    architecture: Architecture
    precision: Precision
    start: TrainState
    found: Mapping[Key, Array]
    x: Array
    labels: Labels
    right: OracleStep
    last_loss: Array | None = None
    right_loss: tuple[Array, Bound] | None = None
    batches: Sequence[tuple[Array, Labels]] = ()

    @property
    def after(self) -> dict[str, Array]:
        """The subject's parameters after the step, by name."""
        return {f"{layer}.{name}": value for (layer, name), value in self.found.items() if (layer, name) != LOSS}

    @property
    def loss(self) -> tuple[float, Bound]:
        """The right loss with its bound."""
        value, bound = self.right.expected[LOSS]
        return float(value), bound

    @property
    def wrong(self) -> list[Key]:
        """Which of the loss and the parameters are wrong."""
        return [one.place.key for one in self.judged(self.right.expected) if one.verdict is Verdict.MISMATCH]

    def repeated(self, start: TrainState, x: Array, labels: Labels) -> OracleStep:
        """Return the oracle's step from another state, or on another batch."""
        return oracle_step(self.architecture, start, x, labels, self.precision, {})

    def judged(self, expected: Expected) -> list[Judgement]:
        """Return the judgements on the loss and on every parameter; those without an expected value must not change."""
        judgements = []
        for key, found in self.found.items():
            place = Place(self.number, *key)
            if key in expected:
                judgements.append(judge(place, Kind.WHOLE, found, *expected[key], self.precision))
            else:
                judgements.append(equal(place, Kind.WHOLE, found, self.start.params[".".join(key)], self.precision))
        return judgements

    def agrees(self, expected: Expected) -> Judgement | None:
        """Return the worst judgement if the whole step agrees with other expected values; None if any number differs from them."""
        judgements = self.judged(expected)
        if any(one.verdict is not Verdict.MATCH for one in judgements):
            return None
        return max(judgements, key=lambda one: one.fraction)

    def tells(self, expected: Expected) -> bool:
        """Return whether this step tells other expected values from the right ones: where it is wrong, they differ beyond their own tolerance."""
        wrong = self.wrong
        return bool(wrong) and all(key in expected and self._differs(key, *expected[key]) for key in wrong)

    def _differs(self, key: Key, value: Array, bound: Bound) -> bool:
        right = self.right.expected[key][0] if key in self.right.expected else self.start.params[".".join(key)]
        return value.shape == right.shape and bool((np.abs(value - right) > self.precision.tolerance(bound)).any())


@dataclass(frozen=True)
class Followed:
    """What a mistake says about a step: the expected values with it, and the same mistake in the next step.

    ``shows`` is whether the step can be evidence, apart from the difference to the right values.
    """

    expected: Expected
    later: Mistake | None = None
    shows: bool = True


@dataclass(frozen=True)
class Mistake:
    """A known mistake. ``follow`` computes what a step gives with it; it returns None if the mistake is refuted without any comparison."""

    name: str
    words: str
    follow: Callable[[ShownStep], Followed | None]


@dataclass
class Suspects:
    """The mistakes that explain the first wrong step, until another step, which took no part in the search, decides between them.

    ``rival`` is the cause that was found in the first wrong step without them; None if none was.
    """

    first: Judgement
    rival: Cause | None = None
    open: list[Mistake] = field(default_factory=list)

    def look(self, mistakes: Iterable[Mistake], step: ShownStep) -> None:
        """Keep the mistakes that explain the first wrong step."""
        self.open = [later for mistake in mistakes if (found := _followed(mistake, step)) is not None and found[1] for later in [found[2]]]

    def confirmed(self, step: ShownStep, again: Cause | None) -> Cause | None:
        """Return the first cause that explains another step, too; keep the mistakes that the step neither refutes nor confirms.

        ``again`` is the cause that is found in the other step without the mistakes.
        """
        if again is not None and self.rival is not None and (again.name, again.words) == (self.rival.name, self.rival.words):
            self.open = []
            return replace(self.rival, confirmed=True)
        left = []
        for mistake in self.open:
            if (found := _followed(mistake, step)) is None:
                continue
            worst, shows, later = found
            if shows:
                self.open = []
                return Cause(mistake.name, mistake.words, self.first.units, worst.units, worst.fraction, confirmed=True)
            left.append(later)
        self.open = left
        return None


def _followed(mistake: Mistake, step: ShownStep) -> tuple[Judgement, bool, Mistake] | None:
    """Return how well a mistake explains a step, whether the step is evidence of it, and the mistake in the next step; None if it does not."""
    try:
        found = mistake.follow(step)
    except (ValueError, LookupError, ArithmeticError, TypeError):
        return None
    if found is None or (worst := step.agrees(found.expected)) is None:
        return None
    return worst, found.shows and step.tells(found.expected), found.later or replace(mistake)
