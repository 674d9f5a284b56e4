"""The cost of a checked step, compared with the steps of the subject, the reference and the oracle alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crosscheck.core.judge import Facts
from crosscheck.core.training import TrainState
from study.benchmark.comparison import Step, beside_torch, comparison, complaint, endless, stepping
from study.benchmark.rounds import Pace, alternated
from study.benchmark.sides import DTYPE, Workload
from study.workers import report

STEPS = 1_000
"""About how many steps are checked; the tolerances depend slightly on this number."""


def measured(workloads: Sequence[dict[str, Any]], threads: int, pace: dict[str, Any]) -> Facts:
    """Return, for each workload, the time of a checked step over the sum of the times of subject, reference and oracle alone."""
    rows, wrong = [], []
    for given in workloads:
        workload = Workload(**given)
        report(f"checked step: {workload.network}, batch {workload.batch}")
        own, alone = (beside_torch(training.model, training.optimizer) for training in (workload.training(), workload.training()))
        batches = endless(workload.batch)
        checked = comparison(own, *next(batches), STEPS)
        reference, oracle = own.make(DTYPE, None, 0), own.make(np.dtype(np.float64), None, 0)
        for training in (reference, oracle):
            training.load(TrainState(alone.subject.params))
        runs: dict[str, Step] = {"checked": checked.step, "subject": alone.subject.step, "reference": reference.step, "oracle": oracle.step}
        times = alternated({name: stepping(step, batches) for name, step in runs.items()}, Pace(**pace))
        if words := complaint(checked):
            wrong.append({"network": workload.network, "batch": workload.batch, "threads": threads, "side": "scratch", "words": words})
            continue
        sides = {name: times.milliseconds(name) for name in ("subject", "reference", "oracle")}
        over = [one / sum(others) for one, *others in zip(*times.rounds.values(), strict=True)]
        quantities = checked.record.compared / checked.steps_checked
        milliseconds = times.milliseconds("checked")
        rows.append(
            {
                "network": workload.network,
                "batch": workload.batch,
                "times_sides": float(np.median(over)),
                "milliseconds": milliseconds,
                "sides_milliseconds": sides,
                "quantities": quantities,
                "quantities_per_second": 1e3 * quantities / milliseconds,
            }
        )
    return {"checked_step": rows, "wrong": wrong}
