"""Arithmetic, elementary functions, comparisons and choices: one number of the result for each number of the operands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jax import lax

from crosscheck.oracles.graph.graph import At, Step
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.jax.graph.steps import Operand, Wide, uniform
from crosscheck.references.jax.graph.translate import Rule, Translation

Params = Mapping[str, Any]


def _plain(operation: str) -> Rule:
    return lambda t, params, *operands: t.elementwise(operation, *operands)


def _number(t: Translation, operand: Operand) -> float | int | bool | None:
    """Return the number that a known operand consists of."""
    return None if isinstance(operand, At | Wide) else uniform(operand)


def _is_root(step: Step) -> bool:
    return step.operation == "divide" and isinstance(step.args[0], float) and step.args[0] == 1.0


def _multiply(t: Translation, params: Params, x: Operand, y: Operand) -> Operand:
    """Add a product; x * (1 / root) is written as x / root, and a sum times 1 / count as a mean."""
    for one, other in ((x, y), (y, x)):
        number = _number(t, one)
        if number and (mean := _with_count(t, other, 1 / number, least=3)) is not None:
            return mean
        if _is_root(t.step(other)) and number is None and not _is_root(t.step(one)):
            return t.elementwise("divide", one, _root_of(t.step(other)))
    return t.elementwise("multiply", x, y)


def _root_of(step: Step) -> At:
    root = step.args[1]
    assert isinstance(root, At)
    return root


def _divide(t: Translation, params: Params, x: Operand, y: Operand) -> Operand:
    number = _number(t, y)
    if number is not None and (mean := _with_count(t, x, number)) is not None:
        return mean
    if t.out.dtype.kind in "iu":
        if (t.value(x) < 0).any() or (t.value(y) <= 0).any():
            raise NoGraphError("negative whole numbers are divided")
        return t.elementwise("floor_divide", x, y)
    return t.elementwise("divide", x, y)


def _with_count(t: Translation, operand: Operand, divisor: float, least: int = 1) -> Operand | None:
    if not isinstance(operand, At | Wide) or math.prod(t.out.shape) != math.prod(t.shape(operand)):
        return None
    mean = _mean_of(t, operand.at if isinstance(operand, Wide) else operand, divisor, least)
    return None if mean is None else t.wide(mean)


def _mean_of(t: Translation, at: At, divisor: float, least: int = 1) -> At | None:
    """Return a sum that is divided by the number of its terms, or by one less, as a mean; None if it is none."""
    step = t.graph.steps[at]
    if step.operation in {"transpose", "reshape"} and (inner := _mean_of(t, step.sources[0], divisor, least)) is not None:
        return t.add(step.operation, inner, **step.settings)
    if step.operation != "sum":
        return None
    count = math.prod(t.shape(step.sources[0])[axis] for axis in step.settings["axes"])
    if count < least or divisor not in {count, count - 1} or not divisor or (divisor == count - 1 and count < 3):
        return None
    settings: dict[str, Any] = {} if divisor == count else {"less": 1}
    return t.add("mean", *step.args, **step.settings, **settings)


def _larger(operation: str) -> Rule:
    """Return the rule of the larger or smaller of two numbers; where they are equal, JAX gives each a half of the gradient."""

    def rule(t: Translation, params: Params, x: Operand, y: Operand) -> Operand:
        limit = -math.inf if operation == "maximum" else math.inf
        for one, other in ((x, y), (y, x)):
            if _number(t, one) == limit:
                return other
        return t.elementwise(operation, *(_halved(t, one, other) for one, other in ((x, y), (y, x))))

    return rule


def _halved(t: Translation, one: Operand, other: Operand) -> Operand:
    """Return a known operand as a step if it equals the other one somewhere: an equal number would leave the whole gradient to the other one."""
    if isinstance(one, At | Wide) or not np.any(np.equal(one, t.value(other))):
        return one
    return t.add("expand", t.graph.constant(one), shape=t.shape(other))


def _power(t: Translation, x: Operand, exponent: float) -> Operand:
    """Add a power with a known exponent."""
    special = {2: ("square",), 0.5: ("sqrt",)}
    if exponent == 1:
        return x
    if exponent in special:
        return t.elementwise(*special[exponent], x)
    if exponent in {-1, -0.5}:
        return t.elementwise("divide", np.asarray(1.0), x if exponent == -1 else t.elementwise("sqrt", x))
    return t.elementwise("power", x, np.asarray(float(exponent)) if t.is_real(x) else np.asarray(exponent))


def _general_power(t: Translation, params: Params, x: Operand, y: Operand) -> Operand:
    exponent = _number(t, y)
    if exponent is not None:
        return _power(t, x, exponent)
    return t.elementwise("power", x, y if t.is_real(y) else t.add("as_number", t.at(y)))


def _remainder(t: Translation, params: Params, x: Operand, y: Operand) -> Operand:
    if t.out.dtype.kind in "iu":
        return t.elementwise("fmod", x, y)
    whole = t.elementwise("trunc", t.elementwise("divide", x, y))
    return t.elementwise("subtract", x, t.elementwise("multiply", whole, y))


def _select(t: Translation, params: Params, which: Operand, *cases: Operand) -> Operand:
    chosen = _number(t, which)
    if chosen is not None:
        case = cases[int(chosen)]
        return case if not t.shape(case) == () != tuple(t.out.shape) else t.wide(t.at(case))
    if t.value(which).dtype.kind != "b":
        result = cases[-1]
        for number in range(len(cases) - 2, -1, -1):
            result = t.elementwise("where", t.elementwise("equal", which, np.asarray(number)), cases[number], result)
        return result
    without, with_ = cases
    if _counts_from_the_end(t, which, without, with_):
        return without
    if _is_finite(t, which, with_) and bool(t.value(which).all()):
        return with_
    return t.elementwise("where", which, with_, without)


def _counts_from_the_end(t: Translation, which: Operand, index: Operand, moved: Operand) -> bool:
    """Return whether a choice only moves negative indices, of which there are none."""
    condition, source = t.step(which), index.at if isinstance(index, Wide) else index
    by_zero = condition.operation == "less" and condition.args[0] == source and condition.args[1] == 0
    return bool(
        isinstance(source, At) and t.value(index).dtype.kind in "iu" and by_zero and t.step(moved).operation == "add" and not t.value(which).any()
    )


def _is_finite(t: Translation, which: Operand, chosen: Operand) -> bool:
    """Return whether a condition says that the numbers which it chooses are finite."""
    condition = t.step(which)
    if condition.operation != "logical_not":
        return False
    either = t.graph.steps[condition.sources[0]]
    parts = [t.graph.steps[source] for source in either.sources]
    source = chosen.at if isinstance(chosen, Wide) else chosen
    return either.operation == "logical_or" and [part.operation for part in parts] == ["isnan", "isinf"] and parts[0].args[0] == source


def _finite(t: Translation, params: Params, x: Operand) -> Operand:
    return t.elementwise("logical_not", t.elementwise("logical_or", t.elementwise("isnan", x), t.elementwise("isinf", x)))


def _clamp(t: Translation, params: Params, low: Operand, x: Operand, high: Operand) -> Operand:
    """Add x limited to an interval; at its ends, the derivative is 0."""
    inside = t.elementwise("where", t.elementwise("greater_equal", x, high), high, x)
    return t.elementwise("where", t.elementwise("less_equal", x, low), low, inside)


def _logical(operation: str) -> Rule:
    def rule(t: Translation, params: Params, *operands: Operand) -> Operand:
        if t.out.dtype.kind != "b":
            raise NoGraphError("bits of whole numbers are combined")
        return t.elementwise(operation, *operands)

    return rule


def _absolute(t: Translation, params: Params, x: Operand) -> Operand:
    """Add an absolute value, unless the numbers are sums of exponentials, which are positive."""
    step = t.step(x)
    if step.operation == "sum" and t.graph.steps[step.sources[0]].operation == "exp":
        return x
    return t.elementwise("abs", x)


def _equal(t: Translation, params: Params, x: Operand, y: Operand) -> Operand:
    """Add a comparison; labels beside the numbers of the classes are one-hot labels."""
    for ids, classes in ((x, y), (y, x)):
        shape = t.shape(ids)
        counted = not isinstance(classes, At | Wide) and t.shape(classes) == (*[1] * (len(shape) - 1), np.size(classes)) and len(shape) > 0
        if isinstance(ids, At) and counted and shape[-1] == 1 and np.array_equal(np.ravel(t.value(classes)), np.arange(np.size(classes))):
            one_hot = t.add("one_hot", t.reshape(ids, shape[:-1]), classes=int(np.size(classes)), role="one-hot labels")
            return t.add("as_condition", one_hot)
    return t.elementwise("equal", x, y)


def _converted(t: Translation, params: Params, x: Operand) -> Operand:
    """Return numbers as numbers of another type."""
    have, wanted, step = t.value(x).dtype.kind, np.dtype(params["new_dtype"]), t.step(x)
    if wanted.kind == "f":
        if wanted != np.float64:
            raise NoGraphError(f"a result is converted to {wanted}")
        if have == "b" and step.operation == "as_condition" and t.graph.steps[step.sources[0]].operation == "one_hot":
            return step.sources[0]
        return x if have == "f" else t.elementwise("as_number", x)
    if wanted.kind == "b":
        return x if have == "b" else t.elementwise("as_condition", x)
    if step.operation == "as_number" and t.graph.values[step.sources[0]].dtype.kind in "iu":
        return t.wide(step.sources[0])
    if have == "b":
        return t.elementwise("as_number", x)
    return t.elementwise("trunc", x) if have == "f" else x


def _rounded(t: Translation, params: Params, x: Operand) -> Operand:
    if params["rounding_method"] == lax.RoundingMethod.TO_NEAREST_EVEN:
        return t.elementwise("rint", x)
    away = t.elementwise("floor", t.elementwise("add", t.elementwise("abs", x), np.asarray(0.5)))
    return t.elementwise("multiply", t.elementwise("sign", x), away)


def _same(t: Translation, params: Params, x: Operand) -> Operand:
    return x


def _stopped(t: Translation, params: Params, x: Operand) -> Operand:
    return t.elementwise("stop", x) if t.is_real(x) else x


def softplus(t: Translation, x: Operand, y: Operand) -> Operand:
    """Add log(exp(x) + exp(y)); for y = 0 it is softplus(x)."""
    for one, other in ((x, y), (y, x)):
        if _number(t, other) == 0:
            return t.elementwise("softplus", one)
    larger = t.elementwise("stop", t.elementwise("maximum", x, y))
    powers = [t.elementwise("exp", t.elementwise("subtract", one, larger)) for one in (x, y)]
    return t.elementwise("add", larger, t.elementwise("log", t.elementwise("add", *powers)))


SAME_NAME = (*("exp", "log", "log1p", "expm1", "sqrt", "tanh", "sin", "cos", "tan", "sinh", "cosh", "sign", "floor", "ceil", "square", "erf"),)
"""Primitives of one array that JAX and the graph call the same."""

RULES: Mapping[str, Rule] = {
    **{name: _plain(name) for name in SAME_NAME},
    **{f"a{name}": _plain(f"arc{name}") for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "abs": _absolute,
    "neg": _plain("negative"),
    "logistic": _plain("sigmoid"),
    "erfc": lambda t, params, x: t.elementwise("subtract", np.asarray(1.0), t.elementwise("erf", x)),
    "exp2": lambda t, params, x: t.elementwise("power", np.asarray(2.0), x),
    "rsqrt": lambda t, params, x: _power(t, x, -0.5),
    "cbrt": lambda t, params, x: t.elementwise("multiply", t.elementwise("sign", x), _power(t, t.elementwise("abs", x), 1 / 3)),
    "integer_pow": lambda t, params, x: _power(t, x, params["y"]),
    "pow": _general_power,
    "round": _rounded,
    "add": _plain("add"),
    "add_any": _plain("add"),
    "sub": _plain("subtract"),
    "mul": _multiply,
    "div": _divide,
    "rem": _remainder,
    "max": _larger("maximum"),
    "min": _larger("minimum"),
    "clamp": _clamp,
    "select_n": _select,
    "eq": _equal,
    "ne": _plain("not_equal"),
    "lt": _plain("less"),
    "le": _plain("less_equal"),
    "gt": _plain("greater"),
    "ge": _plain("greater_equal"),
    "and": _logical("logical_and"),
    "or": _logical("logical_or"),
    "xor": _logical("not_equal"),
    "not": _logical("logical_not"),
    "is_finite": _finite,
    "convert_element_type": _converted,
    "stop_gradient": _stopped,
    **dict.fromkeys(("copy", "copy_p", "name", "pvary", "device_put"), _same),
    "optimization_barrier": lambda t, params, *operands: list(operands),
}
"""The rules by the names of JAX's primitives, with hyphens replaced by underscores."""

WHOLES: Mapping[str, Rule] = {
    "relu": lambda t, x: t.elementwise("relu", x),
    "relu6": lambda t, x: _clamp(t, {}, np.asarray(0.0), x, np.asarray(6.0)),
    "logaddexp": softplus,
}
"""The rules of functions of JAX whose derivative at a kink is another than that of their steps, by their names."""
