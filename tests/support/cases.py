"""The table of layers under test: a row is a layer and the shape of one sample.

Every row is judged beside every reference, on all input families, batch sizes, precisions and seeds, with plain and, where there are any, with fast
kernels. A new layer is a new row.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

import scratch
from crosscheck.core.inputs import FAMILIES, Family, labels
from crosscheck.core.judge import Verdict
from scratch.layer import Array
from scratch.networks import Kernels, package
from tests.support.findings import Declared

CLASSES = 10

Constants = dict[str, npt.NDArray[Any]]


def nothing(rng: np.random.Generator, family: Family, x: Array) -> Constants:
    """Return no constants."""
    return {}


def classes(rng: np.random.Generator, family: Family, x: Array) -> Constants:
    """Return the labels of ``(batch, classes)`` scores."""
    return {"labels": labels(rng, *x.shape)}


def targets(rng: np.random.Generator, family: Family, x: Array) -> Constants:
    """Return the targets of a loss, one number for each of the input's."""
    return {"labels": family.input(rng, x.shape, x.dtype)}


def kept(p: float) -> Callable[[np.random.Generator, Family, Array], Constants]:
    """Return a function that draws the mask of a dropout, which both sides use."""
    return lambda rng, family, x: {"mask": rng.random(x.shape) >= p}


class Make(Protocol):
    """A function that makes a layer."""

    def __call__(self, rng: np.random.Generator, kernels: Kernels = "plain") -> Any:
        """Return a layer with these kernels, its weights drawn from a generator."""


@dataclass(frozen=True)
class Case:
    """A layer and the shape of one sample; the test sets the layer's weights.

    Attributes
    ----------
    sample : tuple of int
        Shape of the input without the batch axis.
    constants : callable
        Draws the layer's other arguments: labels or a mask.
    declared : tuple of Declared
        Where the verdict is not ``match``, and why.
    batches : tuple of int
        The batch sizes.
    """

    make: Make
    sample: tuple[int, ...]
    constants: Callable[[np.random.Generator, Family, Array], Constants] = nothing
    declared: tuple[Declared, ...] = ()
    batches: tuple[int, ...] = (1, 3)

    @property
    def kernels(self) -> tuple[Kernels, ...]:
        """The kernels that the layer has."""
        plain, fast = (type(self.make(np.random.default_rng(0), kernels)) for kernels in ("plain", "fast"))
        return ("plain",) if plain is fast else ("plain", "fast")


def of(kind: type, *sizes: Any, training: bool = True, **options: Any) -> Make:
    """Return what makes a layer, plain or fast, in training or evaluation mode; it gets the generator if it draws random numbers."""

    def make(rng: np.random.Generator, kernels: Kernels = "plain") -> Any:
        version: Any = getattr(package(kernels), kind.__name__, kind)
        layer = version(*sizes, **options, **({"rng": rng} if "rng" in inspect.signature(kind).parameters else {}))
        if not training:
            layer.training = False
        return layer

    return make


conv, linear, dropout, pool, average = (
    partial(of, kind) for kind in (scratch.Conv2d, scratch.Linear, scratch.Dropout, scratch.MaxPool2d, scratch.AvgPool2d)
)


def unlimited(*places: str) -> tuple[Declared, ...]:
    """Declare that intermediate numbers of some quantities exceed the range."""
    return tuple(Declared(place, Verdict.UNDECIDED, "intermediate numbers may exceed the range of the precision") for place in places)


def biased(name: str, convention: str) -> tuple[Declared, ...]:
    """Declare that a reference has another convention for the running variance."""
    reason = f"{convention}: a declared convention, no fault of either side"
    places = [f"{name}-{family}-{dtype}-running_var" for family in FAMILIES for dtype in ("float64", "float32")]
    return tuple(Declared(place, Verdict.MISMATCH, reason) for place in places)


HUGE = unlimited("*-huge-float32-grad_input")
TINY = Declared("keras-tiny-float32-running_var", Verdict.UNDECIDED, "XLA replaces subnormal numbers by zero: the reference has lost its digits")
UNBIASED = (*HUGE, TINY, *biased("keras", "Keras keeps the biased running variance"))
BIASED = (*HUGE, *biased("torch", "PyTorch keeps the unbiased running variance"))


def ties(rule: str) -> tuple[Declared, ...]:
    """Declare that a pool with this tie rule differs from the references where there are ties, and nowhere else."""
    reason = f"tie rule {rule!r}: every reference gives the gradient to the first winner"
    return tuple(Declared(f"*-{family}-*-grad_input", Verdict.MISMATCH, reason) for family in ("digits", "ties", "kinks"))


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
    "maxpool2d-2": Case(pool(2), (3, 8, 6)),
    "maxpool2d-2-odd": Case(pool(2), (2, 7, 5)),  # the last row and column fill no window
    "maxpool2d-3s1": Case(pool(3, 1), (2, 6, 7)),  # windows overlap
    "maxpool2d-3s2p1": Case(pool(3, 2, 1), (2, 7, 8)),
    "maxpool2d-2x3s3s2": Case(pool((2, 3), (3, 2)), (2, 9, 8)),
    "maxpool2d-1": Case(pool(1), (2, 3, 4)),
    "maxpool2d-2-last": Case(pool(2, ties="last"), (3, 8, 6), declared=ties("last")),
    "maxpool2d-2-all": Case(pool(2, ties="all"), (3, 8, 6), declared=ties("all")),
    "maxpool2d-2-split": Case(pool(2, ties="split"), (3, 8, 6), declared=ties("split")),
    "avgpool2d-2": Case(average(2), (3, 8, 6)),
    "avgpool2d-2-odd": Case(average(2), (2, 7, 5)),
    "avgpool2d-3s1": Case(average(3, 1), (2, 6, 7)),
    "avgpool2d-3s2p1": Case(average(3, 2, 1), (2, 7, 8)),
    "avgpool2d-3s2p1-own": Case(average(3, 2, 1, count_padding=False), (2, 7, 8)),
    "avgpool2d-4x3s1s2p2p1-own": Case(average((4, 3), (1, 2), (2, 1), count_padding=False), (2, 5, 6)),
    "avgpool2d-1s2": Case(average(1, 2), (2, 5, 4)),  # pixels in no window
    "globalaveragepool2d": Case(of(scratch.GlobalAveragePool2d), (3, 7, 5)),
    "globalaveragepool2d-1": Case(of(scratch.GlobalAveragePool2d), (4, 1, 1)),
    "zeropad2d-1": Case(of(scratch.ZeroPad2d, 1), (2, 4, 5)),
    "zeropad2d-p2p0": Case(of(scratch.ZeroPad2d, (2, 0)), (2, 4, 5)),
    "zeropad2d-0123": Case(of(scratch.ZeroPad2d, (0, 1, 2, 3)), (2, 3, 4)),
    "relu-2d": Case(of(scratch.ReLU), (7,)),
    "relu-4d": Case(of(scratch.ReLU), (2, 4, 5)),
    "leakyrelu": Case(of(scratch.LeakyReLU, 0.1), (2, 4, 5)),
    "sigmoid": Case(of(scratch.Sigmoid), (2, 4, 5)),
    "tanh": Case(of(scratch.Tanh), (2, 4, 5)),
    "gelu": Case(of(scratch.GELU), (2, 4, 5)),
    "gelu-tanh": Case(of(scratch.GELU, "tanh"), (2, 4, 5)),
    "logsoftmax": Case(of(scratch.LogSoftmax), (CLASSES,)),
    "batchnorm1d": Case(of(scratch.BatchNorm1d, 4), (4,), declared=UNBIASED, batches=(3, 8)),
    "batchnorm1d-biased": Case(of(scratch.BatchNorm1d, 4, running_variance="biased"), (4,), declared=BIASED, batches=(3, 8)),
    "batchnorm1d-evaluation": Case(of(scratch.BatchNorm1d, 4, training=False), (4,)),
    "batchnorm2d": Case(of(scratch.BatchNorm2d, 3), (3, 4, 5), declared=UNBIASED),
    "batchnorm2d-biased": Case(of(scratch.BatchNorm2d, 3, running_variance="biased"), (3, 4, 5), declared=BIASED),
    "batchnorm2d-m0.3e0.01": Case(of(scratch.BatchNorm2d, 3, momentum=0.3, eps=0.01), (3, 4, 5), declared=UNBIASED),
    "batchnorm2d-noaffine": Case(of(scratch.BatchNorm2d, 2, affine=False), (2, 3, 4), declared=UNBIASED),
    "batchnorm2d-evaluation": Case(of(scratch.BatchNorm2d, 3, training=False), (3, 4, 5)),
    "batchnorm2d-noaffine-evaluation": Case(of(scratch.BatchNorm2d, 3, eps=0.01, affine=False, training=False), (3, 4, 5)),
    "dropout-0.5": Case(dropout(0.5), (2, 4, 5), kept(0.5)),
    "dropout-0.2": Case(dropout(0.2), (7,), kept(0.2)),
    "dropout-evaluation": Case(dropout(0.5, training=False), (2, 4, 5)),
    "flatten": Case(of(scratch.Flatten), (3, 4, 5)),
    "linear": Case(linear(12, 7), (12,)),
    "linear-square": Case(linear(6, 6), (6,)),
    "linear-nobias": Case(linear(5, 9, bias=False), (5,)),
    "linear-one": Case(linear(40, 1), (40,)),
    "softmaxcrossentropy": Case(of(scratch.SoftmaxCrossEntropy), (CLASSES,), classes),
    "nllloss": Case(of(scratch.NLLLoss), (CLASSES,), classes),
    "mseloss": Case(of(scratch.MSELoss), (2, 4, 5), targets),
    "softmaxcrossentropy-2": Case(of(scratch.SoftmaxCrossEntropy), (2,), classes),
}

ELSEWHERE = {
    "Sequential": "made of layers: judged layer by layer in lock-step, tests/reference/test_pytorch_lockstep.py",
    "Residual": "made of layers: they and the sums between them are judged in lock-step, tests/reference/test_pytorch_lockstep.py",
}
"""Layers that have no row, and where they are judged."""
