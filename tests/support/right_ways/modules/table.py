"""The table: each differentiable module of ``torch.nn`` with the input that it is shown, and why some are not there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import nn

from crosscheck.core.operation import Shape
from tests.support.right_ways.modules.alone import Alone, between, everything, numbers
from tests.support.right_ways.modules.losses import losses
from tests.support.right_ways.modules.row import Row


def _plain(name: str, shape: Shape, *arguments: Any, how: str = "", **options: Any) -> Row:
    return Row(name, lambda: getattr(nn, name)(*arguments, **options), shape, how)


def _evaluating(name: str, shape: Shape, *arguments: Any) -> Row:
    return Row(name, lambda: getattr(nn, name)(*arguments).eval(), shape, "evaluation")


LINE, PLANE, SPACE = (3, 4, 9), (2, 4, 7, 6), (2, 2, 5, 4, 6)
ROWS_OF_NUMBERS = (4, 9)
SEQUENCE = (3, 5, 8)

_CURVES = (
    "CELU ELU GELU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid Mish PReLU ReLU ReLU6 SELU SiLU Sigmoid Softplus Softshrink "
    "Softsign Tanh Tanhshrink"
)
_ACTIVATIONS = [
    *(_plain(name, ROWS_OF_NUMBERS) for name in _CURVES.split()),
    _plain("CELU", ROWS_OF_NUMBERS, 0.7, how="alpha 0.7"),
    _plain("ELU", ROWS_OF_NUMBERS, 1.7, how="alpha 1.7"),
    _plain("GELU", ROWS_OF_NUMBERS, "tanh", how="tanh"),
    _plain("GLU", (4, 10)),
    _plain("PReLU", PLANE, 4, how="a slope for each channel"),
    _plain("Softplus", ROWS_OF_NUMBERS, 3.0, 4.0, how="beta 3"),
    _plain("Threshold", ROWS_OF_NUMBERS, 0.25, -1.5),
    _evaluating("RReLU", ROWS_OF_NUMBERS),
    _plain("Softmax", ROWS_OF_NUMBERS, 1),
    _plain("Softmax", SEQUENCE, 2, how="last of three axes"),
    _plain("Softmax2d", PLANE),
    _plain("Softmin", ROWS_OF_NUMBERS, 1),
    _plain("LogSoftmax", ROWS_OF_NUMBERS, 1),
]

_CONVOLUTIONS = [
    _plain("Conv1d", LINE, 4, 3, 3),
    _plain("Conv1d", LINE, 4, 6, 2, how="stride 2, dilation 2, groups", stride=2, dilation=2, groups=2, padding=1),
    _plain("Conv2d", PLANE, 4, 3, (3, 2)),
    _plain("Conv2d", PLANE, 4, 4, 3, how="depthwise, reflecting", groups=4, padding=1, padding_mode="reflect"),
    _plain("Conv3d", SPACE, 2, 3, (2, 3, 2)),
    _plain("Conv3d", SPACE, 2, 2, 2, how="stride 2", stride=2, padding=1),
    _plain("ConvTranspose1d", LINE, 4, 3, 3, 2),
    _plain("ConvTranspose2d", (2, 4, 3, 4), 4, 3, 3, 2, 1, 1),
    _plain("ConvTranspose2d", (2, 4, 3, 4), 4, 2, 2, how="groups, dilation 2", groups=2, dilation=2, bias=False),
    _plain("ConvTranspose3d", (2, 2, 3, 2, 3), 2, 2, 2, 2),
    _plain("Unfold", PLANE, (3, 2), padding=1, stride=2),
    _plain("Fold", (2, 12, 12), (5, 5), (3, 2)),
]

_FRACTION: dict[str, Any] = {"kernel_size": 2, "output_ratio": 0.6}
_POOLING = [
    _plain("MaxPool1d", LINE, 3, 2),
    _plain("MaxPool2d", PLANE, 3, 1, how="overlapping"),
    _plain("MaxPool2d", PLANE, 2, how="padding, dilation", padding=1, dilation=2),
    _plain("MaxPool3d", SPACE, 2),
    _plain("AvgPool1d", LINE, 3, 2, 1),
    _plain("AvgPool2d", PLANE, 3, 2, 1, how="padding not counted", count_include_pad=False),
    _plain("AvgPool2d", PLANE, 2),
    _plain("AvgPool3d", SPACE, 2, 1),
    *(_plain(f"Adaptive{kind}Pool1d", LINE, 4) for kind in ("Avg", "Max")),
    *(_plain(f"Adaptive{kind}Pool2d", PLANE, (3, 4)) for kind in ("Avg", "Max")),
    *(_plain(f"Adaptive{kind}Pool3d", SPACE, (2, 3, 2)) for kind in ("Avg", "Max")),
    _plain("LPPool1d", LINE, 2, 3),
    _plain("LPPool2d", PLANE, 2, (3, 2)),
    _plain("LPPool3d", SPACE, 2, 2),
    Row("FractionalMaxPool2d", lambda: nn.FractionalMaxPool2d(_random_samples=numbers(2, 4, 2).sigmoid(), **_FRACTION), PLANE, fixed_batch=True),
    Row("FractionalMaxPool3d", lambda: nn.FractionalMaxPool3d(_random_samples=numbers(2, 2, 3).sigmoid(), **_FRACTION), SPACE, fixed_batch=True),
    *(
        Row(f"MaxUnpool{axes}d", lambda axes=axes: Alone(getattr(nn, f"MaxUnpool{axes}d")(2), _pooled(axes)), shape)  # type: ignore[misc]
        for axes, shape in ((1, (3, 4, 8)), (2, (2, 3, 6, 4)), (3, (2, 2, 4, 4, 2)))
    ),
]


def _pooled(axes: int) -> Callable[[Any, torch.Tensor], torch.Tensor]:
    """Return what puts the maxima of an input back where they were."""
    pool = getattr(nn, f"MaxPool{axes}d")(2, return_indices=True)
    return lambda own, x: own(*pool(x))


_PADDING = [
    *(
        _plain(f"{kind}Pad{axes}d", shape, padding, *([0.25] if kind == "Constant" else []))
        for axes, shape, padding in ((1, LINE, (2, 1)), (2, PLANE, (2, 1, 1, 3)), (3, SPACE, (2, 1, 1, 2, 1, 0)))
        for kind in ("Circular", "Constant", "Reflection", "Replication", "Zero")
    ),
]

_NORMALISATION = [
    _plain("BatchNorm1d", (9, 4), 4),
    _plain("BatchNorm2d", (3, 4, 3, 4), 4),
    _plain("BatchNorm2d", (3, 4, 3, 4), 4, how="without statistics", track_running_stats=False),
    _plain("BatchNorm3d", (3, 2, 2, 3, 2), 2),
    _evaluating("SyncBatchNorm", (3, 4, 3, 2), 4),
    _plain("GroupNorm", PLANE, 2, 4),
    _plain("InstanceNorm1d", LINE, 4, how="affine", affine=True),
    _plain("InstanceNorm2d", PLANE, 4),
    _plain("InstanceNorm3d", SPACE, 2),
    _plain("LayerNorm", (4, 3, 16), 16),
    _plain("LayerNorm", (4, 3, 6), (3, 6), how="two axes"),
    _plain("RMSNorm", (4, 3, 16), 16, how="epsilon 1e-5", eps=1e-5),
    _plain("RMSNorm", (4, 3, 16), 16),
    _plain("LocalResponseNorm", PLANE, 3),
    _plain("CrossMapLRN2d", PLANE, 3),
]

_RECURRENT = [
    *(
        Row(kind, lambda kind=kind: Alone(getattr(nn, kind)(4, 3, batch_first=True), lambda own, x: everything(own(x))), (3, 5, 4))  # type: ignore[misc]
        for kind in ("GRU", "LSTM", "RNN")
    ),
    Row("RNN", lambda: Alone(nn.RNN(4, 3, nonlinearity="relu"), lambda own, x: own(x.transpose(0, 1))[0].transpose(0, 1)), (3, 4, 4), "relu"),
    Row("LSTM", lambda: Alone(nn.LSTM(4, 3, 2, batch_first=True, bidirectional=True), lambda own, x: own(x)[0]), (2, 4, 4), "two layers, both ways"),
    Row("GRUCell", lambda: Alone(nn.GRUCell(4, 3), lambda own, x: own(x[:, :4], x[:, 4:])), (4, 7)),
    Row("LSTMCell", lambda: Alone(nn.LSTMCell(4, 3), lambda own, x: torch.cat(own(x[:, :4], (x[:, 4:7], x[:, 7:])), 1)), (4, 10)),
    Row("RNNCell", lambda: Alone(nn.RNNCell(4, 3), lambda own, x: own(x[:, :4], x[:, 4:])), (4, 7)),
]

_TRANSFORMER: dict[str, Any] = {"dropout": 0.0, "batch_first": True}


def _encoder(**options: Any) -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, 12, **_TRANSFORMER, **options)


def attention(size: int, heads: int, shape: Shape, causal: bool = False) -> Row:
    """Return self-attention of sequences, where ``causal`` hides what comes later."""
    mask = torch.ones(shape[1], shape[1], dtype=torch.bool).triu(1) if causal else None

    def make() -> Alone:
        own = nn.MultiheadAttention(size, heads, batch_first=True)
        return Alone(own, lambda own, x: own(x, x, x, attn_mask=mask, need_weights=False)[0])

    return Row("MultiheadAttention", make, shape, "causal" if causal else "")


_TRANSFORMERS = [
    attention(8, 2, SEQUENCE),
    attention(8, 2, SEQUENCE, causal=True),
    Row("TransformerEncoderLayer", _encoder, SEQUENCE),
    Row("TransformerEncoderLayer", lambda: _encoder(norm_first=True, activation="gelu"), SEQUENCE, "norm first, gelu"),
    Row("TransformerDecoderLayer", lambda: between(nn.TransformerDecoderLayer(8, 2, 12, **_TRANSFORMER)), (2, 2, 4, 8)),
    Row("TransformerEncoder", lambda: nn.TransformerEncoder(_encoder(), 2, enable_nested_tensor=False), (2, 4, 8)),
    Row("TransformerDecoder", lambda: between(nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 12, **_TRANSFORMER), 2)), (2, 2, 3, 8)),
    Row("Transformer", lambda: between(nn.Transformer(8, 2, 1, 1, 12, **_TRANSFORMER)), (2, 2, 3, 8)),
]


_LINEAR = [
    _plain("Linear", (4, 12), 12, 5),
    _plain("Linear", (3, 5, 8), 8, 4, how="three axes", bias=False),
    Row("Bilinear", lambda: Alone(nn.Bilinear(4, 3, 5), lambda own, x: own(x[:, :4], x[:, 4:])), (4, 7)),
    _plain("Identity", PLANE),
    _plain("Flatten", PLANE),
    _plain("Unflatten", (4, 12), 1, (3, 4)),
    _plain("ChannelShuffle", PLANE, 2),
    _plain("PixelShuffle", (2, 8, 3, 4), 2),
    _plain("PixelUnshuffle", (2, 2, 4, 6), 2),
    _plain("Upsample", PLANE, scale_factor=2),
    _plain("Upsample", LINE, size=13, how="linear", mode="linear"),
    _plain("Upsample", PLANE, how="bilinear", scale_factor=1.5, mode="bilinear"),
    _plain("Upsample", PLANE, how="bicubic, corners", scale_factor=2, mode="bicubic", align_corners=True),
    _plain("Upsample", SPACE, how="trilinear", scale_factor=2, mode="trilinear"),
    _plain("UpsamplingBilinear2d", PLANE, scale_factor=2),
    _plain("UpsamplingNearest2d", PLANE, scale_factor=2),
    Row("CosineSimilarity", lambda: between(nn.CosineSimilarity(dim=1)), (4, 2, 6)),
    Row("PairwiseDistance", lambda: between(nn.PairwiseDistance()), (4, 2, 6)),
    *(_evaluating(name, PLANE) for name in ("AlphaDropout", "Dropout", "Dropout2d", "FeatureAlphaDropout")),
    _evaluating("Dropout1d", LINE),
    _evaluating("Dropout3d", SPACE),
]

ROWS: Mapping[str, Row] = {
    row.name: row for row in chain(_ACTIVATIONS, _CONVOLUTIONS, _POOLING, _PADDING, _NORMALISATION, _RECURRENT, _TRANSFORMERS, _LINEAR, losses())
}
"""By name."""

_NO_LAYER = "holds or is the base of other modules and computes nothing itself"
_WHOLE_INPUT = "its input is whole numbers, which a pair of one floating-point input does not have"
LEFT_OUT: Mapping[str, str] = {
    **dict.fromkeys(
        ["Container", "Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "RNNBase", "RNNCellBase", "Sequential", "DataParallel"],
        _NO_LAYER,
    ),
    **dict.fromkeys(["Embedding", "EmbeddingBag"], _WHOLE_INPUT),
    "NLLLoss2d": "the old name of NLLLoss, which warns and does nothing else",
    **{
        name: "becomes the module without Lazy in its name once it has seen an input"
        for name in dir(nn)
        if name.startswith("Lazy") and hasattr(getattr(nn, name), "cls_to_become")
    },
}
"""Modules without a row, each with the reason."""

IN_EVALUATION: Mapping[str, str] = {
    **dict.fromkeys(
        ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout", "RReLU"],
        "draws random numbers in training; the mask of a plain Dropout is judged in tests of their own",
    ),
    "SyncBatchNorm": "trains on GPUs alone",
}
"""Modules that have a row in evaluation alone, each with the reason."""

REFUSED: Mapping[str, str] = {"MultiLabelMarginLoss": "no limit to its error"}
"""Rows that are not fully judged, each with the harness's reason: PyTorch decomposes this loss into a function in which the targets end later."""
