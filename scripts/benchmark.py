"""Measure how fast scratch trains beside the frameworks, and what it costs to check a step: side by side, in turns, in one run.

Sides: scratch, the article's loops, PyTorch (eager and compiled), JAX jitted, Keras' fit. Each trains the tutorial's network at five batch sizes and
Keras' MNIST example at 128, in float32, from the same weights, on the digits that ship; with one thread and with all. Before the clock starts, each
side's first steps are judged by the oracle in float64, with tolerances that follow from rounding alone: a side that is wrong is not timed.

A figure is the median of rounds in which all sides take turns; "times scratch's" the median of each round's ratio: 4 says that scratch is four times
as fast. Each setting of threads has a process of its own, which is given so many cores before anything is imported. A checked step is compared with
the sum of what its sides take alone: the subject, one reference, the oracle.

The parts, for --only:

    steps     the training step of each side
    memory    peak memory of each side, and of a run
    layers    each layer alone, forward and backward, scratch beside PyTorch
    checked   a checked step over the sum of its sides; compared quantities a second
    growth    how plain and checked steps grow with batch, image, channels, depth: fitted exponents
    full      the tutorial's whole training, plain and checked at every 100th step: 3,000 steps of it, all 180,000 with --full
    startup   import crosscheck, crosscheck --help

What the exit status says:

    0  every side that was to be measured is right and was timed; whether a target is reached is told, and does not change it
    1  a side is wrong: it is named, with what is wrong
    2  something could not be measured, such as a framework that is not installed; --sides leaves it out

How to call it:

    python scripts/benchmark.py --quick                                       a look in under a minute
    python scripts/benchmark.py --only checked,startup                        some parts
    python scripts/benchmark.py --json benchmark.json --html benchmark.html   all of it: about a quarter of an hour
    python scripts/benchmark.py --only full --full --download                 all 180,000 steps, on the whole of MNIST
    python scripts/benchmark.py --page docs/performance.json                  put the figures of an earlier run into docs/performance.md
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from digits.files import DataError
from digits.files import load as load_digits
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from study.benchmark.docs import write as write_page
from study.benchmark.facts import facts_of, load
from study.benchmark.plan import IMAGES_OF_MNIST, PARTS, Choice, every_thread, planned
from study.benchmark.sides import SIDES
from study.benchmark.workers import Task, available, results
from study.coverage.delivery import deliver
from study.generated_text import PageError
from training.command_options import add_folder, at_least, data_folder, without
from training.interruption import between_steps

from crosscheck.core.files import NotWritableError
from crosscheck.core.judge import Facts
from crosscheck.report.write import expected_reports
from crosscheck.run.cli import UsageError

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
CANNOT, INTERRUPTED = 2, 130
WIDTH = 150
"""Columns of the tables where no terminal has a width of its own."""


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(prog="benchmark.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a look in under a minute, no measurement: fewer batches, rounds and steps, and without torch.compile unless --sides names it",
    )
    parser.add_argument("--only", type=_some_of(PARTS), default=list(PARTS), metavar="PART[,PART...]", help=f"some parts: {', '.join(PARTS)}")
    parser.add_argument("--sides", type=_some_of(SIDES), default=None, metavar="SIDE[,SIDE...]", help=f"some sides: {', '.join(SIDES)}")
    parser.add_argument("--threads", type=at_least(1), default=None, metavar="N", help="with so many threads alone; with 1 and with all if left out")
    parser.add_argument("--full", action="store_true", help="do all 180,000 steps of the full run; needs the whole of MNIST")
    add_folder(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured for machines, too")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write it as a page with pictures, too")
    parser.add_argument("--page", type=Path, metavar="FILE", help="measure nothing: put the figures of this JSON into docs/performance.md")
    return parser.parse_args(arguments)


def _some_of(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        asked = text.split(",")
        if unknown := [name for name in asked if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}; separate several by commas")
        return [name for name in known if name in asked]

    return names


def choice_of(options: argparse.Namespace) -> Choice:
    """Return what is asked for.

    Raises
    ------
    UsageError, DataError
        If it cannot be measured.
    """
    if options.sides is not None and "scratch" not in options.sides:
        raise UsageError("--sides: scratch is what the others are compared with; name it, too")
    if options.threads is not None and options.threads > available():
        raise UsageError(f"--threads {options.threads}: there are {available()} cores here; lower it")
    given = options.download or options.data_dir is not None
    if options.full and not given:
        raise UsageError("--full: the whole training is one on all of MNIST; say --download, or where its four files are with --data-dir")
    if options.full and options.quick:
        raise UsageError("--full and --quick: the one is no look in under a minute; leave out the other")
    folder = data_folder(options, Console(stderr=True))
    if given:
        there = len(load_digits(folder).train_images)
        if options.full and there != IMAGES_OF_MNIST:
            raise UsageError(f"--full: {folder} has {there:,} training images, expected {IMAGES_OF_MNIST:,}; get them with --download")
    threads = every_thread() if options.threads is None else [options.threads]
    if options.quick:
        threads = threads[-1:]
    # What takes longest to get ready is left out of a look, unless it is asked for by name.
    sides = options.sides or [side for side in SIDES if not (options.quick and side == "torch.compile")]
    return Choice(options.only, sides, threads, options.quick, folder, options.full)


def measured(choice: Choice) -> list[tuple[Task, Facts]] | None:
    """Carry out all tasks, with a line on standard error that says how far that is; None where somebody asked to stop."""
    tasks, found = planned(choice), list[tuple[Task, Facts]]()
    columns = BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False)
    with between_steps() as interruption, Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("beginning", total=len(tasks))
        for one in results(tasks, lambda words: progress.update(bar, description=words), lambda: interruption.wanted):
            found.append(one)
            progress.advance(bar)
    return found if len(found) == len(tasks) else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = options_of(given)
    try:
        if options.page:
            write_page(PAGE, options.page)
            return 0
        expected_reports(options.html, options.json)
        choice, busy = choice_of(options), load()
        found = measured(choice)
    except (NotWritableError, PageError, UsageError, DataError) as error:
        return _told(str(error), CANNOT)
    except KeyboardInterrupt:
        found = None
    if found is None:
        return _told("interrupted; nothing was written, and nothing is kept", INTERRUPTED)
    from study.benchmark.pages import render, show  # noqa: PLC0415 - pictures are drawn once there is something to show

    facts = facts_of(found, choice, _command(given, options), busy)
    deliver(facts, show, render, options.html, options.json, WIDTH)
    return int(facts["status"])


def _command(given: Sequence[str], options: argparse.Namespace) -> str:
    """Return the command that measures the same elsewhere, where the images are in no folder yet."""
    kept = without(given, "--json", "--html", "--data-dir", "--download")
    elsewhere = ["--download"] if options.full else []
    return shlex.join(["python", "scripts/benchmark.py", *kept, *elsewhere])


def _told(words: str, status: int) -> int:
    print(f"benchmark.py: {words}", file=sys.stderr)  # noqa: T201
    return status


if __name__ == "__main__":
    sys.exit(main())
