"""The parts of the benchmark as tasks. Each runs in a new process, whose number of threads and cores is set before anything is imported."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from typing import Any

from crosscheck.core.judge import Facts
from study.workers import Setting


@dataclass(frozen=True)
class Task:
    """One piece of the benchmark."""

    part: str  # the part of the benchmark that it belongs to
    # ``module.name`` of the function that measures this piece: it gets the settings and the number of threads, and returns plain data
    function: str
    threads: int
    settings: dict[str, Any]  # plain data

    @property
    def key(self) -> str:
        """The name of the task's result."""
        return f"{self.part}, {self.threads}: {json.dumps(self.settings)}"


def setting(task: Task) -> Setting:
    """Return the setting with which a task's process is started."""
    return Setting(task.threads, pinned=True)


def run(task: Task) -> Facts:
    """Carry out a task and return its result."""
    module, _, name = task.function.rpartition(".")
    found: Facts = getattr(importlib.import_module(module), name)(**task.settings, threads=task.threads)
    return found
