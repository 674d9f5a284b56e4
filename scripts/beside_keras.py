"""Train the tutorial's small CNN by Keras' own ``model.fit`` and by scratch's own loop, and say whether both learned it equally well.

The tutorial builds its network by hand and then repeats it in Keras on all of MNIST: 8 filters of 3x3 with bias, max pooling 2x2, one dense layer with
softmax, plain gradient descent of rate 0.005, one image a step, 3 epochs. It reports 97.4 % of the test images right (Victor Zhou, "CNNs, Part 2:
Training a Convolutional Neural Network"); the figure is quoted beside the results and checked by nothing.

Keras draws the initial weights, scratch gets a copy of them, and both see the same images in the same order. Two things are judged, each with half of
the probability of a false alarm that every run of this project has, one in a million, shared out among all comparisons of the run:

1. Whether both are the same function. Before the first step and after the last one the weights of Keras are copied to scratch in float64, and the
   probabilities that each gives to the test images compared. They may differ by what rounding explains. A wrong flatten order or scaling ends here.
2. Whether both have learned equally well, by McNemar's exact test. Of the images that only one side has right, each is as likely to be on one side as
   on the other, if neither is better; that the two numbers are as far apart as they are has then the probability p of so uneven a result in throws of
   a fair coin. They agree unless p is smaller than the share of false alarms.

The test cannot tell two networks apart that are wrong in equally many images: how many predictions differ at all stands beside it, and is stricter. It
cannot tell a small fault of a gradient that costs no accuracy either: compare_training.py judges every step, this the end of a run by Keras' own loop.

Trainings of different rounding drift apart. How far, scratch in float64 beside scratch in float32 tells. Keras drifts further for a second reason: its
loss takes probabilities and clips them 1e-7 from 0 and 1, and beyond that its gradient is 0, where that of scratch, from logits, is the derivative.
The steps at which that happened are counted; with --from-logits Keras' loss takes logits, too, and clips nothing.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from command_options import RefusedError, add_images, at_least, data_folder, expect_representable, rate, settings_of
from evaluation import TEST_BATCH, negative_log_likelihood, outputs
from mcnemar import least_telling, p_value
from mnist_batches import Schedule, batches, generators, scaled, take
from mnist_files import DataError, Digits, load
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from scratch_training import Training

import scratch
from crosscheck.arithmetic import Arithmetic, Array
from crosscheck.files import NotWritableError, expect_writable
from crosscheck.report.files import write_json
from scratch.networks import CLASSES

if TYPE_CHECKING:
    from keras_cnn import KerasCnn

AGREE, DIFFER, COULD_NOT_BE_COMPARED = 0, 1, 2
DTYPES = ("float32", "float64")
QUOTED = "the tutorial reports 97.4 % of the test images after 3 epochs of all 60,000 (quoted, not checked)"
CLIPPED = 1e-7
"""``keras.config.epsilon()``: how far from 0 and 1 Keras' loss keeps probabilities."""

Tick = Callable[[], None]


@dataclass(frozen=True)
class Tested:
    """A trained network on the test images: mean loss, predicted classes, and the seconds that its training took."""

    loss: float
    predictions: npt.NDArray[np.int64]
    seconds: float


@dataclass(frozen=True)
class Levels:
    """The probabilities of a false alarm, one in a million for the run, shared out.

    Attributes
    ----------
    arithmetic : Arithmetic
        Of Keras, with the share of the first question.
    accuracy : float
        The share of each test of the second.
    """

    arithmetic: Arithmetic
    accuracy: float

    @classmethod
    def of(cls, seeds: int, dtypes: int, images: int) -> Levels:
        """Return the shares of so many trainings beside Keras, all tested on so many images."""
        run = Arithmetic(np.dtype(np.float32), 2 * seeds * images * CLASSES)
        return cls(Arithmetic(run.dtype, run.elements, run.false_alarms / 2), run.false_alarms / 2 / (seeds * dtypes))


@dataclass(frozen=True)
class Compared:
    """A training by scratch beside the one by Keras.

    Attributes
    ----------
    dtype : str
        Precision of scratch.
    loss, accuracy : float or None
        Of scratch on the test images; None for a loss that is not finite.
    scratch_alone, keras_alone : int
        Test images that only one of them has right.
    p : float
        McNemar's.
    predictions_differ : int
    largest_weight_difference, weight_distance : float or None
        The largest element, and the norm over all weights.
    label_clipped, sure_clipped : int
        Steps at which scratch gave the label a probability less than 1e-7, where Keras' gradient is 0, or all but less than that.
    seconds : float
    """

    dtype: str
    loss: float | None
    accuracy: float
    scratch_alone: int
    keras_alone: int
    p: float
    predictions_differ: int
    largest_weight_difference: float | None
    weight_distance: float | None
    label_clipped: int
    sure_clipped: int
    seconds: float


@dataclass(frozen=True)
class Beside:
    """What one seed gave.

    Attributes
    ----------
    seed : int
    keras_loss, keras_accuracy : float or None
        As ``model.evaluate`` returns them.
    keras_seconds : float
    start, end : float or None
        The largest difference of probabilities from scratch with Keras' weights, as a fraction of what rounding explains; None if not finite.
    compared : list of Compared
        One for each precision of scratch.
    rounding : float or None
        Distance of scratch's weights in float32 from those in float64, where both were trained.
    """

    seed: int
    keras_loss: float | None
    keras_accuracy: float
    keras_seconds: float
    start: float | None
    end: float | None
    compared: list[Compared]
    rounding: float | None

    @property
    def diverged(self) -> bool:
        """Whether no side has a finite loss, so that there is nothing to compare."""
        return self.keras_loss is None and all(one.loss is None for one in self.compared)

    def findings(self, levels: Levels) -> list[str]:
        """Return what neither rounding nor chance explains."""
        found = [
            f"{when} both are not the same function: with Keras' weights, scratch's probabilities are off by "
            f"{'more than any number' if fraction is None else f'{fraction:.3g} times'} what rounding explains"
            for when, fraction in (("before the first step", self.start), ("after the last step", self.end))
            if fraction is None or fraction > 1
        ]
        return found + [
            f"{one.dtype}: {one.scratch_alone:,} images only scratch has right, {one.keras_alone:,} only Keras: p = {one.p:.2g}, "
            f"chance explains what is not below {levels.accuracy:.2g}"
            for one in self.compared
            if one.p < levels.accuracy
        ]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(
        prog="beside_keras.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit status: 0 both agree, 1 something differs that neither rounding nor chance explains, 2 it could not be compared.\n"
        "Examples:\n"
        "  beside_keras.py                          the 1,000 images that ship, a minute\n"
        "  beside_keras.py --download --seeds 0,1,2 all 60,000, as the tutorial has it; some minutes a seed\n"
        "  beside_keras.py --from-logits            without the clipping in Keras' loss: rounding alone is left",
    )
    run = result.add_argument_group("the training run")
    run.add_argument("--epochs", type=at_least(1), default=3, help="passes over the training images (default: 3)")
    run.add_argument("--lr", type=rate, default=0.005, help="learning rate (default: 0.005)")
    run.add_argument(
        "--seeds", type=_seeds, default=[0], metavar="N[,N...]", help="of Keras' initial weights and the order of the images; each a run (default: 0)"
    )
    run.add_argument(
        "--dtype",
        type=_dtypes,
        default=list(DTYPES),
        metavar="NAME[,NAME]",
        help="precision of scratch beside Keras in float32; each is a training (default: float32,float64)",
    )
    run.add_argument("--from-logits", action="store_true", help="let Keras' loss take logits, as that of scratch does, instead of probabilities")
    add_images(result)
    files = result.add_argument_group("files")
    files.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures as JSON, anew after each seed")
    return result


def _seeds(text: str) -> list[int]:
    seeds = [at_least(0)(part) for part in text.split(",")]
    if len(set(seeds)) < len(seeds):
        raise argparse.ArgumentTypeError(f"{text}: each seed once")
    return seeds


def _dtypes(text: str) -> list[str]:
    names = text.split(",")
    if len(set(names)) < len(names) or not set(names) <= set(DTYPES):
        raise argparse.ArgumentTypeError(f"{text!r}: expected {' or '.join(DTYPES)}, or both with a comma between, each once")
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, compare and return the exit status."""
    options = parser().parse_args(arguments)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        return compare(options, Console(highlight=False, soft_wrap=True))
    except (DataError, RefusedError, NotWritableError) as error:
        errors.print(f"beside_keras: {error}", style="red", markup=False)
    except KeyboardInterrupt:
        errors.print("beside_keras: interrupted; --json has the seeds that were done", style="red", markup=False)
    return COULD_NOT_BE_COMPARED


def compare(options: argparse.Namespace, console: Console) -> int:
    """Train both for each seed, report, and return the exit status."""
    folder = data_folder(options, console)
    digits = load(folder)
    digits = take(digits, options.train_size or len(digits.train_images), options.test_size or len(digits.test_images), folder)
    images = len(digits.test_images)
    levels = Levels.of(len(options.seeds), len(options.dtype), images)
    least = least_telling(levels.accuracy)
    if images < least:
        raise RefusedError(f"{images:,} test images: chance explains any result on fewer than {least}; raise --test-size")
    expect_representable(options.lr, "float32")
    if options.json is not None:
        expect_writable(options.json, [".json"])
    try:
        with console.status("importing Keras"):
            import keras_cnn  # noqa: PLC0415 - a wrong option has been answered by now; Keras takes seconds
    except ImportError as error:
        raise RefusedError(f"Keras on JAX cannot be imported ({error}); install it with pip install -c constraints.txt '.[keras,training]'") from error
    console.print(f"{keras_cnn.NAME} beside scratch; {options.epochs} x {len(digits.train_images):,} steps of one image, lr {options.lr:g}", markup=False)
    done: list[Beside] = []
    for seed in options.seeds:
        beside = _one_seed(options, seed, digits, levels, console)
        console.print(_told(beside, levels, images), markup=False)
        done.append(beside)
        if options.json is not None:
            write_json(options.json, _report(done, options, digits, levels, keras_cnn.NAME))
    diverged = [beside.seed for beside in done if beside.diverged]
    found = [f"seed {beside.seed}: {finding}" for beside in done if not beside.diverged for finding in beside.findings(levels)]
    console.print(QUOTED, markup=False)
    for seed in diverged:
        console.print(f"NOT COMPARED  seed {seed}: both trainings diverged; lower --lr", markup=False)
    for finding in found:
        console.print(f"DIFFERENT  {finding}", markup=False)
    if found:
        return DIFFER
    if diverged:
        return COULD_NOT_BE_COMPARED
    console.print(f"AGREE  chance explains up to {least - 1} images, all on one side, that only one of the two has right", markup=False)
    return AGREE


@np.errstate(all="ignore")  # a training that diverges overflows, and is told about once, in words
def _one_seed(options: argparse.Namespace, seed: int, digits: Digits, levels: Levels, console: Console) -> Beside:
    """Train Keras and then scratch, and compare them."""
    from keras_cnn import KerasCnn  # noqa: PLC0415

    keras_cnn = KerasCnn(seed, options.lr, options.from_logits)
    models = {dtype: keras_cnn.copy(dtype) for dtype in options.dtype}
    start = _apart(keras_cnn, digits, levels.arithmetic)
    steps = options.epochs * len(digits.train_images)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:

        def ticks(side: str) -> Tick:
            task = progress.add_task(f"seed {seed}, {side}", total=steps)
            return lambda: progress.advance(task)

        before, (_, order) = time.monotonic(), generators(seed)
        tick = ticks("Keras")
        for _ in range(options.epochs):
            keras_cnn.fit(digits, order.permutation(len(digits.train_images)), tick)
        seconds = time.monotonic() - before
        runs = {dtype: _by_scratch(model, digits, options, seed, ticks(f"scratch {dtype}")) for dtype, model in models.items()}
    loss, _ = keras_cnn.evaluate(digits)
    by_keras = Tested(loss, keras_cnn.probabilities(digits).argmax(axis=1), seconds)
    weights = _flat(keras_cnn.copy(np.float64))
    compared = [_compared(run, models[dtype], by_keras, weights, digits.test_labels) for dtype, run in runs.items()]
    accuracy = float((by_keras.predictions == digits.test_labels).mean())
    rounding = float(np.linalg.norm(_flat(models["float32"]) - _flat(models["float64"]))) if len(models) == len(DTYPES) else math.nan
    end = _apart(keras_cnn, digits, levels.arithmetic)
    return Beside(seed, _finite(loss), accuracy, round(seconds, 1), _finite(start), _finite(end), compared, _finite(rounding))


def _apart(keras_cnn: KerasCnn, digits: Digits, arithmetic: Arithmetic) -> float:
    """Return how far Keras' probabilities are from those of scratch with its weights at most, as a fraction of what rounding explains."""
    from keras_cnn import probability_errors  # noqa: PLC0415

    model, theirs, worst = keras_cnn.copy(np.float64), keras_cnn.probabilities(digits), 0.0
    for at in range(0, len(theirs), TEST_BATCH):
        # Rounded as Keras gets them: what is compared is the network's rounding.
        images = scaled(digits.test_images[at : at + TEST_BATCH], np.float32).astype(np.float64)
        probabilities, errors = probability_errors(model, images, arithmetic)
        worst = float(np.maximum(worst, (np.abs(theirs[at : at + TEST_BATCH] - probabilities) / errors).max()))
    return worst


@dataclass(frozen=True)
class _ByScratch:
    """A training by scratch: how it did, and at how many steps Keras' loss would have clipped."""

    dtype: str
    tested: Tested
    label_clipped: int
    sure_clipped: int


def _by_scratch(model: scratch.Sequential, digits: Digits, options: argparse.Namespace, seed: int, tick: Tick) -> _ByScratch:
    """Train a scratch network by its own loop and test it."""
    dtype = model.params["linear.weight"].dtype
    schedule = Schedule(dtype, 1, options.epochs * len(digits.train_images))
    training, (_, order) = Training(model, scratch.SGD(model.params, lr=options.lr)), generators(seed)
    before, losses = time.monotonic(), np.zeros(schedule.steps)
    for step, batch in enumerate(batches(digits, schedule, order)):
        losses[step], _ = training.step(batch)
        tick()
    seconds = time.monotonic() - before
    logits = outputs(model.forward, scaled(digits.test_images, dtype))
    loss = negative_log_likelihood(logits, digits.test_labels, probabilities=False).mean()
    label, sure = int((losses > -math.log(CLIPPED)).sum()), int((losses < -math.log1p(-CLIPPED)).sum())
    return _ByScratch(dtype.name, Tested(float(loss), logits.argmax(axis=1), seconds), label, sure)


def _compared(run: _ByScratch, model: scratch.Sequential, by_keras: Tested, weights: Array, labels: npt.NDArray[np.int64]) -> Compared:
    tested = run.tested
    right, keras_right = tested.predictions == labels, by_keras.predictions == labels
    alone, keras_alone = int((right & ~keras_right).sum()), int((keras_right & ~right).sum())
    difference = _flat(model) - weights
    return Compared(
        run.dtype,
        _finite(tested.loss),
        float(right.mean()),
        alone,
        keras_alone,
        p_value(alone, keras_alone),
        int((tested.predictions != by_keras.predictions).sum()),
        _finite(float(np.abs(difference).max())),
        _finite(float(np.linalg.norm(difference))),
        run.label_clipped,
        run.sure_clipped,
        round(tested.seconds, 1),
    )


def _flat(model: scratch.Sequential) -> Array:
    """Return all weights of a network in a row, in float64."""
    return np.concatenate([value.ravel() for value in model.params.values()]).astype(np.float64)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _told(beside: Beside, levels: Levels, images: int) -> str:
    """Return what one seed gave as text."""

    def number(value: float | None, form: str) -> str:
        return "not finite" if value is None else format(value, form)

    lines = [
        f"seed {beside.seed}   test  Keras            loss {number(beside.keras_loss, '.4f')}  accuracy {100 * beside.keras_accuracy:.2f} %  "
        f"({beside.keras_seconds:.0f} s)"
    ]
    for one in beside.compared:
        lines += [
            f"         test  scratch {one.dtype}  loss {number(one.loss, '.4f')}  accuracy {100 * one.accuracy:.2f} %  ({one.seconds:.0f} s)",
            f"         {one.predictions_differ:,} of {images:,} predictions differ; right on scratch's side alone {one.scratch_alone:,}, on Keras' alone "
            f"{one.keras_alone:,}: p = {one.p:.2g} (below {levels.accuracy:.2g} it would be no chance)",
            f"         weights: largest difference {number(one.largest_weight_difference, '.2g')}, distance {number(one.weight_distance, '.2g')}; "
            f"at {one.label_clipped:,} steps the label had less than 1e-7, at {one.sure_clipped:,} all but less than that",
        ]
    if beside.rounding is not None:
        lines.append(f"         weights of scratch in float32 and in float64: distance {beside.rounding:.2g}")
    same = " before, ".join(number(fraction, ".2g") for fraction in (beside.start, beside.end))
    return "\n".join([*lines, f"         with equal weights, of what rounding explains in a probability at most: {same} after the training"])


def _report(done: Sequence[Beside], options: argparse.Namespace, digits: Digits, levels: Levels, name: str) -> dict[str, Any]:
    """Return all figures as plain data."""
    return {
        "schema_version": 1,
        "settings": settings_of(options, leave_out=("json",)),
        "train_images": len(digits.train_images),
        "test_images": len(digits.test_images),
        "accuracy_level": levels.accuracy,
        "quoted": QUOTED,
        "seeds": [{**asdict(beside), "findings": beside.findings(levels)} for beside in done],
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "keras": name},
        "data_sha256": digits.sha256,
    }


if __name__ == "__main__":
    sys.exit(main())
