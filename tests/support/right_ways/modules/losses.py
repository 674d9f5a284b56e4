"""The losses of the table, as functions of their first input: labels and targets are fixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from tests.support.right_ways.modules.alone import Alone, beside, between, numbers, repeated, signs, whole
from tests.support.right_ways.modules.row import Row

SAMPLES, COLUMNS = 5, 7


def target(columns: int = COLUMNS) -> torch.Tensor:
    return numbers(SAMPLES, columns)


def share(columns: int = COLUMNS) -> torch.Tensor:
    return target(columns).sigmoid()


def sides(columns: int = COLUMNS) -> torch.Tensor:
    return signs(SAMPLES, columns)


def _several(columns: int) -> torch.Tensor:
    """Return for each sample the classes that it belongs to, -1 behind the last."""
    labels = torch.full((SAMPLES, columns), -1)
    labels[:, :3] = torch.tensor([[3, 0, -1], [1, -1, 0], [2, 5, 1], [6, -1, 4], [0, 4, 6]])
    return labels


def _ctc(own: Any, x: torch.Tensor) -> torch.Tensor:
    """Return the loss of ``(batch, time, classes)`` logits for three labels a sample."""
    samples, time, classes = x.shape
    labels = repeated(1 + whole(classes - 1, 4, 3), x)
    lengths = torch.full((samples,), time), torch.full((samples,), labels.shape[1])
    return own(x.log_softmax(-1).transpose(0, 1), labels, *lengths)


def losses(columns: int = COLUMNS) -> Sequence[Row]:
    shape, y, p, s = (SAMPLES, columns), target(columns), share(columns), sides(columns)

    def loss(name: str, *targets: torch.Tensor, how: str = "", **options: Any) -> Row:
        return Row(name, lambda: beside(getattr(nn, name)(**options), *targets), shape, how)

    def two(name: str, vectors: int, *others: torch.Tensor, **options: Any) -> Row:
        return Row(name, lambda: between(getattr(nn, name)(**options), *others), (SAMPLES, vectors, columns - 1 if columns == COLUMNS else columns))

    def probabilities(own: Any, x: torch.Tensor) -> torch.Tensor:
        # Between a quarter and three quarters: the logarithm is cut off where they are 0 or 1.
        return own(0.25 + torch.sigmoid(x) / 2, repeated(p, x))

    def adaptive() -> nn.Module:
        return Alone(nn.AdaptiveLogSoftmaxWithLoss(columns, 10, [4, 7], 2.0), lambda own, x: own(x, repeated(whole(10, 6), x)).loss)

    return [
        loss("L1Loss", y),
        loss("MSELoss", y),
        loss("SmoothL1Loss", y, beta=0.5),
        loss("HuberLoss", y, delta=0.75),
        loss("KLDivLoss", p, reduction="batchmean"),
        loss("PoissonNLLLoss", y.abs(), how="of logarithms"),
        loss("GaussianNLLLoss", y, 0.5 + p),
        loss("BCEWithLogitsLoss", p),
        Row("BCELoss", lambda: Alone(nn.BCELoss(), probabilities), shape),
        loss("SoftMarginLoss", s),
        loss("HingeEmbeddingLoss", s),
        loss("MultiLabelSoftMarginLoss", whole(2, *shape).float()),
        loss("MultiLabelMarginLoss", _several(columns)),
        two("CosineEmbeddingLoss", 2, signs(SAMPLES), margin=0.1),
        two("MarginRankingLoss", 2, signs(SAMPLES, columns - 1 if columns == COLUMNS else columns), margin=0.5),
        two("TripletMarginLoss", 3),
        two("TripletMarginWithDistanceLoss", 3, distance_function=nn.CosineSimilarity(1)),
        Row("CTCLoss", lambda: Alone(nn.CTCLoss(), _ctc), (4, 8, 6) if columns == COLUMNS else (2, 28, 28)),
        Row("CrossEntropyLoss", nn.CrossEntropyLoss, shape, labels=True),
        Row("CrossEntropyLoss", lambda: beside(nn.CrossEntropyLoss(label_smoothing=0.1), whole(columns, SAMPLES)), shape, "smoothed"),
        Row("CrossEntropyLoss", lambda: beside(nn.CrossEntropyLoss(), whole(4, 3, 5)), (3, 4, 5), "of sequences"),
        Row("NLLLoss", nn.NLLLoss, shape, labels=True),
        Row("MultiMarginLoss", nn.MultiMarginLoss, shape, labels=True),
        Row("LinearCrossEntropyLoss", lambda: beside(nn.LinearCrossEntropyLoss(columns, 4), whole(4, SAMPLES)), shape),
        Row("AdaptiveLogSoftmaxWithLoss", adaptive, (6, columns)),
    ]
