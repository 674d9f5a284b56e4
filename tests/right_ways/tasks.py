"""The table of everything that right implementations are measured on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from right_ways import networks, optimizers, own
from right_ways.layers import LAYERS
from right_ways.task import Task


@cache
def tasks() -> Mapping[str, Task]:
    """Return the tasks by name."""
    found: list[Task] = [*LAYERS, *own.tasks(), *optimizers.TASKS, *networks.TASKS]
    return {task.name: task for task in found}
