"""One hundred functions of the trade in plain NumPy, each declared beside PyTorch in at most three lines, and the mistakes that people make in them.

There is a module for each kind of function; a row of its table is a pair, which has to match, and a fault, which has to be seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tests.support.functions import (
    activations,
    attention,
    convolution_rows,
    losses,
    matrices,
    matrices_structured,
    normalizations,
    pooling,
    reductions,
    scans,
)
from tests.support.functions.row import Row

TOPICS = (
    matrices,
    matrices_structured,
    activations,
    normalizations,
    pooling,
    reductions,
    convolution_rows,
    scans,
    losses,
    attention,
)

ROWS: Mapping[str, Row] = {name: replace(row, pair=replace(row.pair, name=name)) for topic in TOPICS for name, row in topic.ROWS.items()}
"""All rows; their pairs are called as they are."""
