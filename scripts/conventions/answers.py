"""For each convention: what is measured, the possible answers, and the measurement that each answer would give.

A probe runs a framework on a tiny input and returns numbers, or the name of the error that was raised. Numbers are equal if their first four digits
are, because the page shows no more. Random weights are recognised by their moments. If a measurement fits no answer, the answer is "unknown".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

UNKNOWN = "unknown"
STANDARD_ERRORS = 5
"""How many standard errors a moment of a sample may be off; only one correct sample in two million is further off."""


@dataclass(frozen=True)
class Moments:
    """The moments of random numbers with mean 0."""

    # deviation, error: the sample's root mean square, and how far it may be from the distribution's: five standard errors
    deviation: float
    error: float
    largest: float  # the largest absolute value

    @property
    def shape(self) -> str:
        """The kind of distribution, judged by the largest value in standard deviations: 1.73 if uniform, 2.27 if normal and cut off at 2 sigma.

        The limit of 2.0 is half way between the two. A normal sample of at least 200 numbers hardly ever stays below the limit of 2.5.
        """
        if not self.deviation:
            return "constant"
        out = self.largest / self.deviation
        return "uniform" if out < 2.0 else "truncated normal" if out < 2.5 else "normal"


def moments(sample: npt.NDArray[Any]) -> Moments:
    """Return the moments of a sample. The standard error of its mean square is the squares' standard deviation over the root of the sample size."""
    squares = np.asarray(sample, dtype=np.float64).ravel() ** 2
    deviation = math.sqrt(squares.mean())
    error = STANDARD_ERRORS * float(squares.std()) / math.sqrt(squares.size) / (2 * deviation) if deviation else 0.0
    return Moments(deviation, error, math.sqrt(squares.max()))


@dataclass(frozen=True)
class Distribution:
    """An answer about random numbers: the kind of distribution and its standard deviation."""

    shape: str
    deviation: float


Measured: TypeAlias = "tuple[float, ...] | str | Moments"
"""What a probe returns: numbers, a word (a setting, the name of an error), or the moments of a sample."""
Probe: TypeAlias = Callable[[], Measured]
Probes: TypeAlias = Mapping[str, Mapping[str, Probe]]
"""The probes of a framework: by convention, then by the code that they call."""


@dataclass(frozen=True)
class Question:
    """How a convention is measured, and its possible answers."""

    measured: str  # what the probe measures, in words
    answers: Mapping[str, Measured | Distribution]  # for each answer, by its name, the measurement that it would give


def shown(measured: Measured | Distribution) -> str:
    """Return a measurement as a page shows it."""
    if isinstance(measured, str):
        return measured
    if isinstance(measured, Distribution):
        return f"{measured.shape}, deviation {measured.deviation:.4g}"
    if isinstance(measured, Moments):
        return f"{measured.shape}, deviation {measured.deviation:.4g} ± {measured.error:.1g}, largest {measured.largest:.4g}"
    return ", ".join(f"{number + 0.0:.4g}" for number in measured)  # adding 0 turns -0 into 0


def answer(question: Question, measured: Measured) -> str:
    """Return the name of the answer that fits a measurement, or ``"unknown"``."""
    return next((name for name, expected in question.answers.items() if _same(expected, measured)), UNKNOWN)


def _same(expected: Measured | Distribution, measured: Measured) -> bool:
    if isinstance(expected, Distribution):
        if not isinstance(measured, Moments):
            return False
        return measured.shape == expected.shape and abs(measured.deviation - expected.deviation) <= measured.error
    return type(expected) is type(measured) and shown(expected) == shown(measured)


def _numbers(*values: float) -> dict[str, Measured]:
    """Return one answer for each number, which is also its name."""
    return {f"{value:g}": (value,) for value in values}


FAN_IN, FAN_OUT = 200, 300
"""Features of the linear layer whose weights are measured."""
CHANNELS_IN, CHANNELS_OUT, KERNEL = 8, 64, 5
"""Channels and kernel of the convolution whose weights are measured."""
BIASED_IN, BIASED_OUT = 4, 5_000
"""Features of the linear layer whose bias is measured."""


def _initialisers(fan_in: int, fan_out: int) -> dict[str, Measured | Distribution]:
    glorot, he = math.sqrt(2 / (fan_in + fan_out)), math.sqrt(2 / fan_in)
    return {
        "Kaiming uniform (a = √5)": Distribution("uniform", 1 / math.sqrt(3 * fan_in)),
        "Glorot uniform": Distribution("uniform", glorot),
        "Glorot normal": Distribution("normal", glorot),
        "Glorot truncated normal": Distribution("truncated normal", glorot),
        "He uniform": Distribution("uniform", he),
        "He normal": Distribution("normal", he),
        "He truncated normal": Distribution("truncated normal", he),
        "N(0, 1) / fan_in": Distribution("normal", 1 / fan_in),
    }


TIES: Mapping[str, Measured] = {"first": (1, 0, 0, 0), "last": (0, 0, 0, 1), "all": (1, 1, 1, 1), "split": (0.25,) * 4}
REFUSED = "ValueError"

QUESTIONS: Mapping[str, Question] = {
    "max-pool-ties": Question("gradient of the pixels of a 2 x 2 window of equal numbers", TIES),
    "max-reduction-ties": Question("gradient of the maximum of four equal numbers", TIES),
    "relu-at-zero": Question("derivative at 0", {"0": (0,), "1": (1,), "half": (0.5,)}),
    "maximum-at-zero": Question("derivative at 0", {"0": (0,), "1": (1,), "half": (0.5,)}),
    "leaky-relu-at-zero": Question("derivative at 0, slope 0.25", {"the slope": (0.25,), "1": (1,), "half way": (0.625,)}),
    "leaky-relu-slope": Question("value at -1, negated", _numbers(0.01, 0.2, 0.3)),
    "abs-at-zero": Question("derivative at 0", {"0": (0,), "1": (1,), "-1": (-1,)}),
    "image-layout": Question("axis of the 3 filters in the output for an image of 4 x 4 x 4", {"channels first": (1,), "channels last": (3,)}),
    "flatten-order": Question(
        "order of two channels (0 and 1) of two pixels each (units), written channel.pixel",
        {"channels slowest": (0.1, 0.2, 1.1, 1.2), "channels fastest": (0.1, 1.1, 0.2, 1.2)},
    ),
    "linear-weight-shape": Question("shape of the weight from 2 to 3 features", {"(in, out)": (2, 3), "(out, in)": (3, 2)}),
    "conv-weight-shape": Question(
        "shape of 3 filters of 2 channels, 4 high, 5 wide",
        {
            "(out, in, height, width)": (3, 2, 4, 5),
            "(height, width, in, out)": (4, 5, 2, 3),
            "(in, out, height, width)": (2, 3, 4, 5),
            "(out, height, width, in)": (3, 4, 5, 2),
        },
    ),
    "convolution-flip": Question("[1, 2, 3] with the kernel [1, 10]", {"correlates": (21, 32), "flips": (12, 23)}),
    "same-with-stride": Question("output size for 5 pixels, kernel 3, stride 2", {"refuses": REFUSED, "ceil(size / stride)": (3,), "size": (5,)}),
    "same-odd-padding": Question(
        "[1, 2, 3] with the kernel [1, 10], correlated", {"zero at the end": (21, 32, 3), "zero at the start": (10, 21, 32)}
    ),
    "stride-padding-offset": Question(
        "[1, 2, 3, 4] with the kernel [1, 10, 100], stride 2", {"one pixel before the image": (210, 432), "on the first pixel": (321, 43)}
    ),
    "average-pool-padding": Question(
        "mean of a 2 x 2 window with one pixel, which is 1, inside the image", {"counted": (0.25,), "not counted": (1,)}
    ),
    "batch-norm-epsilon": Question("epsilon, from a batch of small numbers", _numbers(1e-5, 1e-3, 1e-6)),
    "batch-norm-momentum": Question(
        "running mean, from 0, after a batch of ones with momentum 0.25", {"weight of the new batch": (0.25,), "weight of the past": (0.75,)}
    ),
    "batch-norm-momentum-default": Question("running mean, from 0, after a batch of ones", _numbers(0.1, 0.01, 0.001)),
    "batch-norm-running-variance": Question("running variance, from 0, after one update with the batch [0, 2]", {"unbiased": (2,), "biased": (1,)}),
    "batch-norm-one-value": Question("output for the batch [5]", {"refuses": REFUSED, "beta": (0,)}),
    "gelu-form": Question("value at 1", {"exact": (0.8413447,), "tanh": (0.8411920,)}),
    "cross-entropy-input": Question(
        "loss of [0.2, 0.8] for the second class", {"logits": (math.log1p(math.exp(-0.6)),), "probabilities": (-math.log(0.8),)}
    ),
    "cross-entropy-reduction": Question(
        "loss of two samples that have ln 2 and ln 4", {"mean": (1.5 * math.log(2),), "sum": (3 * math.log(2),), "none": (math.log(2), math.log(4))}
    ),
    "mse-reduction": Question(
        "loss of [[1, 2], [3, 4]] for zeros",
        {
            "mean of all": (7.5,),
            "sum of outputs, mean of samples": (15,),
            "half of the mean of all": (3.75,),
            "mean of outputs, none of samples": (2.5, 12.5),
            "none": (1, 4, 9, 16),
            "none, halved": (0.5, 2, 4.5, 8),
        },
    ),
    "probability-clip": Question(
        "loss of probability 0", {"no clip": (math.inf,), "probability at least 1e-07": (-math.log(1e-7),), "logarithm at least -100": (100,)}
    ),
    "dropout-scaling": Question(
        "largest output of a dropout of rate 0.75 for ones, in training and in evaluation",
        {"scaled in training": (4, 1), "scaled in evaluation": (1, 0.25), "not scaled": (1, 1)},
    ),
    "dropout-argument": Question(
        "largest output for ones with 0.25, in training", {"probability of being dropped": (4 / 3,), "probability of being kept": (4,)}
    ),
    "sgd-momentum": Question(
        "second step for gradients of 1, momentum 0.5, after the rate fell from 0.1 to 0.01", {"buffer": (0.015,), "velocity": (0.06,)}
    ),
    "nesterov": Question(
        "two steps for gradients of 1, momentum 0.5, rate 1", {"gradient plus momentum to come": (1.5, 1.75), "plain momentum": (1, 1.5)}
    ),
    "sgd-dampening": Question(
        "two steps for gradients of 1, momentum 0.5, dampening 0.5",
        {"not in the first step": (1, 1), "in every step": (0.5, 0.75), "never": (1, 1.5)},
    ),
    "weight-decay": Question(
        "a weight of 1 after two steps without gradient, decay 0.1, rate 0.1; momentum 0.5 in SGD",
        {"coupled": (0.9751,), "decoupled": (0.9801,), "coupled, scaled by Adam": (0.8004,)},
    ),
    "adamw-decay-default": Question("what a step of rate 100 without gradient takes off a weight of 1, over 100", _numbers(0.01, 0.004, 0.0001)),
    "adam-epsilon": Question(
        "first step for a gradient of 1, rate 1, epsilon 1",
        {
            "outside, corrected": (0.5,),
            "outside, uncorrected (epsilon hat)": (math.sqrt(0.001) / (math.sqrt(0.001) + 1),),
            "inside the root": (math.sqrt(0.5),),
        },
    ),
    "adam-epsilon-default": Question("epsilon, from the first step for a gradient of 1e-7", _numbers(1e-8, 1e-7)),
    "rmsprop-epsilon": Question(
        "first step for a gradient of 1, rate 1, rho 0, epsilon 1", {"outside the root": (0.5,), "inside the root": (math.sqrt(0.5),)}
    ),
    "rmsprop-epsilon-default": Question("epsilon, from the first step for a small gradient, rho 0", _numbers(1e-8, 1e-7)),
    "rmsprop-rho-default": Question("rho, from the first step for a gradient of 1", _numbers(0.99, 0.9, 0.95)),
    "adadelta-epsilon": Question(
        "first step for a gradient of 1, rate 1, rho 0, epsilon 1", {"inside both roots": (math.sqrt(0.5),), "outside": (0.5,)}
    ),
    "adadelta-epsilon-default": Question("epsilon, from the first step for a gradient of 1, rate 1, rho 0", _numbers(1e-6, 1e-7)),
    "adadelta-rho-default": Question("rho, from the first step for a gradient of 1, rate 1, epsilon 1", _numbers(0.9, 0.95)),
    "learning-rate-default": Question(
        "first step, over that of rate 1",
        {**_numbers(1.0, 0.1, 0.01, 0.001), "has to be given": "TypeError", "none, and the step goes up the gradient": (-1.0,)},
    ),
    "linear-initialiser": Question(f"moments of the weights from {FAN_IN} to {FAN_OUT} features", _initialisers(FAN_IN, FAN_OUT)),
    "conv-initialiser": Question(
        f"moments of {CHANNELS_OUT} filters of {CHANNELS_IN} channels of {KERNEL} x {KERNEL}",
        _initialisers(CHANNELS_IN * KERNEL**2, CHANNELS_OUT * KERNEL**2),
    ),
    "bias-initialiser": Question(
        f"moments of the bias from {BIASED_IN} to {BIASED_OUT} features",
        {
            "zeros": Distribution("constant", 0.0),
            "uniform: bound 1/√fan_in": Distribution("uniform", 1 / math.sqrt(3 * BIASED_IN)),
            "N(0, 0.01²)": Distribution("normal", 0.01),
        },
    ),
    "argmax-ties": Question("index for [1, 3, 3, 2]", {"first": (1,), "last": (2,)}),
    "round-half": Question("0.5, 1.5, 2.5, -0.5 rounded", {"to the even one": (0, 2, 2, 0), "away from 0": (1, 2, 3, -1), "up": (1, 2, 3, 0)}),
    "default-dtype": Question("type of 1.0", {"float32": "float32", "float64": "float64"}),
    "float64-input": Question("type of a float64 array after conversion", {"kept": "float64", "narrowed": "float32"}),
    "matmul-precision": Question(
        "setting", {"float32 in full": "highest", "left to the device: fewer bits where it has them": "None", "TF32": "high"}
    ),
    "conv-precision": Question(
        "setting", {"TF32 on GPUs that have it": "True", "float32 in full": "False", "left to the device: fewer bits where it has them": "None"}
    ),
}
