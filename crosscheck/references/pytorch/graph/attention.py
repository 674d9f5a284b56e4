"""Attention: scores, a mask, a softmax, and the mean of the values with these weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from crosscheck.oracles.graph import units
from crosscheck.oracles.graph.graph import At
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.pytorch.graph.steps import Rule, Steps


def attention(
    t: Steps,
    query: At,
    key: At,
    value: At,
    attn_mask: At | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> At:
    """Add softmax(query @ key.T / sqrt(size)) @ value."""
    if dropout_p:
        raise NoGraphError("attention draws a mask of a dropout")
    if enable_gqa and t.shape(query)[-3] != t.shape(key)[-3]:
        key, value = (_repeated(t, one, t.shape(query)[-3]) for one in (key, value))
    product = t.add("matmul", query, t.swapped(key))
    if scale is None:
        scores = t.add("divide", product, math.sqrt(t.shape(query)[-1]), role="scores")
    else:
        scores = t.add("multiply", product, float(scale), role="scores")
    if is_causal:
        before = np.tril(np.ones(t.shape(scores)[-2:], np.bool_))
        scores = t.add("where", t.constant(before), scores, -math.inf, role="masked scores")
    if attn_mask is not None and t.graph.values[attn_mask].dtype.kind == "b":
        scores = t.add("where", attn_mask, scores, -math.inf, role="masked scores")
    elif attn_mask is not None:
        scores = t.add("add", scores, attn_mask, role="masked scores")
    return t.add("matmul", t.role(_safe_softmax(t, scores, -1), "attention weights"), value)


def _safe_softmax(t: Steps, scores: At, dim: int, dtype: Any = None) -> At:
    """Add a softmax that is 0 in rows that are -inf throughout, as of a query that may look nowhere."""
    axis = dim % len(t.shape(scores))
    if not np.isneginf(t.graph.values[scores]).all(axis).any():
        return units.softmax(t.graph, scores, axis)
    nowhere = t.add("equal", t.add("amax", scores, axes=(axis,), keepdims=True), -math.inf)
    weights = units.softmax(t.graph, t.add("where", nowhere, 0.0, scores), axis)
    return t.add("where", nowhere, 0.0, weights)


def _repeated(t: Steps, x: At, heads: int) -> At:
    *lead, own, length, size = t.shape(x)
    wide = t.expand(t.reshape(x, (*lead, own, 1, length, size)), (*lead, own, heads // own, length, size))
    return t.reshape(wide, (*lead, heads, length, size))


RULES: Mapping[str, Rule] = {"scaled_dot_product_attention": attention, "_safe_softmax": _safe_softmax}
"""The rules by the names of PyTorch's operations."""
