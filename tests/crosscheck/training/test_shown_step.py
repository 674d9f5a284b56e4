"""What explains one step and not the next is no cause."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crosscheck.core.judge import Verdict
from crosscheck.core.precision import Array
from tests.support.faults.outcome import up_to_the_first
from tests.support.faults.training.hosts import WHOLE
from tests.support.model_pairs import SETTINGS
from tests.textbook.loss import Labels
from tests.textbook.network import Network as Trained


class _Step(Trained):
    """Counts its steps."""

    steps = 0

    def train_step(self, x: Array, labels: Labels) -> Array:
        self.steps += 1
        return super().train_step(x, labels)


class _OnceAfterTheUpdate(_Step):
    """The first loss is one after the update, all others have noise."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        loss = super().train_step(x, labels)
        return self.loss.forward(self.forward(x), labels) if self.steps == 1 else np.asarray(loss * loss.dtype.type(1.001))


class _OnceWithoutTheLast(_Step):
    """The last sample is left out in the first step alone."""

    def train_step(self, x: Array, labels: Labels) -> Array:
        return super().train_step(x, labels) if self.steps else super().train_step(x[:-1], labels[:-1])


class _NoisyLoss(Trained):
    def train_step(self, x: Array, labels: Labels) -> Array:
        loss = super().train_step(x, labels)
        return np.asarray(loss + np.random.default_rng(labels).normal() / 100, loss.dtype)


class _NoisyUpdate(_Step):
    def move(self, name: str, param: Array, grad: Array) -> None:
        super().move(name, param, grad)
        param += np.random.default_rng([self.steps, len(name)]).normal(size=param.shape).astype(param.dtype) / 1000


class _ConstantAdded(Trained):
    """The loss is too large by what 0.0005 times the sum of the squares of the first weights is."""

    added: Any = None

    def train_step(self, x: Array, labels: Labels) -> Array:
        if self.added is None:
            self.added = 0.0005 * sum(
                np.square(value).sum() for layer in self.layers.values() for key, value in layer.params.items() if key == "weight"
            )
        loss = super().train_step(x, labels)
        return np.asarray(loss + self.added, loss.dtype)


@pytest.mark.parametrize("kind", [_OnceAfterTheUpdate, _OnceWithoutTheLast, _NoisyLoss, _NoisyUpdate, _ConstantAdded], ids=lambda kind: kind.__name__)
def test_what_explains_one_step_alone_is_no_cause(kind: Any) -> None:
    outcome = up_to_the_first(WHOLE.pair(kind), SETTINGS)
    assert (outcome.verdict, outcome.cause) == (Verdict.MISMATCH, "")
