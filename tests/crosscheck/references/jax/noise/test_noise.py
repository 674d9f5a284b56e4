"""JAX's primitives whose terms are found by rules of their own: right ways agree, a small relative fault is seen."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from crosscheck.core.check_layer import context_of
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place
from crosscheck.references.jax.oracle import JaxOracle

SINGLE = Precision(np.dtype(np.float32), 100_000)
FAULT = 1e-3


def definite(x: Any) -> Any:
    return x @ x.T + 4 * np.eye(4, dtype=x.dtype)


def next_root(x: Any, root: Any) -> Any:
    return (root + (jnp.abs(x) + 1) / root) / 2


def counted(x: Any) -> Any:
    """Return the square root of a positive number by six steps of Newton's method."""
    return lax.while_loop(lambda state: state[0] < 6, lambda state: (state[0] + 1, next_root(x, state[1])), (0, jnp.abs(x) + 1))[1]


def converging(x: Any) -> Any:
    """Return it by as many steps as it takes until nothing moves but the last digits, which perturbed numbers never do."""
    near = 4 * jnp.finfo(x.dtype).eps

    def goes_on(state: Any) -> Any:
        return (jnp.abs(state[0] - state[1]) > near * jnp.abs(state[1])).any()

    return lax.while_loop(goes_on, lambda state: (state[1], next_root(x, state[1])), (jnp.zeros_like(x), jnp.abs(x) + 1))[1]


def by_matrix(x: Array) -> Array:
    angles = 2 * np.pi * np.outer(np.arange(4), np.arange(4)) / 4
    return np.concatenate([x @ np.cos(angles).astype(x.dtype), x @ -np.sin(angles).astype(x.dtype)], -1)


def sums(x: Array) -> Array:
    largest = x.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.cumsum(np.exp(x - largest), axis=1)) + largest)


CASES: Mapping[str, tuple[Callable[[Any], Any], Callable[[Array], Any] | None, tuple[str, ...]]] = {
    "fft": (lambda x: jnp.concatenate([jnp.fft.fft(x).real, jnp.fft.fft(x).imag], -1), by_matrix, ("normal", "wide", "offset")),
    "irfft": (lambda x: jnp.fft.irfft(x + 1j * x[::-1]), None, ("normal", "wide", "offset")),
    "solve": (lambda x: jnp.linalg.solve(x, x[0]), None, ("normal", "large", "offset")),
    "inverse": (lambda x: jnp.linalg.inv(definite(x)), lambda x: np.linalg.inv(definite(x)), ("normal",)),
    "determinant": (jnp.linalg.det, np.linalg.det, ("normal", "large", "offset")),
    "cholesky": (lambda x: jnp.linalg.cholesky(definite(x)), lambda x: np.linalg.cholesky(definite(x)), ("normal", "large")),
    "qr": (lambda x: jnp.linalg.qr(x)[0], None, ("normal", "offset")),
    "singular values": (lambda x: jnp.linalg.svd(x, compute_uv=False), lambda x: np.linalg.svd(x.T, compute_uv=False), ("normal", "large", "offset")),
    "eigenvalues": (lambda x: jnp.linalg.eigh(x + x.T)[0], lambda x: np.linalg.eigvalsh((x + x.T)[::-1, ::-1]), ("normal", "offset")),
    "running product": (lambda x: jnp.cumprod(x, axis=1), lambda x: np.cumprod(x, axis=1), ("normal", "wide")),
    "product": (lambda x: x.prod(axis=1), lambda x: x[:, ::-1].prod(axis=1), ("normal", "wide", "large")),
    "running logarithm": (lambda x: lax.cumlogsumexp(x, axis=1), sums, ("normal", "offset")),
    "remainder": (lambda x: lax.rem(x, jnp.full_like(x, 0.75)), lambda x: x - np.trunc(x / np.float32(0.75)) * np.float32(0.75), ("normal", "wide")),
    "digamma": (lambda x: lax.digamma(jnp.abs(x) + 1), None, ("normal", "wide")),
    "log gamma": (lambda x: lax.lgamma(jnp.abs(x) + 0.5), lambda x: np.vectorize(math.lgamma)(np.abs(x) + np.float32(0.5)), ("normal", "wide")),
    "powers": (lambda x: jnp.vander(x[0]), None, ("normal", "wide")),
    "polygamma": (lambda x: jax.scipy.special.polygamma(1, jnp.abs(x) + 1), None, ("normal",)),
    "products in places": (lambda x: x.at[jnp.array([0, 2])].multiply(x[1:3], unique_indices=True), None, ("normal", "wide")),
    "stack": (lambda x: jnp.stack([x * 3, x], axis=1), lambda x: np.stack([x * np.float32(3), x], axis=1), ("normal",)),
    "modulus": (lambda x: jnp.abs(jnp.exp(1j * x) * x), None, ("normal", "wide")),
}

ROWS = [(name, family) for name, (_, _, families) in CASES.items() for family in families]


def judged(name: str, family: str, fault: float = 0.0) -> list[Judgement]:
    """Return the verdicts of the theory alone, on NumPy's or SciPy's version where there is one; else on JAX's own in single precision."""
    function, way, _ = CASES[name]
    rng = np.random.default_rng(zlib.crc32(family.encode()))
    oracle = JaxOracle(function)
    call = Call(FAMILIES[family].input(rng, (4, 4), np.float32))
    output = oracle.vjp(call.astype(np.float64))["output"]
    call = Call(call.x, {}, FAMILIES[family].grad_output(rng, output.shape, np.float32))
    context = context_of(oracle, call, SINGLE)
    assert context.expected, context.undecided
    found = oracle.vjp(call)
    if way is not None:
        found["output"] = np.asarray(way(call.x), np.float32)
    found = {quantity: np.asarray(value * np.float32(1 + fault)) for quantity, value in found.items()}
    return [judge(Place(0, "operation", name), Kind.ISOLATED, found[name], context.expected[name], context.bounds[name], SINGLE) for name in found]


@pytest.mark.slow("each is compiled; one row shows how it goes", default=["fft-normal", "solve-normal", "singular values-offset"])
@pytest.mark.parametrize(("name", "family"), ROWS, ids=["-".join(row) for row in ROWS])
def test_right_way_agrees(name: str, family: str) -> None:
    judgements = judged(name, family)
    assert [
        (judgement.place.quantity, judgement.verdict, judgement.fraction) for judgement in judgements if judgement.verdict is not Verdict.MATCH
    ] == []


@pytest.mark.slow("each is compiled; one row shows how it goes", default=["cholesky"])
@pytest.mark.parametrize("name", list(CASES))
def test_relative_fault_is_seen(name: str) -> None:
    assert {judgement.verdict for judgement in judged(name, "normal", FAULT)} == {Verdict.MISMATCH}


@pytest.mark.parametrize("loop", [counted, converging])
def test_loop_with_a_condition_is_measured(loop: Any) -> None:
    """It cannot be differentiated backwards, which is JAX's; forward every round strays."""
    call = Call(np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32))
    context = context_of(JaxOracle(loop), call, SINGLE)
    found = JaxOracle(loop).vjp(call)["output"]
    verdicts = [
        judge(Place(0, "loop", "output"), Kind.ISOLATED, value, context.expected["output"], context.bounds["output"], SINGLE).verdict
        for value in (found, found * np.float32(1 + FAULT))
    ]
    assert verdicts == [Verdict.MATCH, Verdict.MISMATCH]
