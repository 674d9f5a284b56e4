"""Which modules have a version in NumPy, and how it is made from the module's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from tests.support.right_ways.modules.losses import share, sides, target
from tests.support.right_ways.task import Results, cotangent
from tests.textbook import attention, curves, distances, recurrent, spatial, standardised


def _gathered(*factors: Callable[[int], Array]) -> Callable[[], Any]:
    return lambda: spatial.Gathered(*factors)


def _beside(kind: Callable[..., Any], *targets: Any, **options: Any) -> Callable[[], Any]:
    return lambda: kind(*(target.numpy() for target in targets), **options)


TARGET, SHARE, SIGNS = target(), share(), sides()

WRITTEN: Mapping[str, Callable[[], Any]] = {
    "CELU": curves.CELU,
    "ELU": curves.ELU,
    "ELU, alpha 1.7": lambda: curves.ELU(1.7),
    "GLU": curves.GLU,
    "Hardshrink": curves.Hardshrink,
    "Hardswish": curves.Hardswish,
    "Hardtanh": curves.Hardtanh,
    "LogSigmoid": curves.LogSigmoid,
    "Mish": curves.Mish,
    "PReLU": curves.PReLU,
    "PReLU, a slope for each channel": lambda: curves.PReLU(4),
    "ReLU6": lambda: curves.Hardtanh(0, 6),
    "SELU": curves.SELU,
    "SiLU": curves.SiLU,
    "Softplus": curves.Softplus,
    "Softplus, beta 3": lambda: curves.Softplus(3, 4),
    "Softshrink": curves.Softshrink,
    "Softsign": curves.Softsign,
    "Tanhshrink": curves.Tanhshrink,
    "GroupNorm": lambda: standardised.GroupNorm(2, 4),
    "InstanceNorm1d, affine": lambda: standardised.InstanceNorm(4, affine=True),
    "InstanceNorm2d": lambda: standardised.InstanceNorm(4),
    "InstanceNorm3d": lambda: standardised.InstanceNorm(2),
    "LayerNorm": lambda: standardised.LayerNorm((16,)),
    "LayerNorm, two axes": lambda: standardised.LayerNorm((3, 6)),
    "RMSNorm, epsilon 1e-5": lambda: standardised.RMSNorm(16, 1e-5),
    "LocalResponseNorm": lambda: standardised.LocalResponseNorm(3),
    "GRU": lambda: recurrent.GRU(4, 3),
    "LSTM": lambda: recurrent.LSTM(4, 3),
    "RNN": lambda: recurrent.RNN(4, 3),
    "MultiheadAttention": lambda: attention.SelfAttention(8, 2),
    "MultiheadAttention, causal": lambda: attention.SelfAttention(8, 2, causal=True),
    "Bilinear": lambda: spatial.Bilinear(4, 3, 5),
    "Conv1d": lambda: spatial.Convolution(4, 3, (3,)),
    "Conv3d": lambda: spatial.Convolution(2, 3, (2, 3, 2)),
    "Conv3d, stride 2": lambda: spatial.Convolution(2, 2, (2, 2, 2), 2, 1),
    "ConvTranspose1d": lambda: spatial.TransposedConvolution(4, 3, (3,), 2),
    "ConvTranspose2d": lambda: spatial.TransposedConvolution(4, 3, (3, 3), 2, 1, 1),
    "ConvTranspose3d": lambda: spatial.TransposedConvolution(2, 2, (2, 2, 2), 2),
    "AvgPool1d": _gathered(lambda size: spatial.means(size, 3, 2, 1)),
    "AvgPool3d": _gathered(lambda size: spatial.means(size, 2, 1)),
    "AdaptiveAvgPool1d": _gathered(lambda size: spatial.adaptive(size, 4)),
    "AdaptiveAvgPool2d": _gathered(lambda size: spatial.adaptive(size, 3), lambda size: spatial.adaptive(size, 4)),
    "LPPool1d": lambda: spatial.PowerPooling(3),
    "Upsample": _gathered(lambda size: spatial.nearest(size, 2)),
    "Upsample, linear": _gathered(lambda size: spatial.linear(size, 13)),
    "Upsample, bilinear": _gathered(lambda size: spatial.linear(size, int(1.5 * size), 1.5)),
    "UpsamplingBilinear2d": _gathered(lambda size: spatial.linear(size, 2 * size, corners=True)),
    "PixelShuffle": lambda: spatial.PixelShuffle(2),
    "CosineSimilarity": distances.CosineSimilarity,
    "PairwiseDistance": distances.PairwiseDistance,
    "L1Loss": _beside(distances.AbsoluteDifference, TARGET),
    "MSELoss": _beside(distances.SquaredDifference, TARGET),
    "SmoothL1Loss": _beside(distances.SmoothL1, TARGET, beta=0.5),
    "HuberLoss": _beside(distances.Huber, TARGET, beta=0.75),
    "KLDivLoss": _beside(distances.KullbackLeibler, SHARE),
    "PoissonNLLLoss, of logarithms": _beside(distances.Poisson, TARGET.abs()),
    "GaussianNLLLoss": _beside(distances.Gaussian, TARGET, 0.5 + SHARE),
    "BCEWithLogitsLoss": _beside(distances.BinaryCrossEntropy, SHARE),
    "SoftMarginLoss": _beside(distances.SoftMargin, SIGNS),
    "HingeEmbeddingLoss": _beside(distances.Hinge, SIGNS),
}
"""What makes the version of a row, by the row's name."""

_OF_ONE_SIZE = ("LayerNorm", "RMSNorm", "GRU", "LSTM", "RNN", "Multi", "Bilinear", "AvgPool", "AdaptiveAvg", "Upsampl")
"""How the names of rows begin whose version is for the table's own shape."""

OF_ANY_SIZE = frozenset(name for name in WRITTEN if not name.startswith(_OF_ONE_SIZE) and not name.partition(",")[0].endswith("Loss"))
"""Rows whose version takes as many places as there are."""


def computed(make: Callable[[], Any], call: Call) -> Results:
    """Compute a call with a version, as a pure function."""
    layer = make()
    names = {name.removeprefix("own."): name for name in call.params}
    if names:
        layer.params.update({own: call.params[name].copy() for own, name in names.items()})
    output, grad_input = layer.forward(call.x), layer.backward(cotangent(call))
    return {
        "output": np.asarray(output),
        "grad_input": np.asarray(grad_input),
        **{f"{name}.grad": layer.grads[own] for own, name in names.items()},
    }
