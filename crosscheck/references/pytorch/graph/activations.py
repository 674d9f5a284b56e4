"""Activation functions, written out as people write them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from crosscheck.oracles.graph import units
from crosscheck.oracles.graph.graph import At
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.pytorch.graph.steps import Rule, Steps


def where_positive(t: Steps, x: At, above: Any, below: Any) -> At:
    """Add a choice: one result where x is positive, another one elsewhere."""
    return t.add("where", t.add("greater", x, 0.0), above, below)


def _scaled(t: Steps, factor: float, x: At) -> At:
    return x if factor == 1 else t.add("multiply", float(factor), x)


def _leaky(t: Steps, x: At, slope: float = 0.01) -> At:
    return where_positive(t, x, x, t.add("multiply", float(slope), x))


def _elu(t: Steps, x: At, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> At:
    # Only numbers below zero need the power; far above zero it would be infinite.
    small = t.add("minimum", x, 0.0)
    below = _scaled(t, alpha, t.add("subtract", t.add("exp", _scaled(t, input_scale, small)), 1.0))
    return _scaled(t, scale, where_positive(t, x, x, below))


def _selu(t: Steps, x: At) -> At:
    return _elu(t, x, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


def _celu(t: Steps, x: At, alpha: float = 1.0) -> At:
    small = t.add("minimum", x, 0.0)
    power = t.add("exp", small if alpha == 1 else t.add("divide", small, float(alpha)))
    return where_positive(t, x, x, _scaled(t, alpha, t.add("subtract", power, 1.0)))


def _gelu(t: Steps, x: At, *, approximate: str = "none") -> At:
    if approximate == "none":
        return units.gelu(t.graph, x)
    inner = t.add("add", x, t.add("multiply", 0.044715, t.add("power", x, 3.0)))
    return t.add("multiply", t.add("multiply", 0.5, x), t.add("add", 1.0, t.add("tanh", t.add("multiply", math.sqrt(2 / math.pi), inner))))


def softplus(t: Steps, x: At, beta: float = 1, threshold: float = 20) -> At:
    """Add log(1 + exp(beta * x)) / beta; above the threshold it is x."""
    scaled = _scaled(t, beta, x)
    soft = t.add("softplus", scaled)
    return t.add("where", t.add("greater", scaled, float(threshold)), x, soft if beta == 1 else t.add("divide", soft, float(beta)))


def _log_sigmoid(t: Steps, x: At) -> At:
    return t.add("negative", t.add("softplus", t.add("negative", x)))


def between(t: Steps, x: At, low: float, high: float) -> At:
    """Add x limited to an interval; at its ends, the derivative is 0."""
    below, above = t.add("less_equal", x, float(low)), t.add("greater_equal", x, float(high))
    return t.add("where", below, float(low), t.add("where", above, float(high), x))


def _hard_sigmoid(t: Steps, x: At) -> At:
    return t.add("divide", between(t, t.add("add", x, 3.0), 0, 6), 6.0)


def _hard_swish(t: Steps, x: At) -> At:
    inside = t.add("divide", t.add("multiply", x, t.add("add", x, 3.0)), 6.0)
    return t.add("where", t.add("less_equal", x, -3.0), 0.0, t.add("where", t.add("less", x, 3.0), inside, x))


def _soft_shrink(t: Steps, x: At, limit: float = 0.5) -> At:
    above, below = t.add("greater", x, float(limit)), t.add("less", x, -float(limit))
    return t.add("where", above, t.add("subtract", x, float(limit)), t.add("where", below, t.add("add", x, float(limit)), t.add("multiply", 0.0, x)))


def _hard_shrink(t: Steps, x: At, limit: float = 0.5) -> At:
    return t.add("where", t.add("greater", t.add("abs", x), float(limit)), x, 0.0)


def _prelu(t: Steps, x: At, weight: At) -> At:
    if t.shape(weight) not in {(), (1,)} and len(t.shape(x)) > 1:
        weight = t.reshape(weight, (*t.shape(weight), *[1] * (len(t.shape(x)) - 2)))
    elif not t.shape(x):
        weight = t.reshape(weight, ())
    return where_positive(t, x, x, t.add("multiply", weight, x))


def _glu(t: Steps, x: At, dim: int = -1) -> At:
    axis = dim % len(t.shape(x))
    half = t.shape(x)[axis] // 2
    lead = [slice(None)] * axis
    value, gate = (t.add("index", x, key=(*lead, slice(start, start + half))) for start in (0, half))
    return t.add("multiply", value, t.add("sigmoid", gate, role="gate"))


def softmax(t: Steps, x: At, dim: int, *given: Any, **options: Any) -> At:
    """Add a softmax along an axis."""
    return units.softmax(t.graph, x, dim % len(t.shape(x))) if t.shape(x) else t.add("exp", t.add("subtract", x, x))


def log_softmax(t: Steps, x: At, dim: int, *given: Any, **options: Any) -> At:
    """Add a log-softmax along an axis."""
    return units.log_softmax(t.graph, x, dim % len(t.shape(x))) if t.shape(x) else t.add("subtract", x, x)


def _randomly_leaky(t: Steps, x: At, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, *given: Any) -> At:
    if training and lower != upper:
        raise NoGraphError("rrelu draws random numbers in training")
    return _leaky(t, x, (lower + upper) / 2)


def _dropout(t: Steps, x: At, p: float, training: bool) -> At:
    if training and p:
        raise NoGraphError("dropout draws its mask in training")
    return x


RULES: Mapping[str, Rule] = {
    "relu": lambda t, x: t.add("relu", x),
    "relu6": lambda t, x: between(t, x, 0, 6),
    "leaky_relu": _leaky,
    "elu": _elu,
    "selu": _selu,
    "celu": _celu,
    "gelu": _gelu,
    "silu": lambda t, x: units.silu(t.graph, x),
    "mish": lambda t, x: t.add("multiply", x, t.add("tanh", t.add("softplus", x))),
    "softplus": softplus,
    "log_sigmoid": _log_sigmoid,
    "hardtanh": lambda t, x, low=-1.0, high=1.0: between(t, x, low, high),
    "hardsigmoid": _hard_sigmoid,
    "hardswish": _hard_swish,
    "softsign": lambda t, x: t.add("divide", x, t.add("add", 1.0, t.add("abs", x))),
    "tanhshrink": lambda t, x: t.add("subtract", x, t.add("tanh", x)),
    "softshrink": _soft_shrink,
    "hardshrink": _hard_shrink,
    "threshold": lambda t, x, limit, value: t.add("where", t.add("greater", x, float(limit)), x, float(value)),
    "prelu": _prelu,
    "_prelu_kernel": lambda t, x, weight: where_positive(t, x, x, t.add("multiply", weight, x)),
    "glu": _glu,
    "rrelu": _randomly_leaky,
    **dict.fromkeys(("softmax", "_softmax", "special_softmax"), softmax),
    **dict.fromkeys(("log_softmax", "_log_softmax", "special_log_softmax"), log_softmax),
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"), _dropout),
}
"""The rules by the names of PyTorch's operations."""
