"""Train the tutorial's CNN by hand-written backpropagation beside PyTorch on MNIST, and check every step.

Both sides start from the same weights and see the same images in the same order. Every checked step is proved layer by layer; the free runs are
compared as well.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from checkpoints import CheckpointError, Clock
from command_options import (
    KEEPING,
    KEEPING_OPTIONS,
    RefusedError,
    add_checkpoint,
    at_least,
    data_folder,
    even,
    expect_kept,
    expect_representable,
    how_to_go_on,
    rate,
    settings_of,
    without,
)
from mnist_batches import batches, generators, steps_of_epoch, take
from mnist_files import DataError, load
from rich.console import Console

from crosscheck.files import NotWritableError
from crosscheck.report.facts import RunFacts, collect
from crosscheck.report.files import write_json

COULD_NOT_BE_CHECKED = 2


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(
        prog="compare_training.py",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="Exit status: 0 the two sides agree, 1 they differ, 2 they could not be checked. Examples: "
        "'compare_training.py' repeats the tutorial's experiment; 'compare_training.py --subject article' finds the fault in its max pooling; "
        "'compare_training.py --dtype float32 --batch-size 32 --steps 100' is a short check in single precision; "
        "'compare_training.py --epochs 60 --checkpoint run.safetensors --resume' may be killed and started again as often as it takes.",
    )
    what = result.add_argument_group("what is compared")
    what.add_argument(
        "--subject", choices=("scratch", "article"), default="scratch", help="scratch: layers over batches; article: the tutorial's own loops"
    )
    what.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="precision of the subject and of the reference beside it")
    what.add_argument("--freeze", action="append", default=[], metavar="LAYER", help="do not train this layer; may be given several times")
    run = result.add_argument_group("the training run")
    run.add_argument("--epochs", type=at_least(1), default=3, help="passes over the training images")
    run.add_argument("--steps", type=at_least(1), default=None, help="stop after this many steps, whatever --epochs says")
    run.add_argument("--batch-size", type=at_least(1), default=1, help="images a step; the last batch of an epoch may be smaller")
    run.add_argument("--lr", type=rate, default=0.005, help="learning rate")
    run.add_argument("--momentum", type=rate, default=0.0, help="momentum of gradient descent")
    run.add_argument("--train-size", type=at_least(1), default=1000, help="take the first so many training images")
    run.add_argument("--test-size", type=at_least(1), default=1000, help="take the first so many test images")
    run.add_argument("--seed", type=at_least(0), default=0, help="of weights, order of images and perturbations; the same seed gives the same result")
    checks = result.add_argument_group("the checks")
    checks.add_argument("--check-every", type=at_least(1), default=1, metavar="N", help="check the first step and every N-th after it")
    checks.add_argument(
        "--perturbed",
        type=even,
        default=8,
        metavar="RUNS",
        help="references with perturbed rounding, the yardstick of the free run; even, 0 for none",
    )
    add_checkpoint(result)
    files = result.add_argument_group("files")
    files.add_argument("--data-dir", type=Path, default=None, help="folder with the four MNIST files; the 1,000 + 1,000 images that ship if left out")
    files.add_argument("--download", action="store_true", help="fetch the full set into --data-dir, or into a cache folder, and use it")
    files.add_argument("--out", type=Path, default=Path("report"), help="folder for report.json and report.html")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(arguments)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        return compare(options, arguments, Console(highlight=False))
    except (DataError, RefusedError, CheckpointError, NotWritableError) as error:
        errors.print(f"compare_training: {error}", style="red", markup=False)
    except KeyboardInterrupt:
        errors.print("compare_training: interrupted; no report was written", style="red")
    return COULD_NOT_BE_CHECKED


def compare(options: argparse.Namespace, arguments: Sequence[str], console: Console) -> int:
    """Train, check, report; return the exit status."""
    folder = data_folder(options, console)
    digits = take(load(folder), options.train_size, options.test_size, folder)
    prepare(options.out)
    expect_kept(options)
    # A wrong option or a missing file has been answered by now; importing the framework takes seconds.
    with console.status("importing PyTorch"):
        import torch
        from comparison_checkpoint import Keeper
        from subjects import SettingsError, tutorial_twins
        from training_run import Plan, compared, environment, test, train

        from crosscheck.frameworks.pytorch import NAME
        from crosscheck.report.html import write_html
        from crosscheck.report.terminal import show
        from crosscheck.update import SgdSettings

    expect_representable(options.lr, options.dtype)
    torch.set_num_threads(1)  # the arrays of a step are far too small for more
    steps = options.steps or options.epochs * steps_of_epoch(options.train_size, options.batch_size)
    plan = Plan(np.dtype(options.dtype), options.batch_size, steps, options.check_every, options.perturbed, options.seed)
    weights_rng, order_rng = generators(plan.seed)
    try:
        settings = SgdSettings(options.lr, options.momentum)
        twins = tutorial_twins(options.subject, weights_rng, plan.dtype, settings, plan.batch_size, tuple(options.freeze))
    except SettingsError as error:
        raise RefusedError(str(error)) from None
    comparison = compared(twins, plan, digits)
    facts = RunFacts(
        subject=options.subject,
        reference=NAME,
        settings=settings_of(options, KEEPING),
        environment=environment(plan.seed, digits.sha256),
        steps_asked=plan.steps,
        checks_asked=plan.checks,
        command=command(without(arguments, *KEEPING_OPTIONS)),
        without_steps=command(without(arguments, "--steps", *KEEPING_OPTIONS)),
    )
    announce(options, plan.steps, facts.reference, console)
    keeper, averages = None, None
    if options.checkpoint is not None:
        keeper = Keeper(options.checkpoint, identity(facts, options), Clock(options.checkpoint_every), twins.subject, comparison, facts)
        averages = keeper.go_on(console) if options.checkpoint.exists() else None
    started = time.monotonic()
    try:
        train(comparison, batches(digits, plan, order_rng, comparison.steps), plan, facts, console, keeper, averages)
        if not facts.failed:
            test(comparison, digits, plan.dtype, options.subject == "article", facts, console)
    except KeyboardInterrupt:
        facts.interrupted = True
    facts.seconds = round(time.monotonic() - started, 3)
    collected = collect(comparison, facts)
    console.print()
    show(collected, console)
    with console.status("drawing the report"):
        write_json(options.out / "report.json", collected)
        write_html(options.out / "report.html", collected)
    console.print(f"\nreport: {options.out / 'report.html'} and report.json", markup=False)
    if facts.interrupted:
        console.print(how_to_go_on(options.checkpoint), markup=False)
    return int(collected["exit_status"])


def announce(options: argparse.Namespace, steps: int, reference: str, console: Console) -> None:
    """Say what is done, and what the lines to come show."""
    console.print(f"{options.subject} against {reference}, {options.dtype}, lr {options.lr:g}, seed {options.seed}", markup=False)
    console.print(f"{steps:,} steps of {options.batch_size} of {options.train_size:,} images; each line: subject / reference,", markup=False)
    console.print("and the largest error of any layer so far as a fraction of its tolerance", markup=False)


def identity(facts: RunFacts, options: argparse.Namespace) -> dict[str, Any]:
    """Return what makes the run what it is: wherever its files lie, and whatever its length was called."""
    left_out = {"out", "data_dir", "download", "epochs", "steps"}
    settings = {name: value for name, value in facts.settings.items() if name not in left_out}
    return {**settings, "steps": facts.steps_asked, "data_sha256": facts.environment["data_sha256"], **facts.environment["versions"]}


def prepare(folder: Path) -> None:
    """Make the report's folder before the work begins, so that a wrong path costs no training run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RefusedError(f"--out {folder}: reports cannot be written there ({error.strerror}); name another folder") from None


def command(arguments: Sequence[str]) -> str:
    """Return the command line of a run."""
    return shlex.join(["python", "scripts/compare_training.py", *arguments])


if __name__ == "__main__":
    sys.exit(main())
