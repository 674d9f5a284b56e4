"""Perturbed runs done at once: they stray as far as runs done one by one, and each of them goes its own way."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from crosscheck.oracles.theories.measured import _NONLINEAR, RUNS, SCALES, yardstick
from crosscheck.references.pytorch.noise.batched import runs_at_once
from crosscheck.references.pytorch.oracle import TorchOracle, oracle

HALF = RUNS // 2


class First(nn.Module):  # type: ignore[misc]
    """A module with several results, of which the first is taken."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x)[0]


class SelfAttention(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


def of_its_own_numbers(x: torch.Tensor) -> torch.Tensor:
    """Two numbers that float32 does not hold, one of which cancels the other in part."""
    return x * 0.1 + (x * x) * 0.3 - 0.7


def of_nothing(x: torch.Tensor) -> torch.Tensor:
    """Return a product with a tensor that is made of nothing, and is therefore the same in all runs: positions, as in an encoding of them."""
    return x * torch.sin(torch.arange(x.shape[-1], dtype=x.dtype) * 0.3)


def with_a_choice(x: torch.Tensor) -> torch.Tensor:
    """Go a way that depends on a number, which no run of many can follow for all."""
    return x.exp() if float(x.detach().sum()) > 0 else x.tanh()


TOGETHER: dict[str, tuple[Any, tuple[int, ...]]] = {
    "LayerNorm": (nn.LayerNorm(6), (3, 4, 6)),
    "GroupNorm": (nn.GroupNorm(2, 6), (3, 6, 4)),
    "InstanceNorm2d": (nn.InstanceNorm2d(3, affine=True), (2, 3, 4, 4)),
    "BatchNorm1d without a theory": (lambda x: nn.functional.batch_norm(x, None, None, training=True), (6, 4)),
    "LSTM": (First(nn.LSTM(3, 4)), (5, 2, 3)),
    "GRU": (First(nn.GRU(3, 4)), (5, 2, 3)),
    "RNN": (First(nn.RNN(3, 4)), (5, 2, 3)),
    "RNN of ReLU": (First(nn.RNN(3, 4, nonlinearity="relu")), (5, 2, 3)),
    "attention": (SelfAttention(), (2, 5, 8)),
    "convolution without a theory": (lambda x: nn.functional.conv2d(x, torch.ones(2, 3, 2, 2, dtype=x.dtype)), (2, 3, 4, 5)),
    "softmax": (lambda x: x.softmax(-1), (4, 5)),
    "softplus": (nn.Softplus(), (4, 5)),
    "numbers of the code's own": (of_its_own_numbers, (4, 5)),
}
"""References whose runs are done at once, each with the shape of an input."""

ALONE: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "made of nothing": (of_nothing, (4, 5)),
    "a choice": (with_a_choice, (4, 5)),
}
"""References whose runs are done one by one."""


def given(name: str) -> tuple[TorchOracle, Call]:
    torch.manual_seed(0)
    reference, shape = (TOGETHER | ALONE)[name]
    module = reference.double() if isinstance(reference, nn.Module) else reference
    rng = np.random.default_rng(0)
    params = {own: rng.standard_normal(tuple(value.shape)) for own, value in module.named_parameters()} if isinstance(module, nn.Module) else {}
    asked = oracle(module)
    assert isinstance(asked, TorchOracle)
    call = Call(rng.standard_normal(shape), params)
    return asked, Call(call.x, params, rng.standard_normal(asked.vjp(call)["output"].shape))


def spread(value: Array, halves: list[Array]) -> Array:
    scales = [scale for scale, half in zip(SCALES, halves, strict=True) for _ in half]
    return yardstick(value, np.concatenate(halves), scales)


@pytest.mark.parametrize("name", TOGETHER)
def test_runs_at_once_stray_as_far_as_runs_one_by_one(name: str) -> None:
    reference, call = given(name)
    at_once = [reference.noisy_runs(call, scale, HALF, 1) for scale in SCALES]
    assert len(at_once[0]["output"]) == runs_at_once(call, HALF) > HALF  # one by one they would be as many as were asked for
    alone = [[reference.noisy(call, scale, seed) for seed in range(HALF)] for scale in SCALES]
    for quantity, value in reference.vjp(call).items():
        one = spread(value, [half[quantity] for half in at_once])
        other = spread(value, [np.stack([run[quantity] for run in half]) for half in alone])
        assert (one <= _NONLINEAR * other).all()
        assert (other <= _NONLINEAR * one).all()


@pytest.mark.parametrize("name", ALONE)
def test_what_cannot_be_done_at_once_is_done_one_by_one(name: str) -> None:
    reference, call = given(name)
    runs = reference.noisy_runs(call, SCALES[0], HALF, 1)["output"]
    assert len(runs) == HALF
    assert not any(np.array_equal(one, other) for one, other in itertools.combinations(runs, 2))


@pytest.mark.parametrize("name", TOGETHER)
def test_each_run_of_many_goes_its_own_way(name: str) -> None:
    reference, call = given(name)
    runs = reference.noisy_runs(call, SCALES[0], HALF, 1)["output"]
    assert not any(np.array_equal(one, other) for one, other in itertools.combinations(runs, 2))


def test_number_of_runs_divides_no_length() -> None:
    assert runs_at_once(Call(np.zeros((4, 5))), HALF) == 17
    assert runs_at_once(Call(np.zeros((4, 34))), HALF) == 19
    assert runs_at_once(Call(np.zeros((4, 5)), {"weight": np.zeros((17, 19))}), HALF) == 23
    assert runs_at_once(Call(np.zeros((1000, 1000))), HALF) == 0
