"""The comparison of a training run that is in progress: its results so far, and the verdict that follows from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosscheck.causes.conventions import Convention
from crosscheck.causes.divergence import Divergence
from crosscheck.core.judge import Judgement, Verdict, combine_verdicts
from crosscheck.core.operation import Labels
from crosscheck.core.precision import Array, Precision
from crosscheck.core.training import MakeTraining
from crosscheck.oracles.network import Architecture
from crosscheck.training.free_run import DistanceSample, FreeRun
from crosscheck.training.jury import Tally
from crosscheck.training.kinks import Decision
from crosscheck.training.mask_counts import DropoutRateTest
from crosscheck.training.record import Key, Record, Series


@dataclass(frozen=True)
class Consequence:
    """A wrong end-to-end value of a layer that is itself right: an earlier layer is wrong."""

    judgement: Judgement  # the first mismatch of the end-to-end value
    relative: float  # the norm of the error divided by the norm of the oracle's value, at that step


@dataclass
class Comparison:
    """Base class for the comparison of a training run; one subclass is for subjects with visible layers, the other for those without."""

    architecture: Architecture
    subject: Any  # trains on its own, independently of the references
    make: MakeTraining  # makes the references
    precision: Precision
    looks: int  # how often :meth:`look` will be called
    perturbed: int = 8  # the number of references with random perturbations; an even number, 0 for none
    seed: int = 0  # the seed of the perturbations
    record: Record = field(default_factory=Record)
    steps: int = 0
    steps_checked: int = 0
    first: Divergence | None = None  # the first divergence of the run
    consequences: dict[tuple[str, str], Consequence] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)
    free: FreeRun | None = None

    def step(self, x: Array, labels: Labels) -> object:
        """Let the subject and the references do one step on a batch, and judge all results of the subject's step."""
        raise NotImplementedError

    @np.errstate(all="ignore")
    def look(self) -> list[DistanceSample]:
        """Measure the distance between the subject and the reference that trains independently."""
        return self.free.look(self.steps, self.subject.params | self.subject.buffers) if self.free else []

    def count(self, decisions: Iterable[Decision]) -> None:
        """Record the decisions at kinks in which subject and oracle differed in a step."""
        for decision in decisions:
            known = self.decisions.get(decision.layer, Decision(decision.layer, 0, 0.0))
            self.decisions[decision.layer] = Decision(decision.layer, known.differing + decision.differing, max(known.margin, decision.margin))

    @property
    def free_verdict(self) -> Verdict:
        """The verdict on the free run: whether rounding explains the distance from the reference at every look."""
        return combine_verdicts({look.verdict for look in self.free.history} if self.free and self.perturbed else ())

    @property
    def left_at(self) -> int | None:
        """The first step at which a look found a larger distance than rounding explains; None if there is none."""
        history = self.free.history if self.free else []
        return next((look.step for look in history if look.verdict is Verdict.MISMATCH), None)

    @property
    def steps_verdict(self) -> Verdict:
        """The verdict on the checked steps, each judged separately; ``skipped`` if nothing was compared."""
        if self.record.count(Verdict.MISMATCH):
            return Verdict.MISMATCH
        if not self.steps_checked or not self.record.compared:
            return Verdict.SKIPPED
        inadmissible = any(not decision.admissible for decision in self.decisions.values())
        return Verdict.UNDECIDED if self.record.count(Verdict.UNDECIDED) or inadmissible else Verdict.MATCH

    @property
    def verdict(self) -> Verdict:
        """The verdict on the whole run.

        ``mismatch`` if any comparison is a mismatch or the free runs diverge; ``undecided`` if anything could not be decided; ``skipped`` if nothing
        was checked at all.
        """
        verdicts = (self.steps_verdict, self.free_verdict)
        if Verdict.MISMATCH in verdicts:
            return Verdict.MISMATCH
        if self.steps_verdict is Verdict.MATCH and self.free_verdict is Verdict.UNDECIDED:
            return Verdict.UNDECIDED
        return self.steps_verdict


Quantity = tuple[str, str]
"""A layer and the name of one of its quantities."""


@dataclass(frozen=True)
class ComparisonState:
    """The state of a :class:`~crosscheck.training.listened.TrainingComparison`, without the arrays of the subject and the references.

    Mappings are stored as lists of (key, value) pairs, in their order.
    """

    steps: int
    steps_checked: int
    series: list[tuple[Key, Series]]
    first: Divergence | None
    divergences: list[tuple[Quantity, Divergence]]
    consequences: list[tuple[Quantity, Consequence]]
    decisions: list[tuple[str, Decision]]
    reference_fractions: list[tuple[Quantity, float]]
    broken: list[Quantity]
    noise: list[tuple[Quantity, float]]  # the relative size of the perturbations of the perturbed references
    looks: list[DistanceSample]  # the history of the free run
    left: list[Quantity] | None  # the names of the arrays from which the next step must start; None if the last step was not traced
    masks: list[tuple[str, DropoutRateTest]]  # the counts of the masks that each dropout layer drew so far
    tallies: list[Tally]
    jury_looks: list[tuple[Quantity, DistanceSample]]  # the last distances from the second and later references of a jury
    conventions: list[tuple[tuple[str, Quantity], Convention]]  # by reference and quantity, those by which a reference differs from the first
