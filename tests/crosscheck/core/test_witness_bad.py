"""Witnesses made bad on purpose: finite, and wrong by a little less than half of their digits, each beside a subject that shares the very defect.

A witness may widen a tolerance, and then reports say so. None of these pairs is a plain ``match``, one whose report says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck import Pair
from crosscheck.checks import Settings
from crosscheck.core.judge import Verdict, judgement_facts
from crosscheck.core.operation import Call
from crosscheck.references.pytorch.oracle import oracle
from crosscheck.report.words import widened
from crosscheck.run.check import PairResult, check_pair
from tests.support.right_ways.modules.alone import Alone
from tests.support.right_ways.modules.kernels import Kernel

Function = Callable[[torch.Tensor], torch.Tensor]
HALF = math.sqrt(2.0**-24)
"""The relative error of a number of float32 of whose digits one half is wrong."""

SHAPE = (6, 40)
FAMILIES = ("normal", "digits", "wide", "offset")
PI_OF_FOUR_DIGITS = 3.142


def _in_single(defect: Function) -> Callable[[Function], Function]:
    """Return what gives a function a defect in float32 alone; gradients pass through it as they are."""

    def spoil(function: Function) -> Function:
        def spoiled(x: torch.Tensor) -> torch.Tensor:
            right = function(x)
            return right + (defect(right.detach()) - right.detach()) if x.dtype == torch.float32 else right

        return spoiled

    return spoil


def biased(y: torch.Tensor) -> torch.Tensor:
    return y * (1 + 1e-4)


def by_halves(y: torch.Tensor) -> torch.Tensor:
    return y.half().float()


def cut(y: torch.Tensor) -> torch.Tensor:
    return (y.view(torch.int32) >> 12 << 12).view(torch.float32)


def one_bad_row(y: torch.Tensor) -> torch.Tensor:
    """Return numbers the third row of which is half a thousandth too large."""
    factor = torch.ones(len(y), *[1] * (y.ndim - 1))
    factor[2 % len(y)] += 5e-4
    return y * factor


def one_bad_element(y: torch.Tensor) -> torch.Tensor:
    spoiled = y.clone()
    spoiled.view(-1)[y.numel() // 2] += 2e-4 * y.norm()
    return spoiled


def one_pass(x: torch.Tensor) -> torch.Tensor:
    """Return rows over their deviation, whose variance in float32 is a difference of large numbers."""
    mean = x.mean(1, keepdim=True)
    offset = 30.0
    single = ((x + offset) ** 2).mean(1, keepdim=True) - (mean + offset) ** 2
    variance = single if x.dtype == torch.float32 else ((x - mean) ** 2).mean(1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5)


def shifted_too_far(x: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of a sum of exponentials, in float32 by way of numbers about a thousand."""
    return torch.logsumexp(x + 1024, 1) - 1024 if x.dtype == torch.float32 else torch.logsumexp(x, 1)


def constant_of_four_digits(x: torch.Tensor) -> torch.Tensor:
    return torch.sin((PI_OF_FOUR_DIGITS if x.dtype == torch.float32 else math.pi) * torch.tanh(x) / 4)


class _BiasedBackwards(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return torch.tanh(x)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        right: torch.Tensor = grad * (1 - torch.tanh(x) ** 2)
        return biased(right) if x.dtype == torch.float32 else right


def biased_backwards(x: torch.Tensor) -> torch.Tensor:
    """Return a tangent whose gradient is a ten thousandth too large in float32."""
    result: torch.Tensor = _BiasedBackwards.apply(x)
    return result


def mean_by_halves(x: torch.Tensor) -> torch.Tensor:
    """Return rows less their mean, which in float32 passes through half precision."""
    mean = x.mean(1, keepdim=True)
    return x - (mean + (by_halves(mean.detach()) - mean.detach()) if x.dtype == torch.float32 else mean)


def polynomial(x: torch.Tensor) -> torch.Tensor:
    """Return an error function, in float32 by five terms of a series (Abramowitz and Stegun, 7.1.26 has as many)."""
    if x.dtype != torch.float32:
        return torch.erf(x)
    t = 1 / (1 + 0.3275911 * x.abs())
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return torch.sign(x) * (1 - series * torch.exp(-x * x))


BAD: dict[str, Function] = {
    "biased": _in_single(biased)(torch.tanh),
    "half precision": _in_single(by_halves)(torch.tanh),
    "twelve bits": _in_single(cut)(torch.sigmoid),
    "one bad row": _in_single(one_bad_row)(torch.tanh),
    "one bad element": _in_single(one_bad_element)(torch.tanh),
    "one-pass variance": one_pass,
    "shifted too far": shifted_too_far,
    "constant of four digits": constant_of_four_digits,
    "biased backwards": biased_backwards,
    "mean in half precision": mean_by_halves,
    "polynomial": polynomial,
    "biased softmax": _in_single(biased)(lambda x: torch.softmax(x, 1)),
}


def result_of(name: str) -> PairResult:
    module = Alone(nn.Identity(), lambda own, x: BAD[name](x))
    pair = Pair(Kernel(module), module, shapes=[SHAPE], name=name)
    return check_pair(pair, Settings(shrink=False), only=lambda check: check.startswith("values-") and check.endswith(FAMILIES))


@pytest.mark.parametrize("name", BAD)
def test_bad_witness_is_finite_and_within_half_of_its_digits(name: str) -> None:
    """What the witnesses are bad in: by a wide margin more than rounding, by a little less than what would disqualify them."""
    bad = oracle(BAD[name])
    rng = np.random.default_rng(0)
    call = Call(rng.standard_normal(SHAPE).astype(np.float32))
    call = Call(call.x, {}, rng.standard_normal(bad.vjp(call)["output"].shape).astype(np.float32))
    errors = {}
    right = bad.vjp(call.astype(np.float64))
    for quantity, value in bad.vjp(call).items():
        assert np.isfinite(value).all()
        errors[quantity] = float(np.linalg.norm(value - right[quantity]) / np.linalg.norm(right[quantity]))
    assert 4 * 2.0**-24 < max(errors.values()) < HALF, errors


@pytest.mark.parametrize("name", BAD)
def test_bad_witness_makes_no_plain_match(name: str) -> None:
    result = result_of(name)
    judgements = [judgement for one in result.results for _, judgement in one.judgements]
    assert len(judgements) >= 2 * 2 * (len(FAMILIES) + 2)  # normal numbers are shown in several more sizes
    double = [one.verdict for one in result.results if "float64" in one.check]
    assert Verdict.MISMATCH not in double
    assert result.verdict is not Verdict.MATCH or widened([judgement_facts(judgement) for judgement in judgements])
