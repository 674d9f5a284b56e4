"""Sums, means, largest numbers and others along axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from crosscheck.oracles.graph import units
from crosscheck.oracles.graph.graph import At
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.pytorch.graph.steps import Rule, Steps


def reduced(t: Steps, operation: str, x: At, dim: Any = None, keepdim: bool = False, role: str = "", **settings: Any) -> At:
    """Add a reduction along axes as PyTorch names them."""
    if not t.shape(x):
        x = t.reshape(x, (1,))
        return t.reshape(t.add(operation, x, axes=(0,), keepdims=False, role=role, **settings), t.out.shape if hasattr(t.out, "shape") else ())
    return t.add(operation, x, axes=t.axes(x, dim), keepdims=keepdim, role=role, **settings)


def _reduction(operation: str) -> Rule:
    def rule(t: Steps, x: At, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> At:
        if t.is_real and not t.is_real_step(x):
            x = t.add("as_number", x)
        return reduced(t, operation, x, dim, keepdim)

    return rule


def _largest(operation: str) -> Rule:
    """Return the rule of the largest or smallest number along one axis, with its index."""

    def rule(t: Steps, x: At, dim: int, keepdim: bool = False) -> tuple[At, At]:
        return reduced(t, operation, x, dim, keepdim), _index_of_largest(t, x, dim, keepdim, operation)

    return rule


def _index_of_largest(t: Steps, x: At, dim: int | None, keepdim: bool, operation: str) -> At:
    shape = t.shape(x)
    if operation == "amin":
        x = t.add("negative", x)
    if dim is None or not shape:
        return t.add("argmax", t.reshape(x, (math.prod(shape),)), axis=0, keepdims=False)
    return t.add("argmax", x, axis=dim % len(shape), keepdims=keepdim)


def _product(t: Steps, x: At, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> At:
    return reduced(t, "prod", x, dim, keepdim)


def spread(t: Steps, x: At, dim: Any, keepdim: bool, less: float, of_root: bool = False) -> tuple[At, At]:
    """Add variance and mean along axes; ``less`` is subtracted from the number of elements."""
    axes = t.axes(x, dim)
    if less != int(less):
        raise NoGraphError(f"a variance is corrected by {less}")
    mean = t.add("mean", x, axes=axes, keepdims=True, role="mean")
    centred = t.add("subtract", x, mean, role="x - mean")
    options = {"less": int(less)} if less else {}
    variance = t.add("mean", t.add("square", centred), axes=axes, keepdims=keepdim, role="variance", **options)
    if of_root:
        variance = t.add("sqrt", variance, role="standard deviation")
    return variance, mean if keepdim else t.reshape(mean, t.shape(variance))


def _variance(root: bool, with_mean: bool) -> Rule:
    def rule(t: Steps, x: At, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        less = (1 if unbiased is None else int(unbiased)) if correction is None else correction
        found, mean = spread(t, x, dim, keepdim, less, root)
        return (found, mean) if with_mean else found

    return rule


def _corrected(root: bool, with_mean: bool) -> Rule:
    def rule(t: Steps, x: At, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
        found, mean = spread(t, x, dim, keepdim, 1 if correction is None else correction, root)
        return (found, mean) if with_mean else found

    return rule


def root(t: Steps, x: At, role: str) -> At:
    """Add a square root; where x is 0, the derivative is 0, as for PyTorch's norms."""
    if t.graph.values[x].all():
        return t.add("sqrt", x, role=role)
    zero = t.add("equal", x, 0.0)
    return t.add("where", zero, 0.0, t.add("sqrt", t.add("where", zero, 1.0, x)), role=role)


def norm(t: Steps, x: At, order: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> At:
    """Add a norm along axes."""
    order = 2 if order is None else order
    if order == 2:
        return root(t, reduced(t, "sum", t.add("square", x), dim, keepdim), "norm")
    size = t.add("abs", x)
    if order == 1:
        return reduced(t, "sum", size, dim, keepdim, role="norm")
    if math.isinf(order):
        return reduced(t, "amax" if order > 0 else "amin", size, dim, keepdim, role="norm")
    if order == 0:
        return reduced(t, "sum", t.add("as_number", t.add("not_equal", x, 0.0)), dim, keepdim, role="norm")
    return t.add("power", reduced(t, "sum", t.add("power", size, float(order)), dim, keepdim), 1 / order, role="norm")


def _log_sum_exp(t: Steps, x: At, dim: Any, keepdim: bool = False) -> At:
    if not t.shape(x):
        return x
    return units.log_sum_exp(t.graph, x, t.axes(x, dim), keepdim)


def _running_log_sum(t: Steps, x: At, dim: int) -> At:
    if not t.shape(x):
        return x
    largest = t.add("stop", t.add("amax", x, axes=t.axes(x, dim), keepdims=True))
    total = t.add("cumsum", t.add("exp", t.add("subtract", x, largest)), axis=t.axes(x, dim)[0])
    return t.add("add", t.add("log", total), largest)


def _running_sum(t: Steps, x: At, dim: int, *, dtype: Any = None) -> At:
    return t.add("cumsum", x, axis=dim % len(t.shape(x))) if t.shape(x) else x


def _running(combine: Callable[[Steps, At, At], At]) -> Rule:
    """Return the rule of a result for each position along an axis, from the one before it and the number there."""

    def rule(t: Steps, x: At, dim: int, *, dtype: Any = None) -> At:
        if not t.shape(x):
            return x
        axis = dim % len(t.shape(x))
        parts = [t.add("index", x, key=(*[slice(None)] * axis, number)) for number in range(t.shape(x)[axis])]
        if not parts:
            return x
        results = parts[:1]
        for part in parts[1:]:
            results.append(combine(t, results[-1], part))
        return t.add("stack", *results, axis=axis)

    return rule


def sort(t: Steps, x: At, dim: int = -1, descending: bool = False, **options: Any) -> tuple[At, At]:
    """Add the numbers along an axis in order, and their former places."""
    axis = dim % len(t.shape(x))
    order = t.add("argsort", t.add("negative", x) if descending else x, axis=axis)
    return t.add("take_along", x, order, axis=axis), order


def _in_order(t: Steps, x: At, number: int, dim: int | None, keepdim: bool) -> Any:
    """Add the number at a place in the order along an axis, with its index; along all axes without an index."""
    if dim is None or not t.shape(x):
        flat = t.reshape(x, (math.prod(t.shape(x)),))
        value = t.add("index", sort(t, flat, 0)[0], key=(number,))
        return value if dim is None else (value, None)
    axis = dim % len(t.shape(x))
    key = (*[slice(None)] * axis, slice(number, number + 1) if keepdim else number)
    values, order = sort(t, x, axis)
    return t.add("index", values, key=key), t.add("index", order, key=key)


def _median(t: Steps, x: At, dim: int | None = None, keepdim: bool = False) -> Any:
    count = math.prod(t.shape(x)) if dim is None or not t.shape(x) else t.shape(x)[dim]
    return _in_order(t, x, (count - 1) // 2, dim, keepdim)


def _largest_few(t: Steps, x: At, k: int, dim: int = -1, largest: bool = True, ordered: bool = True) -> tuple[At, At]:
    values, order = sort(t, x, dim, descending=largest)
    key = (*[slice(None)] * (dim % len(t.shape(x))), slice(0, k))
    return t.add("index", values, key=key), t.add("index", order, key=key)


RULES: Mapping[str, Rule] = {
    "sum": _reduction("sum"),
    "mean": _reduction("mean"),
    "nansum": lambda t, x, *given, **options: _reduction("sum")(t, t.add("where", t.add("isnan", x), 0.0, x), *given, **options),
    "amax": _reduction("amax"),
    "amin": _reduction("amin"),
    "max": _reduction("amax"),
    "min": _reduction("amin"),
    "max.dim": _largest("amax"),
    "min.dim": _largest("amin"),
    "argmax": lambda t, x, dim=None, keepdim=False: _index_of_largest(t, x, dim, keepdim, "amax"),
    "argmin": lambda t, x, dim=None, keepdim=False: _index_of_largest(t, x, dim, keepdim, "amin"),
    "prod": _product,
    "prod.dim_int": _product,
    "var": _variance(root=False, with_mean=False),
    "std": _variance(root=True, with_mean=False),
    "var_mean": _variance(root=False, with_mean=True),
    "std_mean": _variance(root=True, with_mean=True),
    "var.correction": _corrected(root=False, with_mean=False),
    "std.correction": _corrected(root=True, with_mean=False),
    "var_mean.correction": _corrected(root=False, with_mean=True),
    "std_mean.correction": _corrected(root=True, with_mean=True),
    "norm": norm,
    "linalg_vector_norm": norm,
    "logsumexp": _log_sum_exp,
    "special_logsumexp": _log_sum_exp,
    "cumsum": _running_sum,
    "cumprod": _running(lambda t, before, part: t.add("multiply", before, part)),
    "cummax": lambda t, x, dim: (_running(lambda t, before, part: t.add("maximum", before, part))(t, x, dim), None),
    "cummin": lambda t, x, dim: (_running(lambda t, before, part: t.add("minimum", before, part))(t, x, dim), None),
    "logcumsumexp": _running_log_sum,
    "sort": sort,
    "sort.stable": lambda t, x, *, stable=None, dim=-1, descending=False: sort(t, x, dim, descending),
    "argsort": lambda t, x, dim=-1, descending=False, **options: sort(t, x, dim, descending)[1],
    "topk": _largest_few,
    "median": _median,
    "kthvalue": lambda t, x, k, dim=-1, keepdim=False: _in_order(t, x, k - 1, dim, keepdim),
    "any": lambda t, x, dim=None, keepdim=False: t.add("as_condition", reduced(t, "sum", t.add("as_condition", x), dim, keepdim)),
    "all": lambda t, x, dim=None, keepdim=False: t.add(
        "logical_not", t.add("as_condition", reduced(t, "sum", t.add("logical_not", x), dim, keepdim))
    ),
    "count_nonzero": lambda t, x, dim=None: reduced(t, "sum", t.add("as_condition", x), dim),
}
"""The rules by the names of PyTorch's operations."""
