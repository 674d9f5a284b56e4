"""Processes of tasks: what a broken task does to them is its result, and each has the threads, cores and variables that its tasks need."""

from __future__ import annotations

import os
from typing import Any

import pytest
from study.workers import Setting, available, results

from tests.support.worker_tasks import carried_out


def found(*tasks: str, **ways: Any) -> list[Any]:
    """Return the results of tasks."""
    return [result for _, result in results(carried_out, tasks, **ways)]


def test_broken_tasks_do_not_stop_the_others() -> None:
    """The last one has one thread and reports what it does."""
    reported = list[str]()
    *broken, right = found("dies", "raises", "is right", reported=reported.append)
    assert [one["failed"] for one in broken] == ["its process died", "ValueError: in words"]
    assert (right["threads"], reported) == ("1", ["in words"])


def test_task_that_does_not_end_is_given_up() -> None:
    assert found("never ends", "never ends", limit=1) == [{"failed": "did not end within 1 s"}] * 2


def test_process_is_used_again_unless_fresh_ones_are_wanted() -> None:
    assert [len({one["process"] for one in found("a", "b", fresh=fresh)}) for fresh in (False, True)] == [1, 2]


def test_task_gets_the_variables_that_it_needs() -> None:
    """A process with other variables is replaced; this process keeps its own."""
    own = found("a", "b", "b", setting=lambda task: Setting(threads=2, variables={"OWN_VARIABLE": task}))
    assert [(one["own"], one["threads"]) for one in own] == [("a", "2"), ("b", "2"), ("b", "2")]
    assert own[1]["process"] == own[2]["process"]
    assert "OWN_VARIABLE" not in os.environ


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux gives a process its cores")
def test_pinned_process_has_its_cores() -> None:
    before = os.sched_getaffinity(0)
    (pinned,) = found("a", setting=lambda task: Setting(1, pinned=True))
    (free,) = found("a")
    assert (pinned["cores"], free["cores"]) == (1, available())
    assert os.sched_getaffinity(0) == before


def test_stopped_run_starts_nothing_more() -> None:
    seen = list[str]()
    for task, _ in results(carried_out, ["a", "b", "c"], stopped=lambda: bool(seen)):
        seen.append(task)
    assert seen == ["a"]
