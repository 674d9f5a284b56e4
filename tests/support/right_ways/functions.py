"""Functions of each number by itself, each in the forms in which it is met, and sums of two branches."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from tests.support import theory_cases as cases
from tests.support.right_ways.task import Results, Way, cotangent


def relu(call: Call) -> Results:
    g = cotangent(call)
    return {"output": np.maximum(call.x, 0), "grad_input": np.where(call.x > 0, g, g.dtype.type(0))}


def relu_by_mask(call: Call) -> Results:
    mask = (call.x > 0).astype(call.dtype)
    return {"output": call.x * mask, "grad_input": cotangent(call) * mask}


def relu_by_half(call: Call) -> Results:
    """Return half of each number and of its absolute value, which rounds nothing in range."""
    grad = cotangent(call).copy()
    grad[call.x <= 0] = 0
    return {"output": call.x / 2 + np.abs(call.x) / 2, "grad_input": grad}


def sigmoid_by_tanh(x: Array) -> Array:
    return np.asarray((1 + np.tanh(x / 2)) / 2)


def cdf(x: Array) -> Array:
    return np.asarray((1 + cases.erf(x / math.sqrt(2))) / 2)


def gelu_by_cdf(call: Call) -> Results:
    """Return x times the distribution, the derivative from the same distribution."""
    below = cdf(call.x)
    return {"output": call.x * below, "grad_input": cotangent(call) * (below + call.x * cases.density(call.x))}


def from_output(call: Call) -> Results:
    output = cases.naive_sigmoid(call.x)
    return {"output": output, "grad_input": cotangent(call) * output * (1 - output)}


def tanh_from_output(call: Call) -> Results:
    output, g = np.tanh(call.x), cotangent(call)
    return {"output": output, "grad_input": g - g * output * output}


RELU: Mapping[str, Way] = {"maximum": relu, "mask": relu_by_mask, "half": relu_by_half}
LEAKY: Mapping[str, Way] = {"choice": cases.leaky(0.1), "maximum": cases.leaky(0.1, by_maximum=True)}
SIGMOID: Mapping[str, Way] = {
    "two arms": cases.elementwise(cases.sigmoid, lambda x: cases.sigmoid(x) * cases.sigmoid(-x)),
    "naive": cases.elementwise(cases.naive_sigmoid, lambda x: cases.naive_sigmoid(x) * (1 - cases.naive_sigmoid(x))),
    "from output": from_output,
    "tanh": cases.elementwise(sigmoid_by_tanh, lambda x: sigmoid_by_tanh(x) * (1 - sigmoid_by_tanh(x))),
}
TANH: Mapping[str, Way] = {
    "square": cases.elementwise(np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "factors": cases.elementwise(np.tanh, lambda x: (1 - np.tanh(x)) * (1 + np.tanh(x))),
    "cosh": cases.elementwise(np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "from output": tanh_from_output,
}
GELU: Mapping[str, Way] = {
    "erf": cases.elementwise(cases.gelu, cases.gelu_slope_by_erf),
    "erfc": cases.elementwise(cases.gelu_by_erfc, cases.gelu_slope),
    "cdf": gelu_by_cdf,
}
GELU_TANH: Mapping[str, Way] = {
    "tanh": cases.elementwise(cases.gelu_tanh, cases.gelu_tanh_slope),
    "sigmoid": cases.elementwise(cases.gelu_by_sigmoid, cases.gelu_tanh_slope),
}
DROPOUT: Mapping[str, Way] = {"quotient": cases.dropout(0.3), "reciprocal": cases.dropout(0.3, reciprocal=True)}
