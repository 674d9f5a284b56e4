"""Command-line options shared by the training scripts: argument types, and options for images, checkpoints and training."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from digits.files import SHIPPED, DataError, cache_folder, download
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from crosscheck.core.files import NotWritableError
from crosscheck.run.cli import UsageError
from scratch.networks import KERNELS, Recipe
from training.checkpoints import CheckpointError, Interval, expect_fresh
from training.learning_rates import SCHEDULES

CANNOT = 2
"""The exit status of a command that could not do its work."""
KEEPING_OPTIONS = ("--checkpoint", "--checkpoint-every", "--resume")
"""Options that do not change the results of a run."""
KEEPING = tuple(name.removeprefix("--").replace("-", "_") for name in KEEPING_OPTIONS)


def at_least(least: int) -> Callable[[str], int]:
    """Return a function that parses a whole number of at least ``least``."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value}: expected a whole number of at least {least}")
        return value

    number.__name__ = "whole number"  # argparse shows it if int() fails
    return number


def even(text: str) -> int:
    """Parse an even number of at least 0."""
    value = int(text)
    if value < 0 or value % 2:
        raise argparse.ArgumentTypeError(f"{value}: expected an even number, or 0")
    return value


def rate(text: str) -> float:
    """Parse a finite number of at least 0."""
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"{text}: expected a finite number of at least 0")
    return value


def expect_representable(lr: float, dtype: str) -> None:
    """Make sure that the precision can hold the learning rate."""
    if lr > float(np.finfo(dtype).max):
        raise UsageError(f"--lr {lr:g}: beyond what {dtype} can hold; lower it")


def device(text: str) -> str:
    """Parse the name of a device: ``cpu``, ``cuda``, or ``cuda:1`` for one of several GPUs."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected cpu, cuda or one of several, such as cuda:1")
    return text


def expect_tf32(asked: bool, device: str, dtype: str) -> None:
    """Make sure that ``--tf32`` is only given for float32 on cuda, where TF32 can be used."""
    if asked and (device == "cpu" or dtype != "float32"):
        raise UsageError(f"--tf32: TF32 is only for float32 on cuda, not for {dtype} on {device}; leave it out")


def interval(text: str) -> Interval:
    """Parse how often to write a checkpoint: ``90s`` is a time, ``500`` a number of steps."""
    number, steps = text.removesuffix("s"), not text.endswith("s")
    try:
        value = int(number) if steps else float(number)
    except ValueError:
        value = -1
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of steps, such as 500, or of seconds, such as 90s")
    return Interval(steps=int(value)) if steps else Interval(seconds=value)


def add_images(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which images are used."""
    images = parser.add_argument_group("the images")
    images.add_argument("--train-size", type=at_least(1), default=None, help="use only the first N training images (default: all)")
    images.add_argument("--test-size", type=at_least(1), default=None, help="use only the first N test images (default: all)")
    add_folder(images)


def add_folder(parser: argparse._ActionsContainer) -> None:
    """Add the options that say where the images are."""
    parser.add_argument("--data-dir", type=Path, default=None, help="folder with the four MNIST files (default: the 1,000 + 1,000 that ship)")
    parser.add_argument("--download", action="store_true", help="fetch the full set into --data-dir, or into a cache folder, and use it")


def add_kernels(parser: argparse._ActionsContainer) -> None:
    """Add the option that chooses between scratch's plain and fast layers."""
    parser.add_argument(
        "--kernels",
        choices=tuple(KERNELS),
        default="fast",
        help="plain: the layers of scratch/, written to be read; fast: those of scratch/fast/. What they compute differs by rounding alone; "
        "a checkpoint of one can be resumed with the other",
    )


def add_schedule(parser: argparse._ArgumentGroup) -> None:
    """Add the option that changes the learning rate over the run."""
    parser.add_argument(
        "--schedule",
        choices=tuple(SCHEDULES),
        default="constant",
        help="how the learning rate changes: step divides it by 10 after each third of the run, cosine takes it down to 0 at the end, "
        "warmup-cosine also lets it rise over the first twentieth",
    )


def add_augment(parser: argparse._ArgumentGroup) -> None:
    """Add the option that augments the training images."""
    parser.add_argument(
        "--augment", action="store_true", help="move, turn and scale each training image a little at random, differently in every step"
    )


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add the options of a run that can be killed and continued."""
    kept = parser.add_argument_group("long runs")
    kept.add_argument("--checkpoint", type=Path, default=None, metavar="FILE", help="write all that is needed to continue there, now and then")
    kept.add_argument(
        "--checkpoint-every",
        type=interval,
        default="60s",
        metavar="STEPS|SECONDS",
        help="how often: 500 is a number of steps, 90s a time in seconds",
    )
    kept.add_argument(
        "--resume", action="store_true", help="continue from --checkpoint if it exists, exactly as if the run had not stopped; needs the same options"
    )


def fill_in(options: argparse.Namespace, recipe: Recipe) -> None:
    """Set the options that were left out to the usual values of the network."""
    for name in ("epochs", "batch_size", "lr"):
        if getattr(options, name) is None:
            setattr(options, name, getattr(recipe, name))


def expect_kept(options: argparse.Namespace) -> None:
    """Make sure before the work begins that checkpoints can be written and none is lost."""
    if options.checkpoint is not None:
        expect_fresh(options.checkpoint, options.resume)
    elif options.resume:
        raise UsageError("--resume: from which file? say --checkpoint FILE")


def ended(name: str, work: Callable[[], int], interrupted: Callable[[], str]) -> int:
    """Run a command's work and return its exit status; an error or Ctrl-C becomes one line on standard error and the status 2."""
    try:
        return work()
    except (DataError, UsageError, CheckpointError, NotWritableError) as error:
        words = str(error)
    except KeyboardInterrupt:
        words = f"interrupted; {interrupted()}"
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"{name}: {words}", style="red", markup=False)
    return CANNOT


def how_to_go_on(checkpoint: Path | None) -> str:
    """Return what to do after an interruption."""
    if checkpoint is None or not checkpoint.exists():
        return "nothing was kept; with --checkpoint FILE a run can be continued"
    return f"continue from {checkpoint} with the same command and --resume"


def data_folder(options: argparse.Namespace, console: Console) -> Path:
    """Return the folder with the images, after downloading them into it if the options say so."""
    if not options.download:
        return SHIPPED if options.data_dir is None else Path(options.data_dir)
    folder = cache_folder() if options.data_dir is None else Path(options.data_dir)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("looking for the full set", total=None)
        download(folder, arrived=lambda name, done, size: progress.update(task, description=name, completed=done, total=size))
    console.print(f"the full set is in {folder}", markup=False)
    return folder


def without(arguments: Sequence[str], *names: str) -> list[str]:
    """Return a command line without some options, such as ``--steps``, and their values; abbreviated options are removed as well."""
    kept: list[str] = []
    skipping = False
    for argument in arguments:
        if argument.startswith("-"):
            option = argument.partition("=")[0]
            skipping = len(option) > len("--") and any(name.startswith(option) for name in names)
        if not skipping:
            kept.append(argument)
    return kept


def settings_of(options: argparse.Namespace, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """Return the options as plain data, without those in ``leave_out``."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items() if name not in leave_out}
