"""Arithmetic, elementary functions, comparisons and choices: one number of the result for each number of the arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from crosscheck.oracles.graph.graph import At
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.pytorch.graph.steps import Rule, Steps


def _unary(operation: str) -> Rule:
    return lambda t, x: t.add(operation, x)


def _binary(operation: str) -> Rule:
    def rule(t: Steps, x: Any, y: Any, *, alpha: Any = 1) -> At:
        right = t.number(y)
        if alpha != 1:
            right = right * t.number(alpha) if not isinstance(right, At) else t.add("multiply", t.number(alpha), right)
        return t.add(operation, t.number(x), right)

    return rule


def _comparison(operation: str) -> Rule:
    def rule(t: Steps, x: Any, y: Any) -> At:
        real = any(isinstance(one, At) and t.is_real_step(one) for one in (x, y))
        x, y = (t.number(one, whole=True) for one in (x, y))
        x, y = (float(one) if real and isinstance(one, int) and not isinstance(one, At | bool) else one for one in (x, y))
        return t.add(operation, x, y)

    return rule


def _logical(operation: str) -> Rule:
    def rule(t: Steps, x: Any, y: Any) -> At:
        if any(isinstance(one, At) and t.graph.values[one].dtype.kind != "b" for one in (x, y)):
            raise NoGraphError("bits of whole numbers are combined")
        return t.add(operation, x, y)

    return rule


def _bitwise_not(t: Steps, x: At) -> At:
    if t.graph.values[x].dtype.kind != "b":
        raise NoGraphError("bits of whole numbers are combined")
    return t.add("logical_not", x)


def _reversed_subtract(t: Steps, x: Any, y: Any, alpha: Any = 1) -> At:
    return t.add("subtract", t.number(y), t.number(x) if alpha == 1 else t.add("multiply", t.number(alpha), x))


def _divide(t: Steps, x: Any, y: Any, *, rounding_mode: str | None = None) -> At:
    if rounding_mode == "floor":
        return t.add("floor_divide", t.number(x), t.number(y))
    quotient = t.add("divide", t.number(x), t.number(y))
    return t.add("trunc", quotient) if rounding_mode == "trunc" else quotient


def _remainder(t: Steps, x: Any, y: Any) -> At:
    whole = t.add("floor", t.add("divide", t.number(x), t.number(y)))
    return t.add("subtract", t.number(x), t.add("multiply", whole, t.number(y)))


def _fmod(t: Steps, x: Any, y: Any) -> At:
    whole = t.add("trunc", t.add("divide", t.number(x), t.number(y)))
    return t.add("subtract", t.number(x), t.add("multiply", whole, t.number(y)))


def _power(t: Steps, x: Any, exponent: Any) -> At:
    base, exponent = t.number(x), t.number(exponent)
    if not isinstance(exponent, At) and isinstance(base, At):
        if exponent == 1:
            return base
        if exponent == 2:
            return t.add("square", base)
        if exponent == 0.5:
            return t.add("sqrt", base)
        if exponent == -0.5:
            return t.add("divide", 1.0, t.add("sqrt", base))
        if exponent == -1:
            return t.add("divide", 1.0, base)
    return t.add("power", base, exponent)


def _scaled(t: Steps, value: Any, x: At) -> At:
    return x if value == 1 else t.add("multiply", t.number(value), x)


def _lerp(t: Steps, start: At, end: At, weight: Any) -> At:
    return t.add("add", start, t.add("multiply", t.number(weight), t.add("subtract", end, start)))


def _clamp(t: Steps, x: At, min: Any = None, max: Any = None) -> At:  # noqa: A002 - PyTorch's names
    if min is not None:
        x = t.add("maximum", x, t.number(min))
    return x if max is None else t.add("minimum", x, t.number(max))


def _masked_fill(t: Steps, x: At, mask: At, value: Any) -> At:
    return t.add("where", mask, t.number(value), x)


def _converted(t: Steps, x: At, *given: Any, dtype: Any = None) -> At:
    """Return numbers as numbers of another type."""
    out = t.out.dtype
    have = t.graph.values[x].dtype.kind
    if out is torch.float64:
        return x if t.graph.values[x].dtype == np.float64 else t.add("as_number", x)
    if out is torch.bool:
        return x if have == "b" else t.add("as_condition", x)
    if out is torch.float32 and t.graph.values[x].dtype == np.float32:
        return x
    if out.is_floating_point or out.is_complex:
        raise NoGraphError(f"a result is converted to {out}")
    return t.add("as_whole_number", x)


def _logarithm(base: float) -> Rule:
    return lambda t, x: t.add("divide", t.add("log", x), math.log(base))


def _nan_to_num(t: Steps, x: At, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> At:
    x = t.add("where", t.add("isnan", x), nan or 0.0, x)
    x = t.add("where", t.add("equal", x, math.inf), torch.finfo(torch.float64).max if posinf is None else posinf, x)
    return t.add("where", t.add("equal", x, -math.inf), torch.finfo(torch.float64).min if neginf is None else neginf, x)


def _larger_than_both(t: Steps, x: At, y: At) -> At:
    """log(exp(x) + exp(y)), as the larger one and what the smaller one adds."""
    larger = t.add("stop", t.add("maximum", x, y))
    powers = [t.add("exp", t.add("subtract", one, larger)) for one in (x, y)]
    both = t.add("add", larger, t.add("log", t.add("add", *powers)))
    if not np.isinf(t.graph.values[larger]).any():
        return both
    return t.add("where", t.add("isinf", larger), larger, both)


def _rounded(t: Steps, x: At, *, decimals: int = 0) -> At:
    if decimals:
        raise NoGraphError("a result is rounded to decimal places")
    return t.add("rint", x)


def _same(t: Steps, x: At, *given: Any, **options: Any) -> At:
    return x


SAME_NAME = (
    *("exp", "log", "log1p", "expm1", "sqrt", "tanh", "sin", "cos", "tan", "sinh", "cosh", "abs", "sign", "floor", "ceil", "trunc"),
    *("square", "reciprocal", "sigmoid", "erf", "isnan", "isinf", "logical_not"),
)
"""Operations of one tensor that PyTorch and the graph call the same."""

RULES: Mapping[str, Rule] = {
    **{name: _unary(name) for name in SAME_NAME},
    "neg": _unary("negative"),
    "negative": _unary("negative"),
    "absolute": _unary("abs"),
    "sgn": _unary("sign"),
    "fix": _unary("trunc"),
    "round": _rounded,
    **{name: _unary(name) for name in ("arctan", "arcsin", "arccos", "arctanh", "arcsinh", "arccosh")},
    "special_expit": _unary("sigmoid"),
    "special_erf": _unary("erf"),
    **{name: _unary(f"arc{name[1:]}") for name in ("atan", "asin", "acos", "atanh", "asinh", "acosh")},
    "log2": _logarithm(2),
    "log10": _logarithm(10),
    "exp2": lambda t, x: t.add("power", 2.0, x),
    "rsqrt": lambda t, x: t.add("divide", 1.0, t.add("sqrt", x)),
    "erfc": lambda t, x: t.add("subtract", 1.0, t.add("erf", x)),
    "frac": lambda t, x: t.add("subtract", x, t.add("trunc", x)),
    "sinc": lambda t, x: t.add("where", t.add("equal", x, 0.0), 1.0, _sinc(t, x)),
    "logit": lambda t, x, eps=None: _logit(t, x if eps is None else _clamp(t, x, eps, 1 - eps)),
    "add": _binary("add"),
    "sub": _binary("subtract"),
    "subtract": _binary("subtract"),
    "mul": _binary("multiply"),
    "multiply": _binary("multiply"),
    "rsub": _reversed_subtract,
    "div": _divide,
    "divide": _divide,
    "true_divide": _divide,
    "floor_divide": lambda t, x, y: t.add("floor_divide", t.number(x), t.number(y)),
    "remainder": _remainder,
    "fmod": _fmod,
    "pow": _power,
    "maximum": _binary("maximum"),
    "minimum": _binary("minimum"),
    "fmax": _binary("maximum"),
    "fmin": _binary("minimum"),
    "max.other": _binary("maximum"),
    "min.other": _binary("minimum"),
    "addcmul": lambda t, x, a, b, *, value=1: t.add("add", x, _scaled(t, value, t.add("multiply", a, b))),
    "addcdiv": lambda t, x, a, b, *, value=1: t.add("add", x, _scaled(t, value, t.add("divide", a, b))),
    "lerp": _lerp,
    "clamp": _clamp,
    "clip": _clamp,
    "clamp_min": _clamp,
    "clamp_max": lambda t, x, high: _clamp(t, x, None, high),
    "hypot": lambda t, x, y: t.add("sqrt", t.add("add", t.add("square", x), t.add("square", y))),
    "logaddexp": _larger_than_both,
    "nan_to_num": _nan_to_num,
    "xlogy": lambda t, x, y: t.add("where", t.add("equal", x, 0.0), 0.0, t.add("multiply", t.number(x), t.add("log", t.number(y)))),
    **{name: _comparison(operation) for name, operation in (("gt", "greater"), ("ge", "greater_equal"), ("lt", "less"), ("le", "less_equal"))},
    **{name: _comparison(name) for name in ("greater", "greater_equal", "less", "less_equal", "not_equal")},
    "eq": _comparison("equal"),
    "ne": _comparison("not_equal"),
    **{name: _logical("logical_and") for name in ("bitwise_and", "__and__")},
    **{name: _logical("logical_or") for name in ("bitwise_or", "__or__")},
    **{name: _logical("not_equal") for name in ("bitwise_xor", "__xor__")},
    "logical_and": lambda t, x, y: t.add("logical_and", x, y),
    "logical_or": lambda t, x, y: t.add("logical_or", x, y),
    "bitwise_not": _bitwise_not,
    "where.self": lambda t, mask, x, y: t.add("where", mask, t.number(x), t.number(y)),
    "where": lambda t, mask, x, y: t.add("where", mask, t.number(x), t.number(y)),
    "masked_fill": _masked_fill,
    "copy": lambda t, x, source, *given: _converted(t, source),
    "fill": lambda t, x, value: t.expand(value, t.shape(x)) if isinstance(value, At) else t.constant(torch.full_like(t.tensor(x), value)),
    "zero": lambda t, x: t.constant(torch.zeros_like(t.tensor(x))),
    **dict.fromkeys(("to", "_to_copy", "type_as", "double", "float", "long", "int", "bool", "_autocast_to_full_precision"), _converted),
    **dict.fromkeys(("clone", "lift_fresh_copy", "lift_fresh", "lift", "resolve_conj", "resolve_neg", "_conj_physical", "conj_physical"), _same),
    "zeros_like": lambda t, x, **options: t.constant(torch.zeros(t.out.shape, dtype=t.out.dtype)),
    "ones_like": lambda t, x, **options: t.constant(torch.ones(t.out.shape, dtype=t.out.dtype)),
    "full_like": lambda t, x, value, **options: t.constant(torch.full(t.out.shape, value, dtype=t.out.dtype)),
    **{
        name: lambda t, x, *given, **options: t.constant(torch.zeros(t.out.shape, dtype=t.out.dtype))
        for name in ("empty_like", "new_zeros", "new_empty")
    },
    "new_ones": lambda t, x, *given, **options: t.constant(torch.ones(t.out.shape, dtype=t.out.dtype)),
    "new_full": lambda t, x, size, value, **options: t.constant(torch.full(t.out.shape, value, dtype=t.out.dtype)),
}
"""The rules by the names of PyTorch's operations."""


def _sinc(t: Steps, x: At) -> At:
    angle = t.add("multiply", math.pi, x)
    return t.add("divide", t.add("sin", angle), angle)


def _logit(t: Steps, x: At) -> At:
    return t.add("log", t.add("divide", x, t.add("subtract", 1.0, x)))
