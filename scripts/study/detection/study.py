"""The study of the catalogue from its options to its facts."""

from __future__ import annotations

import argparse

from crosscheck.core.judge import Facts
from study import command
from study.detection.alarms_found import Chunk
from study.detection.facts import facts_of
from study.detection.results import result_of
from study.detection.tasks import planned, run, setting
from study.detection.work import hosts_of, selected
from study.state import fingerprint, opened, versions


def measured(options: argparse.Namespace, shown: str) -> Facts:
    """Carry out all tasks and return the study's facts; ``shown`` is the command line that repeats the study."""
    faults = selected(options.faults)
    what = {"seed": options.seed, "quick": options.quick, "pattern": options.faults, "quantities": options.quantities}
    run_facts = {**what, "versions": versions("numpy", "torch"), "code": fingerprint()}
    state = opened(options.state, options.resume, run_facts, result_of)
    tasks = planned(faults, hosts_of(faults), _chunks(options.quantities), options.seed, options.quick)
    results = command.carry_out(run, tasks, state, jobs=options.jobs, limit=options.limit, setting=setting)
    return facts_of(faults, {task.key: result for task, result in zip(tasks, results, strict=True)}, run_facts, shown)


def _chunks(quantities: int | None) -> list[Chunk]:
    """Return the batches of right implementations that compare at least ``quantities`` quantities; if None, each implementation is compared once."""
    if quantities == 0:
        return []
    from study.detection.alarms import chunks, quick  # noqa: PLC0415 - this imports all right implementations

    return quick() if quantities is None else chunks(quantities)
