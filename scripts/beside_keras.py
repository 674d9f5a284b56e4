"""Train the tutorial's small CNN by Keras' own ``model.fit`` and by scratch's own loop, and say whether both learned equally well.

The tutorial builds its network by hand and then repeats it in Keras on all of MNIST: 8 filters of 3x3 with bias, max pooling 2x2, one dense layer
with softmax, plain gradient descent of rate 0.005, one image a step, 3 epochs. It reports 97.4 % of the test images right (Victor Zhou, "CNNs, Part
2: Training a Convolutional Neural Network"); that figure is printed with the results, but not checked.

Keras draws the initial weights, scratch gets a copy of them, and both see the same images in the same order. The run answers two questions. The
probability of a false alarm, one in a million for every run of this project, is shared equally between them, and among all their comparisons:

1. Are both the same function? Before the first step and after the last one, the weights of Keras are copied to scratch in float64, and the
   probabilities that both give to the test images are compared. Rounding explains a difference up to a bound that follows from the weights and the
   images. This finds a wrong flatten order or a wrong scaling of the images.
2. Have both learned equally well? If neither is better, an image that only one of them classifies right is equally likely to be on either side. So
   the probability p of a split as uneven as this is that of throws of a fair coin (McNemar's exact test). Both agree unless p is below the test's
   share of the probability of a false alarm.

The test does not notice two networks that are wrong on different, equally many images; the number of differing predictions, which is printed as well,
shows this. Nor does it notice a wrong gradient that costs no accuracy: this command judges the end of Keras' own loop, compare_training.py each step.

Trainings that round differently drift apart. How far is seen from scratch in float64 and in float32. Keras drifts for a second reason: its loss
clips probabilities at 1e-7 from 0 and 1, and beyond that its gradient is 0, while scratch differentiates the loss of logits. The steps at which that
happens are counted; with --from-logits Keras' loss takes logits as well, and clips nothing.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from digits.batches import take
from digits.files import Digits, load
from rich.console import Console
from training.command_options import add_images, at_least, data_folder, ended, expect_representable, rate, settings_of
from training.keras_findings import DTYPES, Beside, Levels, words
from training.mcnemar import least_telling

from crosscheck.core.files import expect_writable
from crosscheck.report.write import write_json
from crosscheck.run.cli import UsageError

AGREE, DIFFER, COULD_NOT_BE_COMPARED = 0, 1, 2
QUOTED = "the tutorial reports 97.4 % of the test images after 3 epochs of all 60,000 (quoted, not checked)"


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
        "--seeds",
        type=_seeds,
        default=[0],
        metavar="N[,N...]",
        help="seeds of Keras' initial weights and the order of images; one run each (default: 0)",
    )
    run.add_argument(
        "--dtype",
        type=_dtypes,
        default=list(DTYPES),
        metavar="NAME[,NAME]",
        help="precision of scratch, which is compared with Keras in float32; one training each (default: float32,float64)",
    )
    run.add_argument("--from-logits", action="store_true", help="let Keras' loss take logits instead of probabilities, as scratch's loss does")
    add_images(result)
    files = result.add_argument_group("files")
    files.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures as JSON, again after each seed")
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
    console = Console(highlight=False, soft_wrap=True)
    return ended("beside_keras", lambda: compare(options, console), lambda: "the seeds that were done stand above, and in --json")


def compare(options: argparse.Namespace, console: Console) -> int:
    """Train both for each seed, report, and return the exit status."""
    folder = data_folder(options, console)
    digits = load(folder)
    digits = take(digits, options.train_size or len(digits.train_images), options.test_size or len(digits.test_images), folder)
    images = len(digits.test_images)
    levels = Levels.of(len(options.seeds), len(options.dtype), images)
    least = least_telling(levels.accuracy)
    if images < least:
        raise UsageError(f"{images:,} test images: chance explains any result on fewer than {least}; raise --test-size")
    expect_representable(options.lr, "float32")
    if options.json is not None:
        expect_writable(options.json, [".json"])
    try:
        from training.keras_comparison import NAME, beside  # noqa: PLC0415 - Keras takes seconds: it is imported once the options are known to be right
    except ModuleNotFoundError as error:
        how = "pip install -c constraints.txt -e '.[keras,training]'"
        raise UsageError(f"{error.name} is not installed, and Keras on JAX needs it: {how}") from error
    count = len(digits.train_images)
    console.print(f"{NAME} beside scratch; {options.epochs} x {count:,} steps of one image, lr {options.lr:g}", markup=False)
    done: list[Beside] = []
    for seed in options.seeds:
        done.append(beside(options, seed, digits, levels, console))
        console.print(words(done[-1], levels, images), markup=False)
        if options.json is not None:
            write_json(options.json, _report(done, options, digits, levels, NAME))
    diverged = [one.seed for one in done if one.diverged]
    found = [f"seed {one.seed}: {finding}" for one in done for finding in one.findings(levels)]
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


def _report(done: Sequence[Beside], options: argparse.Namespace, digits: Digits, levels: Levels, name: str) -> dict[str, Any]:
    """Return all figures as plain data."""
    return {
        "schema_version": 1,
        "settings": settings_of(options, leave_out=("json",)),
        "train_images": len(digits.train_images),
        "test_images": len(digits.test_images),
        "accuracy_level": levels.accuracy,
        "quoted": QUOTED,
        "seeds": [{**asdict(beside), "findings": list(beside.findings(levels))} for beside in done],
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "keras": name},
        "data_sha256": digits.sha256,
    }


if __name__ == "__main__":
    sys.exit(main())
