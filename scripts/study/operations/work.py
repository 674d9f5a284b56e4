"""Study one operation of the test database: judge each way to compute it, with crosscheck and with the rules people use, and plant faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch

from crosscheck.core.check_layer import LayerCheck, check_layer
from crosscheck.core.judge import Facts, Judgement, Verdict
from crosscheck.core.operation import Call
from crosscheck.core.precision import Precision
from crosscheck.references.pytorch.oracle import oracle
from study.detection.rivals import DATABASE, OPERATION_RULES, Compared, Rule, rule_of_database
from study.operations.database import NoSampleError, Operation, database, operations, tolerances
from study.operations.differences import difference
from study.operations.faults import Ground, planned, planted
from study.operations.inputs import FAMILIES, Attempt, attempts
from study.operations.remembered import Remembering
from study.operations.subjects import OWN, Subject, subjects
from study.operations.tasks import OperationTask

ELEMENTS = 10_000_000
"""About how many numbers a whole run compares; the probability of any false alarm among them is one in a million."""

OUTSIDE = "no numbers of this family are in its domain: PyTorch's own result in float64 is refused or not finite"
"""The reason why a family is not tried."""


@dataclass
class Trial:
    """An operation and the findings on it so far."""

    name: str
    precision: Precision
    rules: Mapping[str, Rule]  # the rules that people use
    seed: int
    # by family, for each sample: why not everything was judged; empty if everything was
    families: dict[str, list[str]] = field(default_factory=lambda: {family: [] for family in FAMILIES})
    made: dict[str, list[str]] = field(default_factory=lambda: {family: [] for family in FAMILIES})  # by family and sample: how its numbers were made
    ways: dict[str, Counter[str]] = field(default_factory=dict)  # for each way to compute the operation, counts of what happened to its quantities
    unjudged: Counter[str] = field(default_factory=Counter)  # why quantities of the own kernel were not judged
    impossible: dict[str, str] = field(default_factory=dict)  # why a way cannot compute the operation
    alarms: list[Facts] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)  # errors of the harness itself
    # for each rule, how many quantities that differ from the kernel's in any bit it judged, and how many of these it rejected
    ruled: dict[str, list[int]] = field(default_factory=dict)
    grounds: list[Ground] = field(default_factory=list)

    def sample(self, number: int, operation: Operation) -> None:
        """Try one sample in every family."""
        remembering = Remembering(oracle(operation))
        for family in FAMILIES:
            place = f"sample {number}, {family}"
            try:
                chosen = self._chosen(operation, remembering, family, place)
            except Exception as error:  # noqa: BLE001 - an error of the harness is a finding
                self.crashes.append(f"{place}: {type(error).__name__}: {error}")
                chosen = None
            if chosen is None:
                self.families[family].append(OUTSIDE)
                continue
            attempt, own = chosen
            self.made[family].append(attempt.words)
            reasons = [judgement.reason or str(judgement.verdict) for judgement in own.judgements if not judged(judgement, own)]
            self.families[family].append(reasons[0] if reasons else "")
            self.unjudged.update(reasons)
            self._judge_all(operation, remembering, attempt, own, place)
            right = [judgement.place.quantity for judgement in own.judgements if judgement.verdict is Verdict.MATCH]
            self.grounds.append(Ground(place, remembering, attempt.call, {quantity: own.found[quantity] for quantity in right}))

    def _chosen(self, operation: Operation, remembering: Remembering, family: str, place: str) -> tuple[Attempt, LayerCheck] | None:
        """Return the first attempt in which all quantities of the own kernel are judged, or else the first attempt, with its check."""
        first = None
        own = subjects(operation)[OWN]
        for attempt in attempts(operation, remembering, family, self.seed):
            check = self._checked(own, remembering, attempt.call, f"{place}, {OWN}")
            if check is None:
                continue
            first = first or (attempt, check)
            if all(judged(judgement, check) for judgement in check.judgements):
                return attempt, check
        return first

    def _checked(self, subject: Subject, remembering: Remembering, call: Call, place: str) -> LayerCheck | None:
        try:
            return check_layer(subject, remembering, call, self.precision, self.name)
        except Exception as error:  # noqa: BLE001 - an error of the harness is a finding
            self.crashes.append(f"{place}: {type(error).__name__}: {error}")
            return None

    def _judge_all(self, operation: Operation, remembering: Remembering, attempt: Attempt, own: LayerCheck, place: str) -> None:
        for way, subject in subjects(operation).items():
            check = own if way == OWN else self._checked(subject, remembering, attempt.call, f"{place}, {way}")
            if check is None:
                continue
            counts = self.ways.setdefault(way, Counter())
            missing = [judgement.reason for judgement in check.judgements if judgement.place.quantity not in check.found and check.expected]
            if missing:
                self.impossible.setdefault(way, missing[0])
                counts["impossible"] += len(missing)
                continue
            for judgement in check.judgements:
                if judged(judgement, check):
                    self._count(judgement, way, check, own, attempt, place)
                else:
                    counts["unjudged"] += 1

    def _count(self, judgement: Judgement, way: str, check: LayerCheck, own: LayerCheck, attempt: Attempt, place: str) -> None:
        quantity, family, counts = judgement.place.quantity, place.rpartition(", ")[2], self.ways[way]
        found, kernel = check.found[quantity], own.found[quantity]
        named = difference(way, self.name, family, quantity) if judgement.verdict is Verdict.MISMATCH else ""
        counts["judged"] += 1
        counts["widened"] += judgement.widened
        if way != OWN and not np.array_equal(found, kernel, equal_nan=True):
            counts["other"] += 1
            if not named:
                self._ask_rules(Compared(quantity, found, kernel, own.expected[quantity]))
        if judgement.verdict is Verdict.MISMATCH:
            counts["named" if named else "alarms"] += 1
            self.alarms.append(alarm(self.name, f"{place} ({attempt.words})", way, judgement) | {"named": named})

    def _ask_rules(self, compared: Compared) -> None:
        if np.isfinite(compared.reference).all():
            for name, rule in self.rules.items():
                counts = self.ruled.setdefault(name, [0, 0])
                counts[0] += 1
                counts[1] += not rule.takes_for_right(compared)


def judged(judgement: Judgement, check: LayerCheck) -> bool:
    """Return whether a quantity was computed and got a verdict."""
    return judgement.place.quantity in check.found and judgement.verdict in (Verdict.MATCH, Verdict.MISMATCH)


def alarm(name: str, place: str, way: str, judgement: Judgement) -> Facts:
    """Return a false alarm as plain data."""
    fraction = judgement.fraction if np.isfinite(judgement.fraction) else None
    worst = judgement.worst
    words = "" if worst is None else f"{worst.subject!r} for {worst.oracle!r} at {list(worst.index)}"
    return {
        "operation": name,
        "place": place,
        "way": way,
        "quantity": judgement.place.quantity,
        "fraction": fraction,
        "words": ", ".join(filter(None, (words, judgement.reason))),
    }


def tried(name: str, found: list[Operation], own_tolerances: Mapping[str, float], seed: int) -> Facts:
    """Return the findings on an operation; ``found`` is the operation with each sample, ``own_tolerances`` are the database's tolerances."""
    trial = Trial(name, Precision(np.dtype(np.float32), ELEMENTS), OPERATION_RULES | {DATABASE: rule_of_database(own_tolerances)}, seed)
    for number, operation in enumerate(found):
        trial.sample(number, operation)
    return {
        "samples": len(found),
        "families": trial.families,
        "made": trial.made,
        "ways": {way: dict(counts) for way, counts in trial.ways.items()},
        "impossible": trial.impossible,
        "unjudged": dict(trial.unjudged),
        "alarms": trial.alarms,
        "crashes": trial.crashes,
        "rules": trial.ruled,
        "faults": [planted(fault, trial) for fault in planned(trial)],
    }


@cache
def _database() -> dict[str, Any]:
    return database()


def run(task: OperationTask) -> Facts:
    """Carry out a task: list the operations of the database, or try one of them."""
    torch.set_num_threads(1)
    if not task.name:
        return {"names": list(_database())}
    info = _database()[task.name]
    try:
        found = operations(info, task.seed)
    except NoSampleError as error:
        return {"refused": str(error)}
    return tried(task.name, found, tolerances(info), task.seed)
