"""Train a network on MNIST by hand-written backpropagation and by reference frameworks, and check every step.

All sides start from the same weights and see the same images in the same order. Every checked step is judged layer by layer; the free runs are
compared as well.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from digits.batches import batches, generators, steps_of_epoch, take
from digits.files import load
from rich.console import Console
from training.checkpoints import Clock
from training.command_options import (
    KEEPING,
    KEEPING_OPTIONS,
    add_augment,
    add_checkpoint,
    add_images,
    add_kernels,
    add_schedule,
    at_least,
    data_folder,
    device,
    ended,
    even,
    expect_kept,
    expect_representable,
    expect_tf32,
    fill_in,
    how_to_go_on,
    rate,
    settings_of,
    without,
)
from training.subjects import REFERENCES, Choice, SettingsError, Twins, chosen, imported

from crosscheck.references.functions import DeviceError
from crosscheck.report.write import write_json, write_text
from crosscheck.run.cli import UsageError
from crosscheck.training.facts import RunFacts, collect
from scratch.networks import NETWORKS


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(
        prog="compare_training.py",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="Exit status: 0 subject and references agree, 1 they differ, 2 they could not be compared. Examples: "
        "'compare_training.py' repeats the tutorial's experiment; 'compare_training.py --subject article' finds the fault in its max pooling; "
        "'compare_training.py --dtype float32 --batch-size 32 --steps 100' is a short check in single precision; "
        "'compare_training.py --epochs 60 --checkpoint run.safetensors --resume' can be killed and started again any number of times.",
    )
    what = result.add_argument_group("what is compared")
    what.add_argument(
        "--subject", choices=("scratch", "article"), default="scratch", help="scratch: layers over batches; article: the tutorial's own loops"
    )
    what.add_argument("--network", choices=sorted(NETWORKS), default="tutorial", help="which network, with the training that is usual for it")
    add_kernels(what)
    what.add_argument(
        "--reference",
        type=_references,
        default=["torch"],
        metavar="NAME[,NAME...]",
        help=f"the frameworks to compare the subject with, some of {', '.join(REFERENCES)}; if there are several, each judges the subject and the "
        "others (a jury), and reports show the first",
    )
    what.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="precision of the subject and of its reference")
    what.add_argument("--freeze", action="append", default=[], metavar="LAYER", help="do not train this layer; may be given several times")
    what.add_argument(
        "--device", type=device, default="cpu", help="where the references compute: cpu, cuda or cuda:N; the same seed repeats all bits only on cpu"
    )
    what.add_argument("--tf32", action="store_true", help="let float32 references multiply in TF32 on cuda; rounding does not explain its errors")
    run = result.add_argument_group("the training run")
    run.add_argument("--epochs", type=at_least(1), default=None, help="passes over the training images; the network's usual number if left out")
    run.add_argument("--steps", type=at_least(1), default=None, help="stop after this many steps, regardless of --epochs")
    run.add_argument("--batch-size", type=at_least(1), default=None, help="images a step (an epoch's last may have fewer); usual if left out")
    run.add_argument("--lr", type=rate, default=None, help="learning rate; the network's usual rate if left out")
    run.add_argument("--momentum", type=rate, default=None, help="momentum of gradient descent; the network's usual one if left out")
    run.add_argument("--seed", type=at_least(0), default=0, help="seed of weights, image order and perturbations; the same seed repeats the result")
    add_schedule(run)
    add_augment(run)
    checks = result.add_argument_group("the checks")
    checks.add_argument("--check-every", type=at_least(1), default=1, metavar="N", help="check the first step and every N-th after it")
    checks.add_argument(
        "--perturbed",
        type=even,
        default=8,
        metavar="RUNS",
        help="number of references with perturbed rounding, whose spread judges the free run; even, 0 for none",
    )
    add_checkpoint(result)
    add_images(result)
    files = result.add_argument_group("files")
    files.add_argument("--out", type=Path, default=Path("report"), help="folder for report.json and report.html")
    return result


def _references(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in REFERENCES]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not a known framework, expected some of {', '.join(REFERENCES)}, separated by commas")
    if len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text}: each framework once")
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(arguments)
    return ended("compare_training", lambda: compare(options, arguments, Console(highlight=False)), lambda: "no report was written")


def compare(options: argparse.Namespace, arguments: Sequence[str], console: Console) -> int:
    """Train, check, report; return the exit status."""
    folder = data_folder(options, console)
    digits = load(folder)
    options.train_size, options.test_size = options.train_size or len(digits.train_images), options.test_size or len(digits.test_images)
    digits = take(digits, options.train_size, options.test_size, folder)
    fill_in(options, NETWORKS[options.network])
    prepare(options.out)
    expect_kept(options)
    expect_representable(options.lr, options.dtype)
    expect_tf32(options.tf32, options.device, options.dtype)
    # Frameworks take seconds to import: by now, wrong options and missing files have been reported.
    with console.status(f"importing {', '.join(options.reference)}"):
        from training.comparison_checkpoint import Keeper
        from training.run import Plan, compared, environment, limit_threads, test, train

        from crosscheck.report.html import render
        from crosscheck.report.terminal import show

        try:
            for name in options.reference:
                imported(name)
        except SettingsError as error:
            raise UsageError(str(error)) from None
        limit_threads()

    steps = options.steps or options.epochs * steps_of_epoch(options.train_size, options.batch_size)
    plan = Plan(np.dtype(options.dtype), options.batch_size, steps, options.check_every, options.perturbed, options.seed, options.schedule)
    weights_rng, order_rng = generators(plan.seed)
    twins = asked_for(options, weights_rng)
    comparison = compared(twins, plan, digits)
    facts = RunFacts(
        subject=subject_of(options),
        reference=" and ".join(juror.name for juror in twins.jurors),
        settings=settings_of(options, KEEPING),
        environment=environment(plan.seed, digits.sha256, options.reference, twins.place, options.tf32),
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
        left = batches(digits, plan, order_rng, comparison.steps, plan.seed if options.augment else None)
        train(comparison, left, plan, facts, console, twins.subject.follow, keeper, averages)
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
        write_text(options.out / "report.html", render(collected))
    console.print(f"\nreport: {options.out / 'report.html'} and report.json", markup=False)
    if facts.interrupted:
        console.print(how_to_go_on(options.checkpoint), markup=False)
    return int(collected["exit_status"])


def subject_of(options: argparse.Namespace) -> str:
    """Return the name of the subject in reports."""
    return str(options.subject) if options.network == "tutorial" else f"{options.network} of {options.subject}"


def asked_for(options: argparse.Namespace, rng: np.random.Generator) -> Twins:
    """Return the subject and the references that the options ask for; a UsageError says which options do not go together."""
    choice = Choice(**{field.name: getattr(options, field.name) for field in fields(Choice)})
    try:
        return chosen(choice, rng)
    except SettingsError as error:
        raise UsageError(str(error)) from None
    except DeviceError as error:
        raise UsageError(f"--device: {error}") from None


def announce(options: argparse.Namespace, steps: int, reference: str, console: Console) -> None:
    """Print what is compared, and how to read the lines that follow."""
    console.print(f"{subject_of(options)} against {reference}, {options.dtype}, lr {options.lr:g}, seed {options.seed}", markup=False)
    console.print(f"{steps:,} steps of {options.batch_size} of {options.train_size:,} images; each line: subject / reference,", markup=False)
    console.print("and the largest error of any layer so far as a fraction of its tolerance", markup=False)


def identity(facts: RunFacts, options: argparse.Namespace) -> dict[str, Any]:
    """Return everything by which a run is recognised: all that affects its results, but not paths, kernels, or how its length was given."""
    left_out = {"out", "data_dir", "download", "epochs", "steps", "kernels"}
    settings = {name: value for name, value in facts.settings.items() if name not in left_out}
    return {**settings, "steps": facts.steps_asked, "data_sha256": facts.environment["data_sha256"], **facts.environment["versions"]}


def prepare(folder: Path) -> None:
    """Create the folder of the reports before the work begins, so that a wrong path does not cost a training run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"--out {folder}: reports cannot be written there ({error.strerror}); name another folder") from None


def command(arguments: Sequence[str]) -> str:
    """Return the command line of a run."""
    return shlex.join(["python", "scripts/compare_training.py", *arguments])


if __name__ == "__main__":
    sys.exit(main())
