"""Train a network of ``scratch`` alone on MNIST: no reference, no framework.

After each epoch the network is tested on images that it was not trained on. The weights can be saved, and a run that takes hours can be killed at
any moment and continue from its last checkpoint, with the same final weights as an uninterrupted run.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from digits.batches import Schedule, batches, generators, steps_of_epoch, take
from digits.files import Digits, load
from rich.console import Console
from training.checkpoints import read
from training.command_options import (
    KEEPING,
    add_augment,
    add_checkpoint,
    add_images,
    add_kernels,
    add_schedule,
    at_least,
    data_folder,
    ended,
    expect_kept,
    expect_representable,
    fill_in,
    how_to_go_on,
    rate,
    settings_of,
)
from training.scratch_run import run
from training.scratch_state import load_weights, save_weights
from training.scratch_training import Training

from crosscheck.core.files import expect_writable
from crosscheck.report.write import write_json
from crosscheck.run.cli import UsageError
from scratch.networks import NETWORKS

TRAINED, DIVERGED = 0, 1


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(
        prog="train.py",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="Exit status: 0 trained to the end, 1 the training diverged, 2 it could not be done or was interrupted. Examples: "
        "'train.py' trains the tutorial's network on the 1,000 images that ship; "
        "'train.py --download --epochs 10 --weights-out weights.safetensors' trains it on all 60,000 and keeps the weights; "
        "'train.py --download --epochs 100 --checkpoint run.safetensors --resume' can be killed and started again any number of times.",
    )
    result.add_argument("--network", choices=sorted(NETWORKS), default="tutorial", help="which network, with the optimizer that is usual for it")
    add_kernels(result)
    run = result.add_argument_group("the training run")
    run.add_argument("--epochs", type=at_least(1), default=None, help="passes over the training images; the network's usual number if left out")
    run.add_argument("--batch-size", type=at_least(1), default=None, help="images a step (an epoch's last may have fewer); usual if left out")
    run.add_argument("--lr", type=rate, default=None, help="learning rate; the network's usual rate if left out")
    run.add_argument("--seed", type=at_least(0), default=0, help="seed of weights, image order and masks; the same seed gives the same weights")
    run.add_argument("--dtype", choices=("float64", "float32"), default="float32", help="precision of everything; float32 is faster")
    add_schedule(run)
    add_augment(run)
    add_images(result)
    add_checkpoint(result)
    files = result.add_argument_group("files")
    files.add_argument("--weights", type=Path, default=None, metavar="FILE", help="start from these weights instead of random ones")
    files.add_argument(
        "--weights-out", type=Path, default=None, metavar="FILE", help="write the weights at the end, plain arrays in a .safetensors file"
    )
    files.add_argument("--json", type=Path, default=None, metavar="FILE", help="write losses and accuracies of all epochs, and the settings, as JSON")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Train and return the exit status."""
    options = parser().parse_args(arguments)
    return ended("train", lambda: train(options, Console(highlight=False)), lambda: how_to_go_on(options.checkpoint))


def train(options: argparse.Namespace, console: Console) -> int:
    """Train, test, write; return the exit status."""
    recipe = NETWORKS[options.network]
    fill_in(options, recipe)
    folder = data_folder(options, console)
    digits = load(folder)
    digits = take(digits, options.train_size or len(digits.train_images), options.test_size or len(digits.test_images), folder)
    _expect_writable(options)
    expect_representable(options.lr, options.dtype)
    weights_rng, order_rng = generators(options.seed)
    model = recipe.make(weights_rng, options.dtype, options.kernels)
    if options.weights is not None:
        load_weights(model, options.weights)
    training = Training(model, recipe.trained_by(model.trainable_params, options.kernels, lr=options.lr))
    per_epoch = steps_of_epoch(len(digits.train_images), options.batch_size)
    schedule = Schedule(np.dtype(options.dtype), options.batch_size, options.epochs * per_epoch)
    identity = _identity(options, digits)
    if options.checkpoint is not None and options.checkpoint.exists():
        training.go_on_from(read(options.checkpoint, identity))
        if training.progressed.steps > schedule.steps:
            raise UsageError(f"--epochs {options.epochs}: {options.checkpoint} has {len(training.progressed.epochs)} already; give a larger number")
        console.print(f"going on after step {training.progressed.steps:,} of {options.checkpoint}", markup=False)
    count = sum(value.size for value in model.params.values())
    console.print(f"{options.network}, {count:,} parameters, {options.dtype}, lr {options.lr:g}, seed {options.seed}", markup=False)
    console.print(f"{schedule.steps:,} steps of {options.batch_size} of {len(digits.train_images):,} images", markup=False)
    left = batches(digits, schedule, order_rng, training.progressed.steps, options.seed if options.augment else None)
    run(training, digits, schedule, left, options, identity, console)
    if options.weights_out is not None and not training.progressed.diverged:
        save_weights(model, options.weights_out)
        console.print(f"weights: {options.weights_out}", markup=False)
    if options.json is not None:
        write_json(options.json, _report(training, options, digits))
    if training.progressed.diverged:
        console.print(f"step {training.progressed.steps:,}: the loss is not finite; the training diverged, lower --lr", style="red", markup=False)
        return DIVERGED
    return TRAINED


def _expect_writable(options: argparse.Namespace) -> None:
    """Make sure before the work begins that all files can be written."""
    if options.weights_out is not None:
        expect_writable(options.weights_out, [".safetensors"])
    if options.json is not None:
        expect_writable(options.json, [".json"])
    expect_kept(options)
    files = [("--checkpoint", options.checkpoint), ("--weights-out", options.weights_out), ("--json", options.json)]
    for (one, path), (other, its) in itertools.combinations(files, 2):
        if path is not None and its is not None and path.resolve() == its.resolve():
            raise UsageError(f"{one} and {other} are the same file, {path}: the one would overwrite the other; name two")


def _identity(options: argparse.Namespace, digits: Digits) -> dict[str, Any]:
    """Return everything by which a run is recognised: all that affects its steps. Epochs count only if the learning rate depends on them."""
    weights = None if options.weights is None else hashlib.sha256(options.weights.read_bytes()).hexdigest()
    names = ("network", "batch_size", "lr", "seed", "dtype", "augment", "schedule")
    return {
        **{name: getattr(options, name) for name in names},
        "epochs": None if options.schedule == "constant" else options.epochs,
        "train_size": len(digits.train_images),
        "test_size": len(digits.test_images),
        "data_sha256": digits.sha256,
        "weights_sha256": weights,
        "numpy": np.__version__,
    }


def _report(training: Training, options: argparse.Namespace, digits: Digits) -> dict[str, Any]:
    """Return the facts of the run as plain data."""
    return {
        "schema_version": 1,
        "settings": settings_of(options, leave_out=(*KEEPING, "json", "weights_out")),
        "epochs": training.progressed.epochs,
        "steps": training.progressed.steps,
        "diverged": training.progressed.diverged,
        "parameters": sum(value.size for value in training.model.params.values()),
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "data_sha256": digits.sha256,
        "seconds": training.progressed.seconds,
    }


if __name__ == "__main__":
    sys.exit(main())
