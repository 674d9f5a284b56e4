"""The study of PyTorch's test database from its options to its facts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from crosscheck.core.judge import Facts
from study import command
from study.detection.results import result_of
from study.operations.facts import facts_of
from study.operations.tasks import QUICK, OperationTask, expect_database, planned, run
from study.state import fingerprint, opened, versions


def measured(options: argparse.Namespace, shown: str) -> Facts:
    """Carry out all tasks and return the study's facts; ``shown`` is the command line that repeats the study."""
    pattern = "" if options.operations == "*" else options.operations
    run_facts = {
        "seed": options.seed,
        "quick": options.quick,
        "pattern": pattern,
        "versions": versions("numpy", "torch", "jax"),
        "code": fingerprint(),
    }
    state = opened(options.state, options.resume, run_facts, result_of)

    def results(tasks: Sequence[OperationTask]) -> list[Any]:
        found = command.carry_out(run, tasks, state, jobs=options.jobs, limit=options.limit)
        expect_database(state.results)
        return found

    naming = OperationTask("", options.seed)
    names = QUICK if options.quick else result_of(naming.key, results([naming])[0]).names
    tasks = planned(names, options.operations, options.seed)
    return facts_of({task.name: result for task, result in zip(tasks, results(tasks), strict=True)}, run_facts, shown)
