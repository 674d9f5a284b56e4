"""The parts of the benchmark as tasks, each in a fresh process that has its threads and cores from before its first import."""

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
    function: str  # ``module.name`` of the function that measures it, which gets the settings and the threads and returns plain data
    threads: int
    settings: dict[str, Any]  # plain data

    @property
    def key(self) -> str:
        """The name of its result."""
        return f"{self.part}, {self.threads}: {json.dumps(self.settings)}"


def setting(task: Task) -> Setting:
    """Return what the process of a task is started with."""
    return Setting(task.threads, pinned=True)


def run(task: Task) -> Facts:
    """Carry out a task and return its result."""
    module, _, name = task.function.rpartition(".")
    found: Facts = getattr(importlib.import_module(module), name)(**task.settings, threads=task.threads)
    return found
