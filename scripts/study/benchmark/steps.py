"""Time the training step of each side, after the oracle has judged that the side is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from digits.batches import Labels

from crosscheck.core.judge import Facts
from study.benchmark.judge import Judge, wrong
from study.benchmark.rounds import Pace, Run, alternated
from study.benchmark.sides import SIDES, Images, MissingError, Side, Workload, applicable, digits, made
from study.workers import report

BASE = "scratch"
JUDGED = 2
"""The number of steps that are judged before the timing; each starts from the state after the previous one."""
BATCHES = 8
"""The timed steps cycle through this many batches."""


def measured(workloads: Sequence[dict[str, Any]], sides: Sequence[str], threads: int, pace: dict[str, Any]) -> Facts:
    """Return the times of all sides, and which sides are wrong or missing and why."""
    found: dict[str, list[Any]] = {"training_step": [], "wrong": [], "missing": []}
    for given in workloads:
        workload = Workload(**given)
        which = {"network": workload.network, "batch": workload.batch, "threads": threads}
        data, right = digits(workload.batch, BATCHES), dict[str, Side]()
        for name in (own for own in sides if applicable(own, workload)):
            report(f"{workload.network}, batch {workload.batch}, {SIDES[name][2]}: is it right?")
            try:
                side, complaint = judged(name, workload, data)
            except MissingError as error:
                found["missing"].append({**which, "side": name, "words": str(error)})
                continue
            if complaint:
                found["wrong"].append({**which, "side": name, "words": complaint})
            else:
                right[name] = side
        report(f"{workload.network}, batch {workload.batch}: timing {len(right)} sides in turns")
        times = alternated({name: _run(side, data) for name, side in right.items()}, Pace(**pace))
        for name in right:
            ratio = times.times(name, BASE) if BASE in right else None
            found["training_step"].append({**which, "side": name, "milliseconds": times.milliseconds(name), "times_scratch": ratio})
    return found


def judged(name: str, workload: Workload, data: Sequence[tuple[Images, Labels]]) -> tuple[Side, str]:
    """Return a side after its first steps, and what is wrong with them (empty if they are right). Raise MissingError if it cannot be measured."""
    side = made(name, workload)
    judge = Judge.of(side, workload, JUDGED)
    return side, wrong([judgement for batch in data[:JUDGED] for judgement in judge.step(*batch)])


def _run(side: Side, data: Sequence[tuple[Images, Labels]]) -> Run:
    return lambda count: side.run([data[number % len(data)] for number in range(count)])
