"""Train the tutorial's CNN by hand-written backpropagation beside PyTorch on MNIST, and check every step.

Both sides start from the same weights and see the same images in the same order. Every checked step is proved layer by layer; the free runs are
compared as well.
"""

from __future__ import annotations

import argparse
import math
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mnist_files import SHIPPED, DataError, Digits, cache_folder, download, load
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_EVERY = 100
TEST_BATCH = 250
IMAGES_SHOWN = 8
COULD_NOT_BE_CHECKED = 2


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(
        prog="compare_training.py",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="Exit status: 0 the two sides agree, 1 they differ, 2 they could not be checked. Examples: "
        "'compare_training.py' repeats the tutorial's experiment; 'compare_training.py --subject article' finds the fault in its max pooling; "
        "'compare_training.py --dtype float32 --batch-size 32 --steps 100' is a short check in single precision.",
    )
    what = result.add_argument_group("what is compared")
    what.add_argument(
        "--subject", choices=("scratch", "article"), default="scratch", help="scratch: layers over batches; article: the tutorial's own loops"
    )
    what.add_argument("--dtype", choices=("float64", "float32"), default="float64", help="precision of the subject and of the reference beside it")
    what.add_argument("--freeze", action="append", default=[], metavar="LAYER", help="do not train this layer; may be given several times")
    run = result.add_argument_group("the training run")
    run.add_argument("--epochs", type=_at_least(1), default=3, help="passes over the training images")
    run.add_argument("--steps", type=_at_least(1), default=None, help="stop after this many steps, whatever --epochs says")
    run.add_argument("--batch-size", type=_at_least(1), default=1, help="images a step; the last batch of an epoch may be smaller")
    run.add_argument("--lr", type=_rate, default=0.005, help="learning rate")
    run.add_argument("--momentum", type=_rate, default=0.0, help="momentum of gradient descent")
    run.add_argument("--train-size", type=_at_least(1), default=1000, help="take the first so many training images")
    run.add_argument("--test-size", type=_at_least(1), default=1000, help="take the first so many test images")
    run.add_argument(
        "--seed", type=_at_least(0), default=0, help="of weights, order of images and perturbations; the same seed gives the same result"
    )
    checks = result.add_argument_group("the checks")
    checks.add_argument("--check-every", type=_at_least(1), default=1, metavar="N", help="check the first step and every N-th after it")
    checks.add_argument(
        "--perturbed",
        type=_even,
        default=8,
        metavar="RUNS",
        help="references with perturbed rounding, the yardstick of the free run; even, 0 for none",
    )
    files = result.add_argument_group("files")
    files.add_argument("--data-dir", type=Path, default=None, help="folder with the four MNIST files; the 1,000 + 1,000 images that ship if left out")
    files.add_argument("--download", action="store_true", help="fetch the full set into --data-dir, or into a cache folder, and use it")
    files.add_argument("--out", type=Path, default=Path("report"), help="folder for report.json and report.html")
    return result


def _at_least(least: int) -> Any:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value}: expected a whole number of at least {least}")
        return value

    number.__name__ = "whole number"  # argparse shows it where int() fails
    return number


def _even(text: str) -> int:
    value = int(text)
    if value < 0 or value % 2:
        raise argparse.ArgumentTypeError(f"{value}: expected an even number, or 0")
    return value


def _rate(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"{text}: expected a finite number of at least 0")
    return value


@dataclass(frozen=True)
class Batch:
    """The images of one step and where it stands."""

    epoch: int
    x: npt.NDArray[np.floating]
    labels: npt.NDArray[np.int64]


def scaled(images: npt.NDArray[np.uint8], dtype: npt.DTypeLike) -> npt.NDArray[np.floating]:
    """Return images as ``(count, 1, 28, 28)`` floats from -0.5 to 0.5."""
    return images[:, None].astype(dtype) / 255 - 0.5


def batches(digits: Digits, size: int, total: int, rng: np.random.Generator, dtype: npt.DTypeLike) -> Iterator[Batch]:
    """Yield the batches of a run, shuffled anew each epoch."""
    done, epoch = 0, 0
    while True:
        epoch += 1
        order = rng.permutation(len(digits.train_images))
        for start in range(0, len(order), size):
            if done == total:
                return
            done += 1
            picked = order[start : start + size]
            yield Batch(epoch, scaled(digits.train_images[picked], dtype), digits.train_labels[picked])


def take(digits: Digits, train: int, test: int, folder: Path) -> Digits:
    """Return the first images of each kind; an error where there are not that many."""
    for option, asked, there in (("--train-size", train, len(digits.train_images)), ("--test-size", test, len(digits.test_images))):
        if asked > there:
            raise DataError(f"{option} {asked:,}: {folder} has {there:,} images; lower it, or get the full set with --download")
    return Digits(digits.train_images[:train], digits.train_labels[:train], digits.test_images[:test], digits.test_labels[:test], digits.sha256)


def environment(seed: int, sha256: dict[str, str]) -> dict[str, Any]:
    """Return versions, BLAS, threads, seed and checksums."""
    import threadpoolctl
    import torch

    import crosscheck

    pools = threadpoolctl.threadpool_info()
    blas = [f"{p['internal_api']} {p.get('version')} ({p.get('architecture', 'unknown kernel')})" for p in pools if p["user_api"] == "blas"]
    return {
        "versions": {
            "crosscheck": crosscheck.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": str(torch.__version__),
        },
        "platform": platform.platform(),
        "blas": "; ".join(blas) or "unknown",
        "threads": {"numpy": max((p["num_threads"] for p in pools if p["user_api"] == "blas"), default=1), "torch": torch.get_num_threads()},
        "seed": seed,
        "data_sha256": sha256,
    }


def command(arguments: Sequence[str]) -> str:
    """Return the command line of this run, without ``--steps`` and its number."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and not argument.startswith("--steps"):
            kept.append(argument)
        skip = argument == "--steps"
    return shlex.join(["python", "scripts/compare_training.py", *kept])


class Lines:
    """The line each hundred steps: average loss and accuracy of both sides since the last one."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._sums = np.zeros(5)

    def add(self, outcomes: Any, labels: npt.NDArray[np.int64]) -> None:
        """Take in one step."""
        sides = (outcomes.subject, outcomes.reference)
        hits = [float((side.output.argmax(axis=1) == labels).sum()) for side in sides]
        self._sums += [1, outcomes.subject.loss, outcomes.reference.loss, *hits]
        self._images = getattr(self, "_images", 0) + len(labels)

    def close(self, step: int, epoch: int) -> dict[str, Any]:
        """Return the line for the steps since the last one."""
        steps, subject, reference, subject_hits, reference_hits = self._sums
        row = {
            "step": step,
            "epoch": epoch,
            "subject_loss": subject / steps,
            "reference_loss": reference / steps,
            "subject_accuracy": subject_hits / self._images,
            "reference_accuracy": reference_hits / self._images,
        }
        self.rows.append(row)
        self._sums[:], self._images = 0, 0
        return row


def line(row: dict[str, Any], worst: float) -> str:
    """Return a progress line as text."""
    losses = f"loss {row['subject_loss']:.4f} / {row['reference_loss']:.4f}"
    accuracies = f"accuracy {100 * row['subject_accuracy']:5.1f} % / {100 * row['reference_accuracy']:5.1f} %"
    return f"step {row['step']:6,}  epoch {row['epoch']}  {losses}  {accuracies}  largest error {worst:.2g} of its tolerance"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(arguments)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        return compare(options, arguments)
    except (DataError, _Refused) as error:
        errors.print(f"compare_training: {error}", style="red", markup=False)
        return COULD_NOT_BE_CHECKED
    except KeyboardInterrupt:
        errors.print("compare_training: interrupted before the first step; nothing was checked", style="red")
        return COULD_NOT_BE_CHECKED


class _Refused(Exception):
    """The options cannot be followed."""


def _folder(options: argparse.Namespace, console: Console) -> Path:
    if not options.download:
        return SHIPPED if options.data_dir is None else Path(options.data_dir)
    folder: Path = options.data_dir or cache_folder()
    with console.status("looking for the full set"):
        download(folder, report=lambda text: console.print(text, markup=False, highlight=False))
    return folder


def _prepare_out(folder: Path) -> None:
    """Make the report's folder before the work begins, so that a wrong path costs no training run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _Refused(f"--out {folder}: reports cannot be written there ({error.strerror}); name another folder") from None


def compare(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Train, check, report; return the exit status."""
    console = Console(highlight=False)
    folder = _folder(options, console)
    digits = take(load(folder), options.train_size, options.test_size, folder)
    _prepare_out(options.out)

    # Heavy imports only now: a wrong option or a missing file is answered at once.
    with console.status("importing PyTorch"):
        import torch
        from subjects import SettingsError, tutorial_twins

        from crosscheck.arithmetic import Arithmetic
        from crosscheck.frameworks.pytorch import NAME
        from crosscheck.lockstep import elements_per_step
        from crosscheck.report.facts import RunFacts, collect
        from crosscheck.report.files import write_json
        from crosscheck.report.html import write_html
        from crosscheck.report.terminal import show
        from crosscheck.training import TrainingComparison
        from crosscheck.update import SgdSettings

    torch.set_num_threads(1)  # the arrays of a step are far too small for more
    dtype = np.dtype(options.dtype)
    weights_rng, order_rng = np.random.default_rng(options.seed).spawn(2)
    try:
        settings = SgdSettings(options.lr, options.momentum)
        twins = tutorial_twins(options.subject, weights_rng, dtype, settings, options.batch_size, tuple(options.freeze))
    except SettingsError as error:
        raise _Refused(str(error)) from None
    per_epoch = math.ceil(options.train_size / options.batch_size)
    total = options.epochs * per_epoch if options.steps is None else options.steps
    checks = math.ceil(total / options.check_every)
    sample = scaled(digits.train_images[: options.batch_size], dtype)
    labels = digits.train_labels[: options.batch_size]
    elements = checks * elements_per_step(twins.architecture, twins.subject.params, sample, labels)
    looks = math.ceil(total / LINE_EVERY)
    arithmetic = Arithmetic(dtype, elements)
    comparison = TrainingComparison(twins.architecture, twins.subject, twins.make, arithmetic, looks, options.perturbed, options.seed)
    facts_of_run = RunFacts(
        subject=options.subject,
        reference=NAME,
        settings={name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()},
        environment=environment(options.seed, digits.sha256),
        steps_asked=total,
        checks_asked=checks,
        command=command(arguments),
    )
    console.print(
        f"{options.subject} against {NAME}, {options.dtype}: {total:,} steps of {options.batch_size} of {options.train_size:,} images, "
        f"lr {options.lr:g}, seed {options.seed}; each line: subject / reference",
        markup=False,
    )
    started = time.monotonic()
    _train(comparison, batches(digits, options.batch_size, total, order_rng, dtype), options, facts_of_run, total, console)
    if not facts_of_run.interrupted and not facts_of_run.failed:
        _test(comparison, digits, dtype, facts_of_run, console)
    facts_of_run.seconds = round(time.monotonic() - started, 3)
    facts = collect(comparison, facts_of_run)
    console.print()
    show(facts, console)
    with console.status("drawing the report"):
        write_json(options.out / "report.json", facts)
        write_html(options.out / "report.html", facts)
    console.print(f"\nreport: {options.out / 'report.html'} and report.json", markup=False)
    return int(facts["exit_status"])


def _train(comparison: Any, run: Iterator[Batch], options: argparse.Namespace, facts: Any, total: int, console: Console) -> None:
    """Do all steps; an interruption or a subject that fails ends the run early and is noted."""
    lines = Lines()
    facts.lines = lines.rows
    columns = (
        TextColumn("checking"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    epoch = 1
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        try:
            for number, batch in enumerate(run):
                check = number % options.check_every == 0
                outcomes = comparison.step(batch.x, batch.labels, check)
                facts.losses.append((outcomes.subject.loss, outcomes.reference.loss))
                lines.add(outcomes, batch.labels)
                progress.advance(task)
                epoch = batch.epoch
                step = number + 1
                if step % LINE_EVERY == 0 or step == total:
                    comparison.look()
                    console.print(line(lines.close(step, epoch), comparison.worst_fraction()), markup=False)
                if not math.isfinite(outcomes.subject.loss) and not math.isfinite(outcomes.reference.loss):
                    facts.failed = "the loss is not finite on either side; the training diverged, lower --lr"
                    break
        except KeyboardInterrupt:
            facts.interrupted = True


def _test(comparison: Any, digits: Digits, dtype: npt.DTypeLike, facts: Any, console: Console) -> None:
    """Compare both sides on the test images."""
    from crosscheck.report.facts import SideTest

    images, labels = scaled(digits.test_images, dtype), digits.test_labels
    predictions = {}
    with console.status("testing"):
        for side, network in (("subject", comparison.subject), ("reference", comparison.free.reference)):
            outputs = np.concatenate([network.predict(images[at : at + TEST_BATCH]) for at in range(0, len(images), TEST_BATCH)]).astype(np.float64)
            predictions[side] = outputs.argmax(axis=1)
            hits = float((predictions[side] == labels).mean())
            facts.test[side] = SideTest(float(negative_log_likelihood(outputs, labels, facts.subject).mean()), hits)
    differing = np.flatnonzero(predictions["subject"] != predictions["reference"])
    facts.predictions_differing = len(differing)
    facts.images = [
        {
            "pixels": digits.test_images[i].tolist(),
            "label": int(labels[i]),
            "subject": int(predictions["subject"][i]),
            "reference": int(predictions["reference"][i]),
        }
        for i in differing[:IMAGES_SHOWN]
    ]
    for side, test in facts.test.items():
        console.print(f"test  {side:<9}  loss {test.loss:.4f}  accuracy {100 * test.accuracy:.1f} %", markup=False)
    console.print(f"test  {len(differing):,} of {len(labels):,} predictions differ", markup=False)


def negative_log_likelihood(outputs: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], subject: str) -> npt.NDArray[np.float64]:
    """Return each image's loss from a network's last output: the article ends in probabilities, the others in logits."""
    own = outputs[np.arange(len(labels)), labels]
    if subject == "article":
        return np.asarray(-np.log(own))
    largest = outputs.max(axis=1)
    return np.asarray(largest + np.log(np.exp(outputs - largest[:, None]).sum(axis=1)) - own)


if __name__ == "__main__":
    sys.exit(main())
