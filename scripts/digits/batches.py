"""MNIST as input of a network: scaled images in batches, in an order that depends only on the seed and the epoch.

The augmentation of a step's images depends only on the seed and the step. So a resumed run sees the same images as an uninterrupted one, and no state
of a generator has to be saved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digits.files import DataError, Digits
from scratch.augmentation import augmented

Labels = npt.NDArray[np.int64]
Images = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Schedule:
    """Precision, batch size and length of a training."""

    dtype: np.dtype[Any]  # precision of the images
    batch_size: int
    steps: int


@dataclass(frozen=True)
class Batch:
    """The images of one step, and its epoch."""

    epoch: int
    x: Images
    labels: Labels


def steps_of_epoch(images: int, batch_size: int) -> int:
    """Return the number of steps of one epoch."""
    return math.ceil(images / batch_size)


def generators(seed: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Return the generators of a run: for its initial weights, and for the order of its images."""
    weights, order = np.random.default_rng(seed).spawn(2)
    return weights, order


def augmenting(seed: int, step: int) -> np.random.Generator:
    """Return the generator for the augmentation of one step."""
    # The first two children of the seed draw the weights and the order.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2, step)))


BLACK = -0.5


def scaled(images: npt.NDArray[np.uint8], dtype: npt.DTypeLike) -> Images:
    """Return images as ``(count, 1, 28, 28)`` floats from -0.5 to 0.5."""
    x: Images = np.divide(images[:, None], 255, dtype=dtype)
    x += BLACK
    return x


def batches(digits: Digits, schedule: Schedule, rng: np.random.Generator, done: int = 0, augment: int | None = None) -> Iterator[Batch]:
    """Yield the batches of a run without the first ``done`` steps; each epoch shuffles the images again.

    ``rng`` draws the order and must be in its state at the start of the run. ``augment`` is the seed of the augmentation, None for no augmentation.
    """
    step, epoch = 0, 0
    while True:
        epoch += 1
        order = rng.permutation(len(digits.train_images))
        for start in range(0, len(order), schedule.batch_size):
            if step == schedule.steps:
                return
            step += 1
            if step > done:
                picked = order[start : start + schedule.batch_size]
                x = scaled(digits.train_images[picked], schedule.dtype)
                if augment is not None:
                    x = augmented(x, augmenting(augment, step), background=BLACK)
                yield Batch(epoch, x, digits.train_labels[picked])


def take(digits: Digits, train: int, test: int, folder: Path) -> Digits:
    """Return the first ``train`` training and ``test`` test images; raise DataError if there are fewer."""
    for option, asked, there in (("--train-size", train, len(digits.train_images)), ("--test-size", test, len(digits.test_images))):
        if asked > there:
            raise DataError(f"{option} {asked:,}: {folder} has {there:,} images; lower it, or get the full set with --download")
    return Digits(digits.train_images[:train], digits.train_labels[:train], digits.test_images[:test], digits.test_labels[:test], digits.sha256)
