"""Mistakes in a training step that shows its loss and its parameters alone: named once they explain a second step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crosscheck.core.precision import Array
from tests.support.faults.fault import FAULTS
from tests.support.faults.outcome import first_outcome_of, up_to_the_first
from tests.support.faults.training.hosts import WHOLE, WHOLE_MOMENTUM
from tests.support.model_pairs import SETTINGS
from tests.textbook.loss import Labels
from tests.textbook.network import Network as Trained

NAMED = {
    "training-last-sample-dropped": "the last sample of the batch is left out",
    "training-loss-after-the-update": "computed from the updated parameters",
    "training-loss-smoothed": "0.9 times the last one plus 0.1 times this step's",
    "training-buffers-lost-seen-from-outside": "its buffer is lost before the step",
    "training-weights-truncated": "cut to bfloat16",
    "holdout-velocity-of-another": "second and last share a momentum buffer (second is updated first)",
    "holdout-loss-after-the-update": "computed from the updated parameters",
    "holdout-penalty-in-the-loss-alone": "0.0005 times the sum of the squares of the weights",
}


@pytest.mark.parametrize("name", NAMED)
def test_planted_fault_is_named(name: str) -> None:
    outcome = first_outcome_of(FAULTS[name])
    assert (outcome.place, outcome.cause) == (FAULTS[name].at, FAULTS[name].cause)
    assert NAMED[name] in outcome.words


def _rounded(bits: int) -> Callable[[Array], Array]:
    def rounded(value: Array) -> Array:
        kept = np.ascontiguousarray(value, np.float32).view(np.uint32)
        half = np.uint32((1 << (bits - 1)) - 1) + (kept >> np.uint32(bits) & np.uint32(1))
        return (kept + half >> np.uint32(bits) << np.uint32(bits)).view(np.float32).astype(value.dtype)

    return rounded


class _Step(Trained):
    """Counts its steps."""

    steps = 0

    def train_step(self, x: Array, labels: Labels) -> Array:
        self.steps += 1
        return super().train_step(x, labels)


class _FirstSampleDropped(Trained):
    def train_step(self, x: Array, labels: Labels) -> Array:
        return super().train_step(x[1:], labels[1:])


class _LabelsTurned(Trained):
    def train_step(self, x: Array, labels: Labels) -> Array:
        return super().train_step(x, labels[::-1].copy())


class _FirstBatch(Trained):
    kept: Any = None

    def train_step(self, x: Array, labels: Labels) -> Array:
        self.kept = self.kept or (x.copy(), labels.copy())
        return super().train_step(*self.kept)


class _PreviousLabels(Trained):
    kept: Any = None

    def train_step(self, x: Array, labels: Labels) -> Array:
        before, self.kept = labels if self.kept is None else self.kept, labels.copy()
        return super().train_step(x, before)


class _PreviousLoss(Trained):
    kept: Any = None

    def train_step(self, x: Array, labels: Labels) -> Array:
        loss = super().train_step(x, labels)
        before, self.kept = loss if self.kept is None else self.kept, loss
        return np.asarray(before)


class _MeanOfAll(_Step):
    total: Any = 0

    def train_step(self, x: Array, labels: Labels) -> Array:
        self.total = self.total + super().train_step(x, labels)
        return np.asarray(self.total / self.total.dtype.type(self.steps))


class _SizesOfUpdated(Trained):
    def train_step(self, x: Array, labels: Labels) -> Array:
        loss = super().train_step(x, labels)
        return np.asarray(loss + 0.02 * sum(np.abs(v).sum() for layer in self.layers.values() for v in layer.params.values()), loss.dtype)


class _OneBuffer(Trained):
    """The biases of two layers have one buffer."""

    def direction(self, name: str, grad: Array) -> Array:
        return super().direction("second.bias" if name == "last.bias" else name, grad)


class _RoundedToBfloat16(Trained):
    def move(self, name: str, param: Array, grad: Array) -> None:
        super().move(name, param, grad)
        param[...] = _rounded(16)(param)


OTHERS = {
    _FirstSampleDropped: ("sample left out", "the first sample"),
    _LabelsTurned: ("labels in another order", "in reverse order"),
    _FirstBatch: ("earlier batch", "the batch of the first step"),
    _PreviousLabels: ("earlier labels", "the labels of the previous step"),
    _PreviousLoss: ("loss of the previous step", "that of the previous step"),
    _MeanOfAll: ("running mean", "the mean of the losses of all steps so far"),
    _SizesOfUpdated: ("penalty in the loss alone", "0.02 times the sum of the sizes of the updated parameters"),
    _OneBuffer: ("shared buffer", "second.bias and last.bias share a momentum buffer"),
    _RoundedToBfloat16: ("lower precision", "rounded to bfloat16"),
}


# Without momentum there are no buffers.
PLANTED = [(kind, host) for kind in OTHERS for host in (WHOLE, WHOLE_MOMENTUM) if kind is not _OneBuffer or host is WHOLE_MOMENTUM]


@pytest.mark.parametrize(("kind", "host"), PLANTED, ids=lambda one: one.__name__ if isinstance(one, type) else one.name)
def test_fault_of_the_same_kind_is_named(kind: Any, host: Any) -> None:
    outcome = up_to_the_first(host.pair(kind), SETTINGS)
    name, words = OTHERS[kind]
    assert outcome.cause == name
    assert words in outcome.words
