"""A reference that draws random numbers is no reference: two runs of it are two results, and nothing that it says counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck import Functions, Pair
from crosscheck.core.check_layer import context_of
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import Call, RefusedError
from crosscheck.core.precision import Precision
from crosscheck.oracles.theories import Measured
from crosscheck.pairs.prepare import prepare
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


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layer_refuses_parameters_of_another_size(kind: type[nn.RNNBase]) -> None:
    """PyTorch does not look: it broadcasts a bias of one number, and with one row of everything it reads beyond the end."""
    module = kind(3, 4)
    params = {name: np.zeros(tuple(value.shape)) for name, value in module.named_parameters()} | {"bias_hh_l0": np.zeros(1)}
    call = Call(np.zeros((5, 2, 3)), params, np.zeros((5, 2, 4)))
    with pytest.raises(RefusedError, match="bias_hh_l0 of shape"):
        TorchOracle(module, Measured()).vjp(call)


EMPTY_WINDOWS = {
    "module": (nn.MaxPool2d(2, 1, 1, 2), 2),
    "over time": (nn.MaxPool1d(2, 1, 1, 2), 1),
    "of volumes": (nn.MaxPool3d(2, 1, 1, 2), 3),
    "function": (lambda x: nn.functional.max_pool2d(x, 2, 1, 1, 2), 2),
}


@pytest.mark.parametrize("name", EMPTY_WINDOWS)
def test_window_of_padding_alone_is_refused(name: str) -> None:
    """PyTorch's own gradient would be written outside the array. Of one column, both columns of the window are padding."""
    pool, axes = EMPTY_WINDOWS[name]
    x = np.ones((1, 1, *[1] * axes))
    with pytest.raises(RefusedError, match="a window of the pool lies in the padding alone"):
        TorchOracle(pool, Measured()).vjp(Call(x, {}, x))


@pytest.mark.parametrize("name", EMPTY_WINDOWS)
def test_window_of_padding_alone_is_no_size(name: str) -> None:
    pool, axes = EMPTY_WINDOWS[name]
    ready = prepare(Pair(Functions(lambda x: (x, None), lambda grad, cache: grad), pool, [(2, 3, *[6] * axes)]))
    assert all(min(case.shape[2:]) > 1 for case in ready.derived)
    assert len(ready.derived) >= 3
