"""Functions of JAX as graphs: each row needs another rule, and has its reference's outputs and gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from crosscheck.core.inputs import FAMILIES
from crosscheck.core.operation import Call
from crosscheck.references.jax.oracle import JaxOracle
from tests.support.graphs import call_of, wrong

RNG = np.random.default_rng(0)
X, CUBE, IMAGE = (RNG.standard_normal(shape) for shape in ((4, 6), (3, 4, 5), (2, 3, 6, 7)))
A, W, DEPTHWISE = (RNG.standard_normal(shape) for shape in ((6, 6), (4, 3, 3, 2), (6, 1, 3, 2)))
LAST, W_LAST = IMAGE.transpose(0, 2, 3, 1), W.transpose(2, 3, 1, 0)
LABELS, ORDER = np.array([2, 0, 0, 3]), np.array([1, 0, 3, 2])
NCHW, NHWC = ("NCHW", "OIHW", "NCHW"), ("NHWC", "HWIO", "NHWC")
GATES = {"w": RNG.standard_normal((5, 8)), "u": RNG.standard_normal((2, 8)), "b": RNG.standard_normal(8)}


def step(state: Any, row: Any) -> tuple[Any, Any]:
    state = jnp.tanh(state * 0.5 + row)
    return state, state


def lstm(x: Any, w: Any, u: Any, b: Any) -> Any:
    def turn(state: Any, row: Any) -> tuple[Any, Any]:
        h, c = state
        i, f, g, o = jnp.split(row @ w + h @ u + b, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((x.shape[0], u.shape[0]))
    return lax.scan(turn, (zeros, zeros), x.swapaxes(0, 1))[1]


def attention(q: Any, k: Any, v: Any) -> Any:
    scores = jnp.einsum("bqd,bkd->bqk", q, k) / np.sqrt(5)
    scores = jnp.where(jnp.tril(jnp.ones((4, 4), bool)), scores, -jnp.inf)
    return jax.nn.softmax(scores, -1) @ v


def window(reduce: Any, start: float, x: Any, **options: Any) -> Any:
    return lax.reduce_window(x, start, reduce, (1, 1, 3, 2), (1, 1, 2, 1), "SAME", **options)


FUNCTIONS: Mapping[str, tuple[Callable[..., Any], Any]] = {
    "softmax": (lambda x: jax.nn.softmax(x, 0), X),
    "log-sum-exp of all": (jax.nn.logsumexp, X),
    "log-sum-exp": (lambda x: jax.nn.logsumexp(x, (0, 2), keepdims=True), CUBE),
    "gelu": (lambda x: jax.nn.gelu(x, approximate=False), X),
    "silu": (jax.nn.silu, X),
    "relu": (jax.nn.relu, X),
    "relu6": (jax.nn.relu6, X),
    "maximum": (lambda x: jnp.maximum(x, 0) + jnp.minimum(x, x[::-1]), X),
    "elu": (jax.nn.elu, X),
    "softplus": (jax.nn.softplus, X),
    "mish": (jax.nn.mish, X),
    "glu": (jax.nn.glu, X),
    "hard swish": (jax.nn.hard_swish, X),
    "log-sigmoid": (jax.nn.log_sigmoid, X),
    "sparse plus": (jax.nn.sparse_plus, X),
    "standardize": (jax.nn.standardize, X),
    "unbiased deviation": (lambda x: x.std(1, ddof=1), X),
    "scaled by rsqrt": (lambda x: (x - x.mean(1, keepdims=True)) * (lax.rsqrt(x.var(1, keepdims=True) + 1e-5) * A[0]), X),
    "clip": (lambda x: jnp.clip(x, -0.5, 0.5), X),
    "clamp": (lambda x: lax.clamp(-0.5, x, 0.5), X),
    "powers": (lambda x: x**3 + (jnp.abs(x) + 1) ** 1.5 + (x + 9) ** -1 + jnp.exp2(x), X),
    "logarithms": (lambda x: jnp.log1p(jnp.abs(x)) + jnp.expm1(x) + jnp.log2(jnp.abs(x) + 1), X),
    "trigonometry": (lambda x: jnp.sin(x) + jnp.cos(x) * jnp.tan(x) + jnp.sinh(x) * jnp.cosh(x) + jnp.arctan(x), X),
    "erfc": (jax.scipy.special.erfc, X),
    "whole numbers": (lambda x: jnp.sign(x) * x + jnp.floor(x) * x + jnp.round(x) * x + jnp.ceil(x), X),
    "remainder": (lambda x: jnp.mod(x, 0.7) + lax.rem(x, jnp.full_like(x, 0.6)), X),
    "logaddexp": (lambda x: jnp.logaddexp(x, 2 * x[::-1]), X),
    "conditions": (lambda x: jnp.where((x > 0) & ~(x > 1) | (x < -1) & jnp.isfinite(x), x, 0.1 * x), X),
    "sums": (lambda x: x.sum((0, 2)) + x.mean(), CUBE),
    "largest and smallest": (lambda x: x.max(1) + x.min(1), CUBE),
    "product": (lambda x: x.prod(1), CUBE),
    "running sum": (lambda x: jnp.cumsum(x, 1) + lax.cumsum(x, 2, reverse=True), CUBE),
    "running product": (lambda x: jnp.cumprod(x, 1), CUBE),
    "running logarithm": (lambda x: lax.cumlogsumexp(x, 1), CUBE),
    "sorted": (lambda x: jnp.sort(x, 1) + jnp.take_along_axis(x, jnp.argsort(x, 2), 2), CUBE),
    "largest few": (lambda x: lax.top_k(x, 2)[0], CUBE),
    "place of the largest": (lambda x: jax.nn.one_hot(x.argmax(1), 6) * x + x[jnp.arange(4), x.argmin(1)][:, None], X),
    "some or all": (lambda x: jnp.where((x > 1).any(1, keepdims=True) & (x < 9).all(1, keepdims=True), x, 2 * x), X),
    "quantile": (lambda x: jnp.quantile(x, 0.3, axis=1), X),
    "matmul": (lambda x: x @ A + (A[:4, :4] @ x), X),
    "transposed": (lambda x: A @ x.T, X),
    "stack of matrices": (lambda x: x @ x.swapaxes(1, 2), CUBE),
    "vectors": (lambda x: jnp.dot(x[0], x[1]) + jnp.dot(x, x[1]) + (x[0] @ A)[:4], X),
    "einsum": (lambda x: jnp.einsum("abc,dbc->ad", x, x), CUBE),
    "einsum with free axes": (lambda x: jnp.einsum("abc,dc->bad", x, A[:, :5]), CUBE),
    "outer": (lambda x: jnp.outer(x[0], x[1]), X),
    "tensordot": (lambda x: jnp.tensordot(x, x, ((0, 1), (0, 1))), CUBE),
    "shapes": (lambda x: jnp.concatenate([x.reshape(6, 4).T, x[:, ::-1], jnp.roll(x, 2, 1)], 0), X),
    "stack": (lambda x: jnp.stack([x, 2 * x], 1), X),
    "unstack": (lambda x: jnp.unstack(x, axis=1)[2], X),
    "split": (lambda x: jnp.split(x, 3, 1)[1] * 2, X),
    "pad": (lambda x: jnp.pad(x, ((1, 0), (2, 1)), constant_values=3.0), X),
    "pad within": (lambda x: lax.pad(x, 0.0, ((1, -1, 0), (-1, 2, 1))), X),
    "reflected border": (lambda x: jnp.pad(x, ((1, 1), (2, 2)), mode="reflect"), X),
    "tile": (lambda x: jnp.tile(x, (2, 3)), X),
    "repeat": (lambda x: jnp.repeat(x, 2, 1), X),
    "triangle": (jnp.tril, X),
    "diagonal": (lambda x: jnp.diagonal(x) + jnp.trace(x), X),
    "every pair": (lambda x: x[:, None] + x[None], X),
    "index": (lambda x: x[1] + x[-1] + x[2, ::-1], X),
    "strides": (lambda x: x[::2, 1::2], X),
    "rows": (lambda x: x[ORDER] + x[jnp.array([0, 0, 1, 1])], X),
    "single numbers": (lambda x: x[jnp.array([0, 1]), jnp.array([2, 3])], X),
    "along the second axis": (lambda x: x[:, jnp.array([2, 0, 2])], CUBE),
    "table of indices": (lambda x: x[jnp.ix_(np.array([0, 2]), np.array([1, 1, 3]))], X),
    "take": (lambda x: jnp.take(x, np.array([[0, 1], [2, 3]]), axis=1), X),
    "take along": (lambda x: jnp.take_along_axis(x, np.array([[1], [2], [0], [5]]), 1), X),
    "dynamic slice": (lambda x: lax.dynamic_slice(x, (1, 2), (2, 3)), X),
    "dynamic update": (lambda x: lax.dynamic_update_slice(x, 2 * x[:2, :2], (1, 2)), X),
    "part set": (lambda x: x.at[1, 2:4].set(x[0, :2]) + jnp.zeros((4, 6)).at[1:, 1:].set(x[1:, 1:]), X),
    "rows set": (lambda x: x.at[jnp.array([3, 1])].set(2 * x[:2]), X),
    "rows added": (lambda x: x.at[jnp.array([1, 1, 2])].add(x[:3]), X),
    "columns added": (lambda x: x.at[:, jnp.array([3, 1])].add(2 * x[:, :2]), X),
    "row multiplied": (lambda x: x.at[0].multiply(3.0), X),
    "sums of segments": (lambda x: jax.ops.segment_sum(x, LABELS, 4), X),
    "convolution": (lambda x: lax.conv_general_dilated(x, W, (2, 1), [(1, 1), (0, 2)], dimension_numbers=NCHW), IMAGE),
    "channels last": (lambda x: lax.conv_general_dilated(x, W_LAST, (1, 2), "SAME", dimension_numbers=NHWC), LAST),
    "depthwise": (
        lambda x: lax.conv_general_dilated(x, DEPTHWISE, (1, 1), "VALID", rhs_dilation=(2, 1), feature_group_count=3, dimension_numbers=NCHW),
        IMAGE,
    ),
    "transposed convolution": (lambda x: lax.conv_transpose(x, W_LAST, (2, 3), "SAME", dimension_numbers=NHWC), LAST),
    "transposed kernel": (
        lambda x: lax.conv_transpose(x, W_LAST.swapaxes(2, 3), (2, 1), "VALID", dimension_numbers=NHWC, transpose_kernel=True),
        LAST,
    ),
    "transposed and strided": (
        lambda x: lax.conv_general_dilated(
            x, DEPTHWISE, (1, 2), [(2, 1), (0, 3)], lhs_dilation=(2, 3), feature_group_count=3, dimension_numbers=NCHW
        ),
        IMAGE,
    ),
    "convolve": (lambda x: jnp.convolve(x[0], A[0, :3], mode="same"), X),
    "max pooling": (lambda x: window(lax.max, -jnp.inf, x), IMAGE),
    "min pooling": (lambda x: window(lax.min, jnp.inf, x), IMAGE),
    "average pooling": (lambda x: lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4, LAST),
    "scan": (lambda x: lax.scan(step, jnp.zeros_like(x[0]), x)[1], X),
    "scan from the end": (lambda x: lax.scan(step, jnp.zeros_like(x[0]), x, reverse=True)[0], X),
    "counted loop": (lambda x: lax.fori_loop(0, 3, lambda i, y: jnp.sin(y) + x[i], x[0]), X),
    "known branch": (lambda x: lax.switch(1, [jnp.sin, jnp.cos, jnp.tanh], x), X),
    "recomputed": (jax.checkpoint(lambda x: jnp.sin(jnp.sin(x))), X),
    "vmap": (jax.vmap(lambda row: row @ A + row.sum()), X),
    "vmap with indices": (lambda x: jax.vmap(lambda row, i: row[i])(x, jnp.array([1, 2, 0, 5])), X),
    "map": (lambda x: lax.map(lambda row: row * row.sum(), x), X),
    "associative scan": (lambda x: lax.associative_scan(jnp.multiply, x), X),
    "stopped": (lambda x: x * lax.stop_gradient(x), X),
    "gradient": (jax.grad(lambda x: (x**3).sum()), X),
    "resized": (lambda x: jax.image.resize(x, (8, 12), "bilinear"), X),
    "cube root": (jnp.cbrt, X),
}

KINKS = ("relu", "relu6", "maximum", "clip", "clamp", "largest and smallest", "product", "max pooling", "sorted", "log-sum-exp", "hard swish")
SHOWN = ["normal-scan", "normal-take", "normal-transposed convolution", "ties-maximum", "ties-largest and smallest", "ties-product"]


@pytest.mark.slow("each is compiled with its rounding; the rows show a loop, indices, places and how equal numbers share a gradient", default=SHOWN)
@pytest.mark.parametrize(("family", "name"), [*(("normal", name) for name in FUNCTIONS), *(("ties", name) for name in KINKS)])
def test_function(family: str, name: str) -> None:
    function, x = FUNCTIONS[name]
    if family != "normal":
        x = FAMILIES[family].input(np.random.default_rng(1), x.shape, np.float64)
    own = JaxOracle(function)
    assert wrong(own, call_of(own, x)) == []


def of(function: Callable[..., Any], inputs: Any, **given: Any) -> tuple[JaxOracle, Call]:
    own = JaxOracle(function)
    return own, call_of(own, inputs, **given)


WITH_LABELS: Mapping[str, Callable[..., Any]] = {
    "cross-entropy": lambda x, labels: -jnp.take_along_axis(jax.nn.log_softmax(x), labels[:, None], 1).mean(),
    "one-hot": lambda x, labels: -(jax.nn.one_hot(labels, 6) * jax.nn.log_softmax(x)).sum(1).mean(),
    "added": lambda x, labels: x.at[jnp.arange(4), labels].add(1.5),
    "set": lambda x, labels: x.at[jnp.arange(4), labels].set(1.5),
    "segments": lambda x, labels: jax.ops.segment_sum(x, labels, 4),
    "part": lambda x, labels: lax.dynamic_slice(x, (labels[3] - 2, 0), (2, 6)),
    "planes": lambda x, labels: x.reshape(2, 2, 6)[:, labels % 2, labels],
}

CALLS: Mapping[str, Callable[[], tuple[JaxOracle, Call]]] = {
    **{name: partial(of, function, X, constants={"labels": LABELS}) for name, function in WITH_LABELS.items()},
    "lstm": lambda: of(lstm, CUBE, params=GATES),
    "attention": lambda: of(attention, {"q": CUBE, "k": CUBE * 0.5 + 1, "v": CUBE[::-1]}),
    "embedding": lambda: of(lambda ids, table: table[ids], {}, params={"table": X}, constants={"ids": np.array([[1, 0], [3, 1]])}, order=("ids",)),
}


@pytest.mark.slow("each is compiled with its rounding; the rows show labels and several inputs", default=["cross-entropy", "attention"])
@pytest.mark.parametrize("name", CALLS)
def test_function_of_several_arrays(name: str) -> None:
    own, call = CALLS[name]()
    assert wrong(own, call) == []


def test_loop_of_known_length_is_written_out() -> None:
    """JAX does not differentiate it backwards, so that there is only the forward pass."""
    own = JaxOracle(lambda x: lax.while_loop(lambda state: state[0] < 3, lambda state: (state[0] + 1, state[1] * x), (0, x))[1])
    graph = own.graph(Call(X))
    assert [one.operation for one in graph.steps] == ["input", "multiply", "multiply", "multiply"]
    assert np.array_equal(graph.values[graph.outputs["output"]], own.vjp(Call(X))["output"])
