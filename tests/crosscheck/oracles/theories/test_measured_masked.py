"""Scores that are masked by minus infinity: a weight of exactly 0 is right, and everything beside it is judged."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from crosscheck import Functions, Pair
from crosscheck.core.judge import Verdict
from crosscheck.core.precision import Array
from tests.support.unshrunk import check


def attended(x: Any, xp: Any, softmax: Any) -> Any:
    """Return causal attention of a sequence to itself, queries, keys and values side by side."""
    width = x.shape[-1] // 3
    queries, keys, values = x[..., :width], x[..., width : 2 * width], x[..., 2 * width :]
    scores = xp.einsum("nqd,nkd->nqk", queries, keys)
    past = xp.tril(xp.ones(scores.shape[-2:], dtype=bool))
    return xp.einsum("nqk,nkd->nqd", softmax(xp.where(past, scores, -xp.inf)), values)


def in_torch(x: torch.Tensor) -> torch.Tensor:
    return attended(x, torch, lambda scores: scores.softmax(-1))


def in_jax(x: jax.Array) -> jax.Array:
    return attended(x, jnp, lambda scores: jax.nn.softmax(scores, axis=-1))


def fused(x: torch.Tensor) -> torch.Tensor:
    queries, keys, values = x.chunk(3, -1)
    return torch.nn.functional.scaled_dot_product_attention(queries, keys, values, is_causal=True, scale=1.0)


def causal(masked: Any) -> Functions:
    """Return the attention by hand, whose scores are masked in some way."""

    def forward(x: Array) -> tuple[Array, tuple[Array, ...]]:
        queries, keys, values = np.split(x, 3, -1)
        past = np.tril(np.ones((x.shape[1], x.shape[1]), bool))
        scores = masked(queries @ keys.transpose(0, 2, 1), past)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights = weights / weights.sum(-1, keepdims=True)
        return weights @ values, (queries, keys, values, weights, past)

    def backward(grad: Array, kept: tuple[Array, ...]) -> Array:
        queries, keys, values, weights, past = kept
        of_weights = grad @ values.transpose(0, 2, 1)
        of_scores = weights * (of_weights - (of_weights * weights).sum(-1, keepdims=True)) * past
        return np.concatenate([of_scores @ keys, of_scores.transpose(0, 2, 1) @ queries, weights.transpose(0, 2, 1) @ grad], -1)

    return Functions(forward, backward)


def by_infinity(scores: Array, past: Array) -> Array:
    return np.where(past, scores, -np.inf).astype(scores.dtype)


def by_product(scores: Array, past: Array) -> Array:
    return scores * past


def one_too_many(scores: Array, past: Array) -> Array:
    return np.where(past | np.eye(len(past), k=1, dtype=bool), scores, -np.inf).astype(scores.dtype)


MASKS = {by_infinity: Verdict.MATCH, by_product: Verdict.MISMATCH, one_too_many: Verdict.MISMATCH}


@pytest.mark.slow("JAX compiles for seconds", default=["by_infinity-in_torch", "by_product-in_torch", "by_infinity-fused"])
@pytest.mark.parametrize("reference", [in_torch, in_jax, fused])
@pytest.mark.parametrize("masked", MASKS)
def test_masked_scores_are_judged(masked: Any, reference: Any) -> None:
    pair = Pair(causal(masked), reference, shapes=[(2, 4, 9)], fixed={2}, framework="jax" if reference is in_jax else "torch")
    result = check(pair, only=lambda name: name in ("values-float64-normal", "values-float32-normal", "values-float32-digits"))
    assert result.verdict is MASKS[masked]
    assert result.unjudged == []
    assert {found.verdict for found in result.results} == {MASKS[masked]}
