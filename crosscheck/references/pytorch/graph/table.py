"""All rules by the names of PyTorch's operations: one module for each kind of operation."""

from __future__ import annotations

from collections.abc import Mapping

from crosscheck.references.pytorch.graph import (
    activations,
    arithmetic,
    attention,
    indexing,
    losses,
    normalisations,
    places,
    products,
    recurrent,
    reductions,
    windows,
)
from crosscheck.references.pytorch.graph.steps import Rule

RULES: Mapping[str, Rule] = {
    name: rule
    for module in (arithmetic, reductions, places, indexing, products, windows, activations, normalisations, losses, attention, recurrent)
    for name, rule in module.RULES.items()
}
"""The rules by the names of PyTorch's operations, or by name and overload, such as ``"max.dim"``."""
