"""The study from its options to its facts."""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase

from crosscheck.core.judge import Facts
from crosscheck.run.cli import UsageError
from study import command
from study.edits.drawing import Source, source_of
from study.edits.facts import facts_of
from study.edits.judging import read
from study.edits.results import result_of
from study.edits.tasks import planned, run
from study.state import fingerprint, opened, versions
from tests.support.edited import LAYERS

CHECKS = 12
"""A task is given up after the time that so many of its checks may take."""


def selected(pattern: str) -> list[Source]:
    """Return the layers whose names match a pattern; raise UsageError if none does."""
    found = [source_of(name, row.layer) for name, row in LAYERS.items() if fnmatchcase(name.lower(), pattern.lower())]
    if not found:
        raise UsageError(f"--layers {pattern}: no layer of tests/support/edited has such a name; there are {', '.join(LAYERS)}")
    return found


def measured(options: argparse.Namespace, shown: str) -> Facts:
    """Carry out all tasks and return the study's facts; ``shown`` is the command line that repeats the study."""
    verdicts, sources = read(options.judged), selected(options.layers)
    what = {"seed": options.seed, "edits_drawn": options.edits, "noise_drawn": options.noise, "limit": options.limit, "pattern": options.layers}
    run_facts = {**what, "versions": versions("numpy", "torch"), "code": fingerprint()}
    state = opened(options.state, options.resume, run_facts, result_of)
    tasks = planned(sources, options.edits, options.noise, options.seed, options.limit)
    found = command.carry_out(run, tasks, state, jobs=options.jobs, limit=CHECKS * options.limit)
    results = [result_of(task.key, facts) for task, facts in zip(tasks, found, strict=True)]
    return facts_of(tasks, results, verdicts, run_facts, shown)
