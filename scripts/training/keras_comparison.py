"""Train by Keras and by scratch from the same weights, and compare the results."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from digits.batches import Schedule, batches, generators, scaled
from digits.files import Digits
from rich.console import Console

import scratch
from crosscheck.core.precision import Array, Precision
from training.evaluation import TEST_BATCH, negative_log_likelihood, outputs
from training.keras_cnn import EPSILON, NAME, KerasCnn, probability_errors
from training.keras_findings import DTYPES, Beside, Compared, Levels
from training.mcnemar import p_value
from training.progress_bar import progress_bar
from training.scratch_training import Training

__all__ = ["NAME", "beside"]

Tick = Callable[[], None]


@dataclass(frozen=True)
class Trained:
    """The result of a training."""

    loss: float  # the mean over the test images
    predictions: npt.NDArray[np.int64]  # the classes of the test images
    weights: Array  # all weights as one vector, in scratch's order, in float64
    seconds: float


@np.errstate(all="ignore")  # a training that diverges overflows, which is reported once
def beside(options: argparse.Namespace, seed: int, digits: Digits, levels: Levels, console: Console) -> Beside:
    """Train Keras, then scratch in each precision that ``options`` names, and compare them."""
    cnn = KerasCnn(seed, options.lr, options.from_logits)
    models = {dtype: cnn.copy(dtype) for dtype in options.dtype}
    start = _apart(cnn, digits, levels.precision)
    steps = options.epochs * len(digits.train_images)
    with progress_bar(console, "{task.description}") as progress:

        def ticks(side: str) -> Tick:
            task = progress.add_task(f"seed {seed}, {side}", total=steps)
            return lambda: progress.advance(task)

        by_keras = _by_keras(cnn, digits, options.epochs, seed, ticks("Keras"))
        runs = {dtype: _by_scratch(model, digits, options, seed, ticks(f"scratch {dtype}")) for dtype, model in models.items()}
    clipping = 0.0 if options.from_logits else EPSILON
    compared = [_compared(dtype, *run, by_keras, digits.test_labels, clipping) for dtype, run in runs.items()]
    accuracy = float((by_keras.predictions == digits.test_labels).mean())
    rounding = None
    if len(runs) == len(DTYPES):
        single, double = (runs[dtype][0].weights for dtype in DTYPES)
        rounding = _finite(float(np.linalg.norm(single - double)))
    end = _apart(cnn, digits, levels.precision)
    return Beside(seed, _finite(by_keras.loss), accuracy, by_keras.seconds, _finite(start), _finite(end), compared, rounding)


def _apart(cnn: KerasCnn, digits: Digits, precision: Precision) -> float:
    """Return the largest difference of probabilities between Keras and scratch with Keras' weights, as a fraction of what rounding explains."""
    model, theirs, worst = cnn.copy(np.float64), cnn.probabilities(digits), 0.0
    for at in range(0, len(theirs), TEST_BATCH):
        # rounded to float32 as for Keras, so that only the rounding of the network is compared
        images = scaled(digits.test_images[at : at + TEST_BATCH], np.float32).astype(np.float64)
        probabilities, errors = probability_errors(model, images, precision)
        worst = float(np.maximum(worst, (np.abs(theirs[at : at + TEST_BATCH] - probabilities) / errors).max()))
    return worst


def _by_keras(cnn: KerasCnn, digits: Digits, epochs: int, seed: int, tick: Tick) -> Trained:
    """Train by ``model.fit``, with a new permutation of the images in each epoch, and test."""
    before, (_, order) = time.monotonic(), generators(seed)
    for _ in range(epochs):
        cnn.fit(digits, order.permutation(len(digits.train_images)), tick)
    seconds = round(time.monotonic() - before, 1)
    return Trained(cnn.loss(digits), cnn.probabilities(digits).argmax(axis=1), _in_a_row(cnn.copy(np.float64)), seconds)


def _by_scratch(model: scratch.Sequential, digits: Digits, options: argparse.Namespace, seed: int, tick: Tick) -> tuple[Trained, Array]:
    """Train by scratch's own loop, with the images in the same order as Keras, and test; also return the losses of all steps."""
    dtype = model.params["linear.weight"].dtype
    schedule = Schedule(dtype, 1, options.epochs * len(digits.train_images))
    training, (_, order) = Training(model, scratch.SGD(model.params, lr=options.lr)), generators(seed)
    before, losses = time.monotonic(), np.zeros(schedule.steps)
    for step, batch in enumerate(batches(digits, schedule, order)):
        losses[step], _ = training.step(batch)
        tick()
    seconds = round(time.monotonic() - before, 1)
    logits = outputs(model.forward, scaled(digits.test_images, dtype))
    loss = float(negative_log_likelihood(logits, digits.test_labels, probabilities=False).mean())
    return Trained(loss, logits.argmax(axis=1), _in_a_row(model), seconds), losses


def _compared(dtype: str, run: Trained, losses: Array, by_keras: Trained, labels: npt.NDArray[np.int64], clipping: float) -> Compared:
    right, keras_right = run.predictions == labels, by_keras.predictions == labels
    alone, keras_alone = int((right & ~keras_right).sum()), int((keras_right & ~right).sum())
    difference = run.weights - by_keras.weights
    return Compared(
        dtype,
        _finite(run.loss),
        float(right.mean()),
        alone,
        keras_alone,
        p_value(alone, keras_alone),
        int((run.predictions != by_keras.predictions).sum()),
        _finite(float(np.abs(difference).max())),
        _finite(float(np.linalg.norm(difference))),
        int((np.exp(-losses) < clipping).sum()),
        int((-np.expm1(-losses) < clipping).sum()),
        run.seconds,
    )


def _in_a_row(model: scratch.Sequential) -> Array:
    return np.concatenate([value.ravel() for value in model.params.values()]).astype(np.float64)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
