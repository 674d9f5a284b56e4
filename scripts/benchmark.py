"""Measure how fast scratch trains beside the frameworks, and what it costs to check a step: side by side, in turns, in one run.

The sides are scratch, the article's loops, PyTorch (eager and compiled), JAX jitted, and Keras' fit. Each trains the tutorial's network at five batch
sizes and Keras' MNIST example at 128, in float32, from the same weights, on the digits that ship; with one thread and with all. Before the clock
starts, the float64 oracle judges the first steps of each side, with tolerances that follow from rounding alone: a side that is wrong is not timed.

A figure is the median of rounds in which all sides take turns; "times scratch's" is the median of each round's ratio: 4 says that scratch is four
times as fast. Each number of threads is measured in its own process, which has only that many cores from before its first import. The time of a
checked step is compared with the sum of what its sides take alone: your code, one reference, the oracle.

The parts, for --only::

    steps     the training step of each side
    memory    peak memory of each side, and of a run
    layers    each layer alone, forward and backward, scratch beside PyTorch
    checked   a checked step over the sum of its sides; compared quantities a second
    growth    how plain and checked steps grow with batch, image, channels, depth: fitted exponents
    full      the tutorial's whole training, plain and checked at every 100th step: 3,000 steps of it, all 180,000 with --full
    startup   import crosscheck, crosscheck --help

Exit status::

    0  every side that was to be measured is right and was timed; the report says which targets are reached, which does not change the status
    1  a side is wrong: it is named, with what is wrong
    2  something could not be measured, such as a framework that is not installed; --sides leaves it out
    130  interrupted

Examples::

    python scripts/benchmark.py --quick                                       a look in under a minute
    python scripts/benchmark.py --only checked,startup                        some parts
    python scripts/benchmark.py --json benchmark.json --html benchmark.html   everything: about a quarter of an hour
    python scripts/benchmark.py --only full --full --download                 all 180,000 steps, on the whole of MNIST
    python scripts/benchmark.py --page benchmark.json                         put the figures of an earlier run into docs/performance.md
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from digits.files import load as load_digits
from rich.console import Console
from study import command
from study.benchmark.facts import facts_of, load, versions
from study.benchmark.plan import IMAGES_OF_MNIST, PARTS, Choice, every_thread, planned
from study.benchmark.sides import SIDES
from study.benchmark.tasks import run, setting
from study.state import fingerprint, opened
from study.workers import available
from training.command_options import add_folder, at_least, data_folder, without

from crosscheck.run.cli import UsageError


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = command.parser("benchmark.py", __doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a look in under a minute, not a measurement: fewer batches, rounds and steps, and no torch.compile unless --sides names it",
    )
    parser.add_argument("--only", type=_some_of(PARTS), default=list(PARTS), metavar="PART[,PART...]", help=f"some parts: {', '.join(PARTS)}")
    parser.add_argument("--sides", type=_some_of(SIDES), metavar="SIDE[,SIDE...]", help=f"some sides: {', '.join(SIDES)}")
    parser.add_argument("--threads", type=at_least(1), metavar="N", help="measure with N threads only (default: with 1 and with all)")
    parser.add_argument("--full", action="store_true", help="do all 180,000 steps of the full run; needs the whole of MNIST")
    parser.add_argument("--page", type=Path, metavar="FILE", help="measure nothing: put the figures in this JSON file into docs/performance.md")
    add_folder(parser)
    command.add_files(parser)
    return parser.parse_args(arguments)


def _some_of(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        asked = text.split(",")
        if unknown := [name for name in asked if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(known)}; separate several by commas")
        return [name for name in known if name in asked]

    return names


def choice_of(options: argparse.Namespace) -> Choice:
    """Return the choice that the options make; a UsageError or DataError says what cannot be measured."""
    if options.sides is not None and "scratch" not in options.sides:
        raise UsageError("--sides: scratch is what the others are compared with; name it as well")
    if options.threads is not None and options.threads > available():
        raise UsageError(f"--threads {options.threads}: there are {available()} cores here; lower it")
    given = options.download or options.data_dir is not None
    if options.full and not given:
        raise UsageError("--full: the whole training needs all of MNIST; say --download, or name the folder of its four files with --data-dir")
    if options.full and options.quick:
        raise UsageError("--full and --quick: all 180,000 steps take longer than a quick look; leave out the other")
    folder = data_folder(options, Console(stderr=True))
    if given:
        there = len(load_digits(folder).train_images)
        if options.full and there != IMAGES_OF_MNIST:
            raise UsageError(f"--full: {folder} has {there:,} training images, expected {IMAGES_OF_MNIST:,}; get them with --download")
    threads = every_thread() if options.threads is None else [options.threads]
    if options.quick:
        threads = threads[-1:]
    # Compiling takes longest: a quick look leaves it out unless --sides names it.
    sides = options.sides or [side for side in SIDES if not (options.quick and side == "torch.compile")]
    return Choice(options.only, sides, threads, options.quick, folder, options.full)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = options_of(given)
    return command.run("benchmark.py", lambda: write(options.page) if options.page else measure(options, given))


def write(source: Path) -> int:
    """Put the figures of an earlier run into the page."""
    from study.benchmark.pages import DOCUMENT  # noqa: PLC0415 - as below

    DOCUMENT.write(source)
    return 0


def measure(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Measure, show it and write the reports."""
    command.expect_reports(options)
    choice, busy = choice_of(options), load()
    run_facts = {"choice": {**vars(choice), "folder": str(choice.folder)}, "versions": versions(), "code": fingerprint()}
    state, tasks = opened(options.state, options.resume, run_facts), planned(choice)
    # Each task gets a new process, because its figures must not depend on what ran before.
    results = command.carry_out(run, tasks, state, setting=setting, fresh=True)
    from study.benchmark.pages import render, show  # noqa: PLC0415 - matplotlib is imported once there is something to draw

    facts = facts_of(list(zip(tasks, results, strict=True)), choice, _command(given, options), busy)
    command.deliver(facts, options, show, render)
    return int(facts["status"])


def _command(given: Sequence[str], options: argparse.Namespace) -> str:
    """Return a command that repeats the measurement on another machine, which does not have the images yet."""
    kept = without(given, *command.WAYS, "--data-dir", "--download")
    elsewhere = ["--download"] if options.full else []
    return shlex.join(["python", "scripts/benchmark.py", *kept, *elsewhere])


if __name__ == "__main__":
    sys.exit(main())
