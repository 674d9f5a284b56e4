"""A reference that draws random numbers is no reference: two runs of it are two results, and nothing that it says counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from crosscheck import Pair
from crosscheck.core.check_layer import context_of
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import Call
from crosscheck.core.precision import Precision
from crosscheck.oracles.theories import Measured
from crosscheck.references.pytorch.oracle import TorchOracle
from tests.support.unshrunk import check


class Linear:
    """A linear layer whose output is too large."""

    def __init__(self) -> None:
        self.params = {"weight": np.ones((4, 3)), "bias": np.zeros(4)}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.params["weight"].T + self.params["bias"] + x.dtype.type(0.7)

    def backward(self, grad_output: Any) -> Any:
        self.grads = {"weight": grad_output.T @ self.x, "bias": grad_output.sum(axis=0)}
        return grad_output @ self.params["weight"]


def of_torch(x: Any, weight: Any, bias: Any) -> Any:
    return torch.nn.functional.linear(x, weight, bias) + np.random.normal()  # noqa: NPY002 - as people write it


def test_output_is_not_passed_over() -> None:
    """That rounding would decide everything is no excuse here."""
    pair = Pair(Linear(), of_torch, shapes=[(5, 3)], params={"weight": "weight", "bias": "bias"})
    result = check(pair, only=lambda name: name.endswith("-normal") or name.startswith("contract-"))
    assert result.verdict is Verdict.UNDECIDED
    assert any("it draws random numbers itself" in one.reason for one in result.results)


def test_rounding_that_is_not_the_same_each_time_is_not_random() -> None:
    """PyTorch's least squares start from whatever is in memory, so that their last digits vary."""
    calls = iter(range(1000))

    def with_other_digits(x: Any) -> Any:
        return torch.exp(x) * (1 + 2.0**-52 * (next(calls) % 2))

    call = Call(np.random.default_rng(0).standard_normal((3, 4)))
    context = context_of(TorchOracle(with_other_digits, Measured()), call, Precision(np.dtype(np.float32), 100))
    assert list(context.expected) == ["output"], context.undecided
