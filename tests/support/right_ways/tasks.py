"""The table of everything that right implementations are measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from torch import nn

from tests.support.right_ways import linear, networks, normalisation, optimizers, own
from tests.support.right_ways.images import PIXELS, image_shape
from tests.support.right_ways.layers import LAYERS, dense, normalised
from tests.support.right_ways.modules import tasks as modules
from tests.support.right_ways.modules.images import IMAGE_ROWS
from tests.support.right_ways.modules.table import ROWS
from tests.support.right_ways.task import LayerTask, Task


def on_images(name: str) -> str:
    return f"{name}, digit images"


def _shown_images(task: LayerTask) -> LayerTask:
    """Return the task with whole digits instead of small arrays; a matrix gets digits cut into rows."""
    shape = task.shapes[0]
    free = len(shape) == 2 and not task.params and not task.buffers
    return replace(task, name=on_images(task.name), shapes=[(4, PIXELS) if free else image_shape(shape)], images=True, cost=2 * task.cost)


WHOLE = (
    replace(dense(on_images("linear, 784 to 10"), PIXELS, 10, (5,), linear.WAYS, cost=6.0), images=True),
    normalised(on_images("batch norm 1d of 784"), nn.BatchNorm1d(PIXELS), normalisation.WAYS, [(8, PIXELS)], cost=3.0, images=True),
)
"""Layers of whole images, a digit in each row."""


@cache
def tasks() -> Mapping[str, Task]:
    layers: list[LayerTask] = [*LAYERS, *own.tasks()]
    rows = [*modules.tasks(ROWS), *(replace(task, name=on_images(task.name), images=True) for task in modules.tasks(IMAGE_ROWS))]
    found: list[Task] = [*layers, *map(_shown_images, layers), *WHOLE, *rows, *optimizers.TASKS, *networks.TASKS]
    return {task.name: task for task in found}
