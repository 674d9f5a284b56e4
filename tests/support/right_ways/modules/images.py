"""The table's modules on whole digits: images, images in strips, and images read as sequences of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from tests.support.right_ways.images import PIXELS, SIDE, image_shape
from tests.support.right_ways.modules.alone import Alone, between, everything
from tests.support.right_ways.modules.losses import losses
from tests.support.right_ways.modules.row import Row
from tests.support.right_ways.modules.table import ROWS, attention

READ = (2, SIDE, SIDE)
"""Images as sequences of their rows."""

_TRANSFORMER: dict[str, Any] = {"dropout": 0.0, "batch_first": True}


def _recurrent(kind: str) -> Row:
    return Row(kind, lambda: Alone(getattr(nn, kind)(SIDE, 5, batch_first=True), lambda own, x: everything(own(x))), READ)


_READING: Mapping[str, Row] = {
    row.name: row
    for row in (
        *map(_recurrent, ("GRU", "LSTM", "RNN")),
        Row("RNN", lambda: Alone(nn.RNN(SIDE, 5, nonlinearity="relu", batch_first=True), lambda own, x: own(x)[0]), READ, "relu"),
        Row(
            "LSTM", lambda: Alone(nn.LSTM(SIDE, 4, 2, batch_first=True, bidirectional=True), lambda own, x: own(x)[0]), READ, "two layers, both ways"
        ),
        attention(SIDE, 4, READ),
        attention(SIDE, 4, READ, causal=True),
        Row("TransformerEncoderLayer", lambda: nn.TransformerEncoderLayer(SIDE, 4, 20, **_TRANSFORMER), READ),
        Row("TransformerDecoderLayer", lambda: between(nn.TransformerDecoderLayer(SIDE, 4, 20, **_TRANSFORMER)), (1, 2, SIDE, SIDE)),
        Row("Transformer", lambda: between(nn.Transformer(SIDE, 4, 1, 1, 20, **_TRANSFORMER)), (1, 2, SIDE, SIDE)),
        Row("LayerNorm", lambda: nn.LayerNorm(SIDE), READ),
        Row("LayerNorm", lambda: nn.LayerNorm((SIDE, SIDE)), READ, "two axes"),
        Row("RMSNorm", lambda: nn.RMSNorm(SIDE, 1e-5), READ, "epsilon 1e-5"),
        Row("Unflatten", lambda: nn.Unflatten(1, (SIDE, SIDE)), (3, PIXELS)),
        Row("Linear", lambda: nn.Linear(PIXELS, 10), (4, PIXELS)),
        Row("PairwiseDistance", lambda: between(nn.PairwiseDistance()), (3, 2, PIXELS)),
        Row("CosineSimilarity", lambda: between(nn.CosineSimilarity(dim=1)), (3, 2, PIXELS)),
        *losses(PIXELS),
    )
}

_LEFT_OUT = frozenset({"TransformerEncoder", "TransformerDecoder", "RMSNorm", "CrossEntropyLoss, of sequences", "MultiLabelMarginLoss"})
"""Rows without one of images: others show the same in less time, they take seconds, or their shape says nothing of images."""

_SEQUENCES = ("TransformerEncoderLayer", "Linear, three axes", "Softmax, last of three axes")
"""Rows of three axes, the last of which is no place."""


_SHAPES = {"Fold": (1, 12, 12), "PixelShuffle": (1, 8, SIDE, SIDE)}
"""Shapes of rows whose axes depend on each other."""


def _rows() -> Iterator[Row]:
    for name, row in ROWS.items():
        if name in _LEFT_OUT:
            continue
        if name in _READING:
            yield _READING[name]
        elif not row.fixed_batch:
            free = len(row.shape) == 2 and not list(row.make().parameters())
            places = name not in _SEQUENCES and not name.startswith(_SEQUENCES[0])
            yield replace(row, shape=(3, PIXELS) if free else _SHAPES.get(name) or image_shape(row.shape, places))


IMAGE_ROWS: Mapping[str, Row] = {row.name: row for row in _rows()}
"""By the names of the table."""
