"""The results of trainings by Keras and by scratch, and the differences that neither rounding nor chance explains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from crosscheck.core.precision import Precision
from scratch.networks import CLASSES

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class Levels:
    """The probability of a false alarm, one in a million for the run, shared among its comparisons."""

    precision: Precision  # float32, with the share of the comparisons of probabilities
    accuracy: float  # the share of each McNemar test

    @classmethod
    def of(cls, seeds: int, dtypes: int, images: int) -> Levels:
        """Return the shares for a number of seeds and precisions, with a number of test images."""
        run = Precision(np.dtype(np.float32), 2 * seeds * images * CLASSES)
        return cls(Precision(run.dtype, run.elements, run.false_alarms / 2), run.false_alarms / 2 / (seeds * dtypes))


@dataclass(frozen=True)
class Compared:
    """A training by scratch compared with one by Keras."""

    dtype: str  # precision of scratch
    loss: float | None  # scratch's loss on the test images; None if it is not finite
    accuracy: float
    # scratch_alone, keras_alone: test images that only one of them classifies right
    scratch_alone: int
    keras_alone: int
    p: float  # the p-value of McNemar's test
    predictions_differ: int
    # largest_weight_difference, weight_distance: the largest element, and the norm over all weights
    largest_weight_difference: float | None
    weight_distance: float | None
    # label_clipped, sure_clipped: steps at which scratch gave the label a probability so near 0, or so near 1, that Keras' loss would clip it and its
    # gradient would be 0. Scratch's gradient is then nearly as large as possible, or nearly 0. Both are 0 if Keras' loss takes logits.
    label_clipped: int
    sure_clipped: int
    seconds: float


@dataclass(frozen=True)
class Beside:
    """The results of one seed."""

    seed: int
    keras_loss: float | None  # on the test images, as ``model.evaluate`` returns it
    keras_accuracy: float
    keras_seconds: float
    # start, end: before and after training, the largest difference of probabilities between Keras and scratch with Keras' weights, as a fraction of
    # what rounding explains; None if not finite
    start: float | None
    end: float | None
    compared: list[Compared]  # one for each precision of scratch
    rounding: float | None  # distance of scratch's weights in float32 from those in float64, if both were trained

    @property
    def diverged(self) -> bool:
        """Whether no training ended with a finite loss, so that there is nothing to compare."""
        return self.keras_loss is None and all(one.loss is None for one in self.compared)

    def findings(self, levels: Levels) -> Iterator[str]:
        """Yield the differences that neither rounding nor chance explains; if all trainings diverged, only those before the first step."""
        yield from _function("before the first step", self.start)
        if self.diverged:
            return
        yield from _function("after the last step", self.end)
        for one in self.compared:
            if (one.loss is None) != (self.keras_loss is None):
                yield f"scratch {one.dtype}: the loss of {'scratch' if one.loss is None else 'Keras'} alone is not finite"
            if one.p < levels.accuracy:
                yield (
                    f"scratch {one.dtype}: {one.scratch_alone:,} images only scratch has right, {one.keras_alone:,} only Keras: p = {one.p:.2g}, "
                    f"below {levels.accuracy:.2g}, so chance does not explain it"
                    + (f"; Keras' loss clipped the label at about {one.label_clipped:,} steps: try --from-logits" if one.label_clipped else "")
                )


def _function(when: str, fraction: float | None) -> Iterator[str]:
    if fraction is None:
        yield f"{when}: a probability is not finite"
    elif fraction > 1:
        yield f"{when}: not the same function; with Keras' weights a probability of scratch is off by {fraction:.3g} times what rounding explains"


def words(beside: Beside, levels: Levels, images: int) -> str:
    """Return the results of one seed as text."""
    lines = [
        f"seed {beside.seed}  Keras            loss {_number(beside.keras_loss, '.4f')}  accuracy {100 * beside.keras_accuracy:.2f} %  "
        f"({beside.keras_seconds:.0f} s)"
    ]
    for one in beside.compared:
        lines += [
            f"  scratch {one.dtype}  loss {_number(one.loss, '.4f')}  accuracy {100 * one.accuracy:.2f} %  ({one.seconds:.0f} s)",
            f"    predictions  {one.predictions_differ:,} of {images:,} differ; {one.scratch_alone:,} only scratch has right, "
            f"{one.keras_alone:,} only Keras: p = {one.p:.2g} (chance explains it down to {levels.accuracy:.2g})",
            f"    weights      differ by at most {_number(one.largest_weight_difference, '.2g')}, as a norm by {_number(one.weight_distance, '.2g')}",
            f"    clipped      {one.label_clipped:,} labels with a probability near 0, {one.sure_clipped:,} with one near 1",
        ]
    if beside.rounding is not None:
        lines.append(f"  scratch float32 and float64: the weights differ as a norm by {beside.rounding:.2g}")
    before, after = (_number(fraction, ".2g") for fraction in (beside.start, beside.end))
    lines.append(f"  with equal weights, probabilities differ by at most {before} (before) and {after} (after) of what rounding explains")
    return "\n".join(lines)


def _number(value: float | None, form: str) -> str:
    return "not finite" if value is None else format(value, form)
