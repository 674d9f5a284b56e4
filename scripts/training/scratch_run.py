"""A run of train.py: all remaining steps, with a line after each epoch and checkpoints."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from digits.batches import Batch, Schedule, steps_of_epoch
from digits.files import Digits
from rich.console import Console
from rich.progress import TextColumn

from training.checkpoints import Clock, write
from training.interruption import between_steps
from training.learning_rates import SCHEDULES
from training.progress_bar import progress_bar
from training.scratch_training import Training

SHOWN_OVER = 100
"""The loss and the accuracy beside the progress bar are averages over this many steps."""


@np.errstate(all="ignore")  # a training that diverges overflows, which is reported once
def run(
    training: Training,
    digits: Digits,
    schedule: Schedule,
    left: Iterator[Batch],
    options: argparse.Namespace,
    identity: dict[str, Any],
    console: Console,
) -> None:
    """Do all remaining steps, and write a checkpoint now and then.

    Ctrl-C raises KeyboardInterrupt between two steps, after a last checkpoint.
    """
    per_epoch = steps_of_epoch(len(digits.train_images), options.batch_size)
    progressed, clock, before = training.progressed, Clock(options.checkpoint_every), training.progressed.seconds
    started, shown = time.monotonic(), np.zeros(2)
    with between_steps() as interruption, progress_bar(console, "training", TextColumn("{task.description}")) as progress:
        task = progress.add_task("", total=schedule.steps, completed=progressed.steps)
        for number, batch in enumerate(left, start=1):
            training.optimizer.lr = options.lr * SCHEDULES[options.schedule](progressed.steps, schedule.steps)
            # The moving average starts as the plain average of the first steps.
            shown += (np.array(training.step(batch)) - shown) / min(number, SHOWN_OVER)
            progress.update(task, advance=1, description=f"loss {shown[0]:.4f}  accuracy {100 * shown[1]:5.1f} %")
            if progressed.diverged:
                return
            if progressed.steps % per_epoch == 0:
                console.print(_line(training.end_epoch(batch.epoch, digits, schedule.dtype)), markup=False)
            progressed.seconds = round(before + time.monotonic() - started, 3)
            if options.checkpoint is not None and (clock.due() or interruption.wanted or progressed.steps == schedule.steps):
                write(options.checkpoint, training.checkpoint(identity))
            if interruption.wanted:
                raise KeyboardInterrupt


def _line(epoch: dict[str, float]) -> str:
    """Return the line that is printed after an epoch."""
    train, test = (f"loss {epoch[f'{kind}_loss']:.4f}  accuracy {100 * epoch[f'{kind}_accuracy']:.2f} %" for kind in ("train", "test"))
    return f"epoch {epoch['epoch']:3}  {train}  test {test}"
