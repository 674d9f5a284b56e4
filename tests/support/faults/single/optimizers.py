"""Optimizers whose state is kept, or whose corrections are worked out, with fewer digits than they need."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from crosscheck import OptimizerPair
from crosscheck.adapters.optimizers import Holding
from crosscheck.core.precision import Array
from tests.support.faults.fault import Host, planted
from tests.support.faults.optimizers.hosts import ADAM, MOMENTUM
from tests.support.faults.single.precision import brain, half, single
from tests.textbook.optimizers import SGD, Adam

SLOW: dict[str, Any] = {"lr": 0.01, "beta1": 0.9, "beta2": 0.9999, "eps": 1e-8}


def _slow(kind: Any) -> OptimizerPair:
    reference = lambda params: torch.optim.Adam(params, lr=0.01, betas=(0.9, 0.9999), eps=1e-8)  # noqa: E731 - a name for what is long
    return OptimizerPair(Holding(lambda params: kind(params, **SLOW)), reference, name="slow adam")


SLOW_ADAM = Host("slow adam", Adam, _slow)


@planted(SLOW_ADAM, at="weight", cause="lower precision", hidden="a rate of 0.9 loses nothing, and with 0.9999 the step is right to three digits")
class CorrectionInSingle(Adam):
    """In single precision 1 - beta**t is worked out in single precision, where a beta close to 1 has lost its digits."""

    def correction(self, beta: str) -> float:
        if not single(next(iter(self.params.values()))):
            return super().correction(beta)
        return float(np.float32(1) - np.float32(self.settings[beta]) ** np.float32(self.time()))


@planted(ADAM, at="weight", cause="lower precision", hidden="a mean of squares is right to two digits, and steps are about as long as before")
class SquaresOfEightBits(Adam):
    """The mean of the squares of single precision is kept in bfloat16."""

    stored = staticmethod(brain)

    def mean(self, kept: dict[str, Array], name: str, value: Array, beta: float) -> Array:
        right = super().mean(kept, name, value, beta)
        if kept is self.second and single(right):
            kept[name] = right = self.stored(right)
        return right


@planted(ADAM, at="weight", cause="lower precision", hidden="gradients of an ordinary size have squares that half precision can hold")
class SquaresInHalf(SquaresOfEightBits):
    """The mean of the squares of single precision is kept in half precision, in which small ones vanish."""

    stored = staticmethod(half)


@planted(MOMENTUM, at="weight", cause="lower precision", hidden="the direction is right to three digits, and training converges")
class MomentumInHalf(SGD):
    """The momentum of single precision is kept in half precision."""

    def buffer(self, name: str, grad: Array) -> Array:
        right = super().buffer(name, grad)
        return half(right) if single(right) else right


@planted(MOMENTUM, at="weight", cause="lower precision", hidden="a step that is large beside the last digit of its parameter is not lost")
class ParametersOfEightBits(SGD):
    """The parameters of single precision are kept in bfloat16: steps below a hundredth of a parameter are lost."""

    def update(self, name: str, grad: Array) -> None:
        super().update(name, grad)
        if single(self.params[name]):
            self.params[name][...] = brain(self.params[name])
