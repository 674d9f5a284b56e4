"""Sums, products, largest numbers and orders along axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from crosscheck.oracles.graph.graph import At
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.jax.graph.steps import Operand
from crosscheck.references.jax.graph.translate import Rule, Translation

Params = Mapping[str, Any]


def _reduction(operation: str) -> Rule:
    def rule(t: Translation, params: Params, x: Operand) -> Operand:
        axes = tuple(int(axis) for axis in params["axes"])
        return t.add(operation, t.at(x), axes=axes, keepdims=False) if axes else x

    return rule


def _extreme(operation: str) -> Rule:
    """Return the rule of the largest or smallest number; JAX divides its gradient among equal numbers, the graph gives it to the first one."""

    def rule(t: Translation, params: Params, x: Operand) -> Operand:
        axes = tuple(int(axis) for axis in params["axes"])
        if not axes:
            return x
        at = t.at(x)
        y = t.add(operation, at, axes=axes, keepdims=False)
        kept = t.add(operation, at, axes=axes, keepdims=True)
        tied = t.graph.values[at] == t.graph.values[kept]
        if not t.is_real(y) or (tied.sum(axes) <= 1).all():
            return y
        largest = t.add("equal", at, t.add("stop", kept))
        total = t.add("sum", t.add("where", largest, at, 0.0), axes=axes, keepdims=False)
        return t.add("divide", total, t.add("sum", t.add("as_number", largest), axes=axes, keepdims=False), role=f"shared {operation}")

    return rule


def _product(t: Translation, params: Params, x: Operand) -> Operand:
    """Add a product along axes, number by number if one is zero, because the derivative of a product divides by each number."""
    axes = tuple(int(axis) for axis in params["axes"])
    at = t.at(x)
    if t.graph.values[at].all() or not t.is_real(at):
        return t.add("prod", at, axes=axes, keepdims=False) if axes else x
    kept = [axis for axis in range(len(t.shape(at))) if axis not in axes]
    rows = t.transpose(at, (*axes, *kept))
    rows = t.reshape(rows, (math.prod(t.shape(rows)[: len(axes)]), *t.shape(rows)[len(axes) :]))
    result = t.index(rows, (0,))
    for number in range(1, t.shape(rows)[0]):
        result = t.add("multiply", result, t.index(rows, (number,)))
    return result


def _position(operation: str) -> Rule:
    def rule(t: Translation, params: Params, x: Operand) -> Operand:
        at, (axis,) = t.at(x), params["axes"]
        return t.add("argmax", at if operation == "argmax" else t.add("negative", at), axis=int(axis), keepdims=False)

    return rule


def _turned(rule: Callable[[Translation, At, int], At]) -> Rule:
    """Return the rule of a result for each position along an axis, from the first to the last or the other way round."""

    def turned(t: Translation, params: Params, x: Operand) -> Operand:
        at, axis = t.at(x), int(params["axis"])
        if not params["reverse"]:
            return rule(t, at, axis)
        return t.add("flip", rule(t, t.add("flip", at, axes=(axis,)), axis), axes=(axis,))

    return turned


def _running_sum(t: Translation, x: At, axis: int) -> At:
    return t.add("cumsum", x, axis=axis)


def _running_log_sum(t: Translation, x: At, axis: int) -> At:
    largest = t.add("stop", t.add("amax", x, axes=(axis,), keepdims=True))
    total = t.add("cumsum", t.add("exp", t.add("subtract", x, largest)), axis=axis)
    return t.add("add", t.add("log", total), largest)


def _running(operation: str) -> Callable[[Translation, At, int], At]:
    """Return the rule of a result for each position along an axis, from the one before it and the number there."""

    def rule(t: Translation, x: At, axis: int) -> At:
        parts = [t.index(x, [*[slice(None)] * axis, number]) for number in range(t.shape(x)[axis])]
        for number in range(1, len(parts)):
            if operation != "multiply" and (t.value(parts[number - 1]) == t.value(parts[number])).any():
                raise NoGraphError("equal numbers share the gradient of a running extreme, each in its own way")
            parts[number] = t.add(operation, parts[number - 1], parts[number])
        return t.add("stack", *parts, axis=axis)

    return rule


def _sort(t: Translation, params: Params, *operands: Operand) -> list[Operand]:
    """Add arrays in the order of the first one."""
    axis = int(params["dimension"])
    if params["num_keys"] != 1:
        raise NoGraphError("numbers are sorted by several keys")
    order = t.add("argsort", t.at(operands[0]), axis=axis)
    places = np.arange(t.shape(order)[axis]).reshape([-1 if k == axis else 1 for k in range(len(t.shape(order)))])
    counts = [not isinstance(one, At) and np.array_equal(np.broadcast_to(places, t.shape(order)), t.value(one)) for one in operands]
    return [order if count else t.add("take_along", t.at(one), order, axis=axis) for one, count in zip(operands, counts, strict=True)]


def _largest_few(t: Translation, params: Params, x: Operand) -> list[Operand]:
    at = t.at(x)
    axis = params.get("axis", -1) % len(t.shape(at))
    order = t.add("argsort", t.add("negative", at), axis=axis)
    first = t.index(order, [*[slice(None)] * axis, slice(0, params["k"])])
    return [t.add("take_along", at, first, axis=axis), first]


RULES: Mapping[str, Rule] = {
    "reduce_sum": _reduction("sum"),
    "reduce_max": _extreme("amax"),
    "reduce_min": _extreme("amin"),
    "reduce_prod": _product,
    "reduce_and": _reduction("amin"),
    "reduce_or": _reduction("amax"),
    "argmax": _position("argmax"),
    "argmin": _position("argmin"),
    "cumsum": _turned(_running_sum),
    "cumlogsumexp": _turned(_running_log_sum),
    "cumprod": _turned(_running("multiply")),
    "cummax": _turned(_running("maximum")),
    "cummin": _turned(_running("minimum")),
    "sort": _sort,
    "top_k": _largest_few,
}
"""The rules by the names of JAX's primitives."""
