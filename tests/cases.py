"""The table of layers under test: a row is a layer, the shape of one sample, and nothing else.

Every row is judged on all input families, batch sizes, precisions and seeds. A new layer is a new row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

import scratch
from crosscheck.adapters.adapted import AdaptedLayer
from crosscheck.adapters.objects import Dicts
from crosscheck.arithmetic import Arithmetic
from crosscheck.divergence import Divergence, examined
from crosscheck.families import FAMILIES, labels
from crosscheck.frameworks.pytorch import oracle, takes_labels
from crosscheck.isolated import LayerCheck, check_layer, quantities
from crosscheck.operation import Call
from crosscheck.subject import SubjectLayer
from reference.pytorch import twin

DTYPES = ("float64", "float32")
BATCHES = (1, 3)
SEEDS = (0, 1)
CLASSES = 10


@dataclass(frozen=True)
class Case:
    """A layer and the shape of one sample.

    Attributes
    ----------
    make : callable
        Gets a generator for the initial weights; the test gives the layer weights of its own.
    sample : tuple of int
        Shape of the input without the batch axis.
    unlimited : tuple of str
        Quantities that are undecided, ``family-dtype-quantity``: numbers on the reference's own way to them exceed the range.
    """

    make: Callable[[np.random.Generator], Any]
    sample: tuple[int, ...]
    unlimited: tuple[str, ...] = ()


def conv(*sizes: Any, **options: Any) -> Callable[[np.random.Generator], scratch.Conv2d]:
    """Return a maker of a convolution."""
    return lambda rng: scratch.Conv2d(*sizes, rng=rng, **options)


def linear(*sizes: Any, **options: Any) -> Callable[[np.random.Generator], scratch.Linear]:
    """Return a maker of a linear layer."""
    return lambda rng: scratch.Linear(*sizes, rng=rng, **options)


def plain(kind: type, *sizes: Any, **options: Any) -> Callable[[np.random.Generator], Any]:
    """Return a maker of a layer without weights."""
    return lambda rng: kind(*sizes, **options)


CASES: dict[str, Case] = {
    "conv2d-tutorial": Case(conv(1, 8, 3, bias=False), (1, 28, 28)),
    "conv2d-channels": Case(conv(3, 4, 3), (3, 7, 6)),
    "conv2d-1x1": Case(conv(2, 3, 1), (2, 4, 5)),
    "conv2d-whole": Case(conv(2, 3, (5, 4)), (2, 5, 4)),
    "conv2d-tall": Case(conv(2, 3, (3, 1)), (2, 6, 5)),
    "conv2d-wide": Case(conv(2, 3, (2, 5)), (2, 5, 9)),
    "conv2d-p1": Case(conv(2, 3, 3, padding=1), (2, 5, 6)),
    "conv2d-p2p0": Case(conv(2, 2, (5, 2), padding=(2, 0)), (2, 4, 5)),
    "conv2d-s2": Case(conv(2, 3, 3, stride=2), (2, 8, 7)),  # stride leaves a row over
    "conv2d-s2p1": Case(conv(2, 3, 3, stride=2, padding=1), (2, 8, 7)),
    "conv2d-s3s1": Case(conv(1, 2, 2, stride=(3, 1)), (1, 9, 4)),  # windows that leave gaps
    "conv2d-s1s2p1p2": Case(conv(2, 2, (2, 3), stride=(1, 2), padding=(1, 2), bias=False), (2, 5, 8)),
    "conv2d-d2": Case(conv(2, 3, 3, dilation=2), (2, 8, 7)),
    "conv2d-d2d3s2p3p1": Case(conv(2, 2, (3, 2), stride=2, padding=(3, 1), dilation=(2, 3)), (2, 7, 8)),
    "conv2d-g2": Case(conv(4, 6, 3, groups=2), (4, 6, 5)),
    "conv2d-g3s2p1": Case(conv(6, 3, (3, 2), stride=(2, 1), padding=1, groups=3, bias=False), (6, 7, 4)),
    "conv2d-depthwise": Case(conv(3, 3, 3, padding=1, groups=3), (3, 6, 5)),
    "conv2d-depthwise-x2d2": Case(conv(2, 4, 3, padding="same", dilation=2, groups=2), (2, 6, 7)),
    "conv2d-same": Case(conv(2, 3, 3, padding="same"), (2, 5, 6)),
    "conv2d-same-even": Case(conv(2, 3, (4, 2), padding="same"), (2, 5, 6)),  # an odd number of zeros
    "conv2d-same-s2": Case(conv(2, 3, 3, stride=2, padding="same"), (2, 8, 7)),  # an odd number of rows of zeros, an even one of columns
    "conv2d-same-s2-even": Case(conv(2, 3, (4, 2), stride=2, padding="same", dilation=(1, 2)), (2, 7, 8)),
    "conv2d-same-s3k1": Case(conv(2, 3, (1, 2), stride=3, padding="same"), (2, 7, 6)),  # pixels in no window, and nothing to add
    "maxpool2d-2": Case(plain(scratch.MaxPool2d, 2), (3, 8, 6)),
    "maxpool2d-2-odd": Case(plain(scratch.MaxPool2d, 2), (2, 7, 5)),  # the last row and column fill no window
    "maxpool2d-3s1": Case(plain(scratch.MaxPool2d, 3, 1), (2, 6, 7)),  # windows overlap
    "maxpool2d-3s2p1": Case(plain(scratch.MaxPool2d, 3, 2, 1), (2, 7, 8)),
    "maxpool2d-2x3s3s2": Case(plain(scratch.MaxPool2d, (2, 3), (3, 2)), (2, 9, 8)),
    "maxpool2d-1": Case(plain(scratch.MaxPool2d, 1), (2, 3, 4)),
    "avgpool2d-2": Case(plain(scratch.AvgPool2d, 2), (3, 8, 6)),
    "avgpool2d-2-odd": Case(plain(scratch.AvgPool2d, 2), (2, 7, 5)),
    "avgpool2d-3s1": Case(plain(scratch.AvgPool2d, 3, 1), (2, 6, 7)),
    "avgpool2d-3s2p1": Case(plain(scratch.AvgPool2d, 3, 2, 1), (2, 7, 8)),
    "avgpool2d-3s2p1-own": Case(plain(scratch.AvgPool2d, 3, 2, 1, count_padding=False), (2, 7, 8)),
    "avgpool2d-4x3s1s2p2p1-own": Case(plain(scratch.AvgPool2d, (4, 3), (1, 2), (2, 1), count_padding=False), (2, 5, 6)),
    "avgpool2d-1s2": Case(plain(scratch.AvgPool2d, 1, 2), (2, 5, 4)),  # pixels in no window
    "globalaveragepool2d": Case(plain(scratch.GlobalAveragePool2d), (3, 7, 5)),
    "globalaveragepool2d-1": Case(plain(scratch.GlobalAveragePool2d), (4, 1, 1)),
    "zeropad2d-1": Case(plain(scratch.ZeroPad2d, 1), (2, 4, 5)),
    "zeropad2d-p2p0": Case(plain(scratch.ZeroPad2d, (2, 0)), (2, 4, 5)),
    "zeropad2d-0123": Case(plain(scratch.ZeroPad2d, (0, 1, 2, 3)), (2, 3, 4)),
    "relu-2d": Case(plain(scratch.ReLU), (7,)),
    "relu-4d": Case(plain(scratch.ReLU), (2, 4, 5)),
    "leakyrelu": Case(plain(scratch.LeakyReLU, 0.1), (2, 4, 5)),
    "sigmoid": Case(plain(scratch.Sigmoid), (2, 4, 5)),
    "tanh": Case(plain(scratch.Tanh), (2, 4, 5)),
    "gelu": Case(plain(scratch.GELU), (2, 4, 5), ("huge-float32-grad_input",)),  # x ** 2
    "gelu-tanh": Case(plain(scratch.GELU, "tanh"), (2, 4, 5), ("huge-float32-output", "huge-float32-grad_input")),  # x ** 3
    "logsoftmax": Case(plain(scratch.LogSoftmax), (CLASSES,)),
    "flatten": Case(plain(scratch.Flatten), (3, 4, 5)),
    "linear": Case(linear(12, 7), (12,)),
    "linear-square": Case(linear(6, 6), (6,)),
    "linear-nobias": Case(linear(5, 9, bias=False), (5,)),
    "linear-one": Case(linear(40, 1), (40,)),
    "softmaxcrossentropy": Case(plain(scratch.SoftmaxCrossEntropy), (CLASSES,)),
    "nllloss": Case(plain(scratch.NLLLoss), (CLASSES,)),
    "mseloss": Case(plain(scratch.MSELoss), (2, 4, 5), ("huge-float32-output", "huge-float32-grad_input")),  # x ** 2
    "softmaxcrossentropy-2": Case(plain(scratch.SoftmaxCrossEntropy), (2,)),
}


@dataclass(frozen=True)
class Run:
    """One row of the table on one input."""

    case: str
    batch: int
    family: str
    dtype: str
    seed: int

    def __str__(self) -> str:
        return f"{self.case}-n{self.batch}-{self.family}-{self.dtype}-seed{self.seed}"


def subject_of(layer: Any) -> SubjectLayer:
    """Return a scratch layer or loss as a function."""
    return AdaptedLayer(Dicts(layer), twin(layer)[1])


@functools.cache
def module_of(case: str) -> nn.Module:
    """Return PyTorch's module for a row."""
    return twin(CASES[case].make(np.random.default_rng(0)))[0]


def call_of(run: Run) -> Call:
    """Return input, weights and cotangent of a run; all of them depend on nothing but the run."""
    case, family = CASES[run.case], FAMILIES[run.family]
    # Three independent streams, so that changing the input's family leaves the weights as they are.
    for_input, for_weights, for_cotangent = np.random.default_rng([run.seed, run.batch, *map(ord, run.case)]).spawn(3)
    module, reference = module_of(run.case), oracle(module_of(run.case))
    x = family.input(for_input, (run.batch, *case.sample), run.dtype)
    params = {name: for_weights.standard_normal(tuple(value.shape)).astype(run.dtype) for name, value in module.named_parameters()}
    constants: dict[str, Any] = {"labels": labels(for_input, run.batch, case.sample[0])} if takes_labels(module) else {}
    if isinstance(module, nn.MSELoss):
        constants["labels"] = family.input(for_input, x.shape, run.dtype)
    shape = reference.vjp(Call(x, params, None, constants))["output"].shape
    return Call(x, params, family.grad_output(for_cotangent, shape, run.dtype), constants)


@functools.cache
def quantities_of(case: str) -> tuple[str, ...]:
    """Return the names of everything that a row computes."""
    params = {name: np.zeros(0) for name, _ in module_of(case).named_parameters()}
    return tuple(quantities(Call(np.zeros(0), params, np.zeros(0))))


@functools.cache
def elements() -> int:
    """Return how many numbers the whole table compares: N, of which each tolerance depends."""
    inputs = len(FAMILIES) * len(DTYPES) * len(SEEDS)
    sizes = [
        sum(value.size for value in oracle(module_of(case)).vjp(call_of(Run(case, batch, "normal", "float64", 0))).values())
        for case in CASES
        for batch in BATCHES
    ]
    return inputs * sum(sizes)


def check(subject: SubjectLayer, run: Run) -> LayerCheck:
    """Judge a layer on a run."""
    arithmetic = Arithmetic(np.dtype(run.dtype), elements())
    return check_layer(subject, oracle(module_of(run.case)), call_of(run), arithmetic, run.case)


@functools.lru_cache(maxsize=4096)
def scratch_check(run: Run) -> LayerCheck:
    """Judge the scratch layer of a row."""
    return check(subject_of(CASES[run.case].make(np.random.default_rng(0))), run)


def divergence(checked: LayerCheck, quantity: str) -> Divergence:
    """Return the judgement on one quantity, diagnosed where it is a mismatch."""
    judgement = next(j for j in checked.judgements if j.place.quantity == quantity)
    failure = checked.failure(judgement) if judgement.verdict == "mismatch" else None
    return Divergence(judgement) if failure is None else examined(failure)
