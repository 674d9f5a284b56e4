"""A linear layer and a pool as pairs, right but for a fault or a tie rule that a test asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from crosscheck import Pair, Verdict
from crosscheck.core.precision import Array
from tests.support.conventional import LAYERS, Kernel, ObjectLayer, pair_of
from tests.support.unshrunk import check


def linear(**options: Any) -> Pair:
    options = {"shapes": [(3, 5)], "params": LAYERS["linear"].params} | options
    return Pair(ObjectLayer(Kernel(LAYERS["linear"])), options.pop("reference", nn.Linear(5, 3)), **options)


def error_of(pair: Pair) -> str:
    result = check(pair)
    assert result.verdict is Verdict.UNDECIDED
    assert not result.results
    return result.error


def linear_with(factors: dict[str, float], **options: Any) -> Pair:
    return pair_of("dicts", "linear", factors=factors, **options)


class Pool:
    """Max pooling with a tie rule."""

    def __init__(self, rule: str) -> None:
        self.rule = rule

    def forward(self, x: Array) -> Array:
        self._windows = x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2).swapaxes(3, 4)
        return np.asarray(self._windows.max(axis=(-2, -1)))

    def backward(self, grad_output: Array) -> Array:
        flat = self._windows.reshape(*grad_output.shape, 4)
        tied = flat == flat.max(axis=-1, keepdims=True)
        first, last = tied.argmax(axis=-1), 3 - tied[..., ::-1].argmax(axis=-1)
        shares = {
            "first": np.arange(4) == first[..., None],
            "last": np.arange(4) == last[..., None],
            "all": tied,
            # A reciprocal rounds once more than a quotient.
            "split": tied * (1 / tied.sum(axis=-1, keepdims=True)).astype(grad_output.dtype),
        }
        grad = (shares[self.rule] * grad_output[..., None]).reshape(*grad_output.shape, 2, 2).swapaxes(3, 4)
        return np.asarray(grad.reshape(*grad_output.shape[:2], 2 * grad_output.shape[2], 2 * grad_output.shape[3]))


def pool_with_rule(rule: str, ties: Any = "first") -> Pair:
    """Return a pool of a rule that is declared to be of another one."""
    return Pair(Pool(rule), nn.MaxPool2d(2), [(2, 2, 6, 6)], ties=ties, name="pool", fixed={2, 3})
