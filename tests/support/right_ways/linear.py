"""Linear layers: one product of matrices, a product a sample, loops over numbers, sums in many orders, the bias as one more weight."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from tests.support.right_ways.summation import CONTRACTIONS, Contraction, Sum
from tests.support.right_ways.task import Results, Way, cotangent


def given(call: Call) -> tuple[Array, Array, Array, Array]:
    """Return input, weight, bias and the gradient of the output."""
    return call.x, call.params["weight"], call.params["bias"], cotangent(call)


def results(output: Array, grad_input: Array, weight: Array, bias: Array) -> Results:
    """Return the output and the gradients of input, weight and bias by name."""
    return {"output": output, "grad_input": grad_input, "weight.grad": weight, "bias.grad": np.asarray(bias)}


def contracted(contract: Contraction, total: Sum, call: Call) -> Results:
    x, w, b, g = given(call)
    return results(contract("ni,oi->no", x, w) + b, contract("no,oi->ni", g, w), contract("no,ni->oi", g, x), total(g.T))


def matmul(call: Call) -> Results:
    x, w, b, g = given(call)
    return results(x @ w.T + b, g @ w, g.T @ x, g.sum(axis=0))


def transposed(call: Call) -> Results:
    """Return products with a weight that is kept the other way round, as ``(inputs, outputs)``."""
    x, w, b, g = given(call)
    kept = np.ascontiguousarray(w.T)
    return results(b + np.dot(x, kept), np.dot(g, kept.T), np.dot(np.ascontiguousarray(x.T), g).T, np.ones(len(g), g.dtype) @ g)


def with_ones(call: Call) -> Results:
    """Return products with an input that has one more column, of ones, for the bias."""
    x, w, b, g = given(call)
    wider = np.concatenate([x, np.ones((len(x), 1), x.dtype)], axis=1)
    both = g.T @ wider
    return results(wider @ np.concatenate([w, b[:, None]], axis=1).T, g @ w, both[:, :-1], both[:, -1])


def sample_by_sample(call: Call) -> Results:
    """Return a product of the matrix with each sample, the gradients of the parameters added up over samples."""
    x, w, b, g = given(call)
    weight, bias = np.zeros_like(w), np.zeros_like(b)
    for sample, grad in zip(x, g, strict=True):
        weight += np.outer(grad, sample)
        bias += grad
    return results(np.stack([w @ sample + b for sample in x]), np.stack([w.T @ grad for grad in g]), weight, bias)


def number_by_number(call: Call) -> Results:
    """Return plain loops, as beginners write them."""
    x, w, b, g = given(call)
    output, grad = np.zeros_like(g), np.zeros_like(x)
    weight, bias = np.zeros_like(w), np.zeros_like(b)
    for n, o in np.ndindex(*g.shape):
        output[n, o] = b[o]
        for i in range(x.shape[1]):
            output[n, o] += x[n, i] * w[o, i]
        grad[n] += g[n, o] * w[o]
        weight[o] += g[n, o] * x[n]
        bias[o] += g[n, o]
    return results(output, grad, weight, bias)


WAYS: Mapping[str, Way] = {
    **{name: partial(contracted, *pair) for name, pair in CONTRACTIONS.items()},
    "matmul": matmul,
    "transposed": transposed,
    "with ones": with_ones,
    "samples": sample_by_sample,
    "numbers": number_by_number,
}
LARGE: Mapping[str, Way] = {name: WAYS[name] for name in ("blas", "einsum", "matmul", "transposed", "with ones", "samples")}
"""Those of them that are quick enough for a large layer."""

BY_BLAS = ("blas", "matmul", "transposed", "with ones", "samples")
