"""All results of the benchmark as plain data, with a verdict."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crosscheck.core.judge import Facts
from crosscheck.report.words import counted
from study import state
from study.benchmark.plan import PARTS, Choice
from study.benchmark.sides import OPTIONAL, SIDES
from study.benchmark.targets import compared
from study.benchmark.tasks import Task
from study.workers import FAILED, available

LISTS = ("training_step", "checked_step", "memory", "layers", "growth", "startup", "wrong", "missing")
SINGLE = ("full_run", "memory_run")
RIGHT, WRONG, NOT_MEASURED = 0, 1, 2


def facts_of(found: Sequence[tuple[Task, Facts]], choice: Choice, command: str, load: float) -> Facts:
    """Return the findings of all tasks with the targets and the verdict; ``load`` is how many cores other processes kept busy at the beginning."""
    facts: dict[str, Any] = {name: [row for _, own in found for row in own.get(name, [])] for name in LISTS}
    facts |= {name: next((own[name] for _, own in found if name in own), None) for name in SINGLE}
    facts["missing"] = list({tuple(row.items()): row for row in facts["missing"]}.values())
    facts["failed"] = [{"part": PARTS[task.part], "threads": task.threads, "words": own[FAILED]} for task, own in found if FAILED in own]
    unexpected = [row for row in facts["missing"] if row["side"] not in OPTIONAL]
    status = WRONG if facts["wrong"] else NOT_MEASURED if facts["failed"] or unexpected else RIGHT
    facts |= {
        "schema_version": 1,
        "status": status,
        "verdict": ("match", "mismatch", "undecided")[status],
        "parts": list(choice.parts),
        "quick": choice.quick,
        "sides": {name: SIDES[name][2] for name in choice.sides},
        "versions": versions(),
        "machine": {**machine(), "load": round(load, 2)},
        "command": command,
    }
    facts["targets"] = list(compared(facts))
    facts["headline"] = _headline(facts)
    return facts


def _headline(facts: Mapping[str, Any]) -> str:
    reached = [row["reached"] for row in facts["targets"]]
    aims = f"{reached.count(True)} of {counted(len(reached), 'target')} reached"
    unmeasured = f", {reached.count(None)} not measured" if None in reached else ""
    quick = "; a quick look, not a measurement" if facts["quick"] else ""
    if facts["wrong"]:
        sides = ", ".join(dict.fromkeys(row["side"] for row in facts["wrong"]))
        return f"WRONG: {sides}, which was not timed where it is wrong; {aims}{unmeasured}{quick}"
    if facts["status"] == NOT_MEASURED:
        lost = dict.fromkeys([*(f"{row['side']} is missing" for row in facts["missing"]), *(f"{row['part']} failed" for row in facts["failed"])])
        return f"NOT ALL MEASURED: {', '.join(lost)}; {aims}{unmeasured}{quick}"
    return f"RIGHT: every side that was timed agrees with the oracle; {aims}{unmeasured}{quick}"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    return state.versions("numpy", "torch", "jax", "keras", missing="not installed")


def machine() -> dict[str, Any]:
    """Return the processor, its cores and the system."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return {"processor": model, "cores": available(), "system": platform.system()}


def load() -> float:
    """Return how many processes wanted a core in the last minute, on average; 0 if the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
