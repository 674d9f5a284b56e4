"""Faults that only batch sizes other than the declared ones show, and subjects that were written for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn

from crosscheck import Pair, Verdict, check
from crosscheck.checks import CheckResult
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.precision import Array
from crosscheck.pairs.prepare import prepare


class Linear:
    """A linear layer whose gradients are multiplied by what a function makes of the batch size."""

    def __init__(self, factors: Callable[[int], tuple[float, float]] = lambda samples: (1, 1)) -> None:
        self.params: dict[str, Array] = {"weight": np.ones((3, 5)), "bias": np.zeros(3)}
        self.grads: dict[str, Array] = {}
        self.factors = factors

    def forward(self, x: Array) -> Array:
        self._x = x
        return np.asarray(x @ self.params["weight"].T + self.params["bias"])

    def backward(self, grad_output: Array) -> Array:
        weight, bias = (grad_output.dtype.type(factor) for factor in self.factors(len(grad_output)))
        self.grads = {"weight": weight * (grad_output.T @ self._x), "bias": bias * grad_output.sum(axis=0)}
        return np.asarray(grad_output @ self.params["weight"])


class OfFour(Linear):
    """A linear layer that takes four samples and no other number of them."""

    def forward(self, x: Array) -> Array:
        return super().forward(x.reshape(4, 5))


def values(subject: Any, **options: Any) -> CheckResult:
    """Return what the check on normal inputs finds where batches of four are declared."""
    return check(Pair(subject, nn.Linear(5, 3), [(4, 5)], **options), only=lambda name: name == "values-float64-normal").results[0]


@pytest.mark.slow("each is checked as a whole; the rows show fewer samples and others", default=["odd", "zero-for-one"])
@pytest.mark.parametrize(
    ("factors", "shape", "quantity"),
    [
        (lambda samples: (1, 0 if samples == 1 else 1), "1x5", "bias.grad"),
        (lambda samples: (1.1 if samples % 2 else 1, 1), "1x5", "weight.grad"),
        (lambda samples: (samples / 4, 1), "1x5", "weight.grad"),
        (lambda samples: (1.1 if samples == 3 else 1, 1), "3x5", "weight.grad"),
    ],
    ids=["zero-for-one", "odd", "a-quarter-each", "three"],
)
def test_fault_of_other_batch_sizes(factors: Any, shape: str, quantity: str) -> None:
    result = values(Linear(factors))
    wrong = [(where, j.place.quantity) for where, j in result.judgements if j.verdict is Verdict.MISMATCH]
    assert wrong[0] == (shape, quantity)
    assert "4x5" not in {where for where, _ in wrong}


def test_subject_of_one_batch_size() -> None:
    """It says so, and is then tried on nothing else."""
    assert values(OfFour()).verdict is Verdict.MISMATCH
    pair = Pair(OfFour(), nn.Linear(5, 3), [(4, 5)], fixed_batch=True)
    result = check(pair, only=lambda name: name.endswith("-normal") or name.startswith("contract-"))
    assert result.verdict is Verdict.MATCH
    reasons = {r.check: r.reason for r in result.results}
    assert reasons["contract-smaller_batch_works"] == "does not apply: your code is declared to take only the declared batch sizes"


@pytest.mark.parametrize(
    ("reference", "shapes", "derived"),
    [
        (nn.Linear(5, 3), [(4, 5)], [(1, 5), (3, 5), (2, 5)]),
        (nn.Linear(5, 3), [(2, 5), (4, 5), (1, 5)], [(3, 5)]),
        (nn.Linear(5, 3), [(2, 5)], [(1, 5), (3, 5)]),
    ],
    ids=["both", "one-declared", "too-few-samples"],
)
def test_shapes_that_are_derived(reference: nn.Module, shapes: Any, derived: list[tuple[int, ...]]) -> None:
    """They are those of normal inputs alone."""
    prepared = prepare(Pair(Linear(), reference, shapes))
    assert [case.shape for case in prepared.cases_for(FAMILIES["normal"])] == [*shapes, *derived]
    assert [case.shape for case in prepared.cases_for(FAMILIES["ties"])] == shapes


def test_shape_that_the_reference_refuses() -> None:
    """A batch normalisation knows no batch of one."""

    class Norm:
        def __init__(self) -> None:
            self.params: dict[str, Array] = {"weight": np.ones(5), "bias": np.zeros(5)}
            self.grads: dict[str, Array] = {}

        def forward(self, x: Array) -> Array:
            raise NotImplementedError

        backward = forward

    prepared = prepare(Pair(Norm(), nn.BatchNorm1d(5), [(4, 5)], {"weight": "weight", "bias": "bias"}))
    assert [case.shape for case in prepared.derived] == [(3, 5), (2, 5)]
