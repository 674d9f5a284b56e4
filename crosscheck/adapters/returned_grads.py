"""Gradients of parameters that a backward method returns, behind those of the inputs, in place of storing them: ``return dx, dW, db``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from crosscheck.adapters.naming import gradient_names
from crosscheck.core.guard import SubjectError
from crosscheck.core.operation import Shape

_MOST = 4
"""The largest number of parameters whose order is looked for."""


def orders_of_returned(result: Any, shapes: Mapping[str, Shape]) -> list[tuple[str, ...]]:
    """Return the orders of the parameters in which their gradients may be in what a backward method returned, the order of the attributes first.

    Parameters
    ----------
    result : object
        What the method returned. Gradients that are None fit every parameter.
    shapes : mapping
        The shapes of the parameters by name.
    """
    if not isinstance(result, tuple | list) or not shapes:
        return []
    if isinstance(result[-1], Mapping):
        entries = {name: _entry(result[-1], name) for name in shapes}
        found = [name for name, value in entries.items() if value is not None]
        return [tuple(shapes)] if found and all(np.shape(entries[name]) == shapes[name] for name in found) else []
    last = result[-len(shapes) :]
    if len(last) < len(shapes) or len(shapes) > _MOST or not any(isinstance(value, np.ndarray) for value in last):
        return []

    def fits(order: Sequence[str]) -> bool:
        return all(value is None or np.shape(value) == shapes[name] for name, value in zip(order, last, strict=True))

    return [order for order in itertools.permutations(shapes) if fits(order)]


def split(result: Any, returned: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """Return the gradient of the input, of several inputs a tuple, and the gradients of the parameters by name.

    Raises
    ------
    SubjectError
        If there are too few.
    """
    if isinstance(result, tuple | list) and result and isinstance(result[-1], Mapping):
        inputs, grads = result[:-1], {name: _entry(result[-1], name) for name in returned}
    else:
        values = result if isinstance(result, tuple | list) else (result,)
        if len(values) < len(returned):
            raise SubjectError(f"backward returned {len(values)} values, expected the input's gradient and those of {', '.join(returned)}")
        inputs = values[: len(values) - len(returned)]
        grads = dict(zip(returned, values[len(inputs) :], strict=True))
    return (inputs[0] if len(inputs) == 1 else tuple(inputs) if inputs else None), grads


def _entry(grads: Mapping[str, Any], name: str) -> Any:
    """Return the gradient of a parameter from a dict, under its own name or one that is made of it; None if there is none."""
    own = name.rpartition(".")[2]
    return next((grads[key] for key in (name, own, *(made for _, made in gradient_names(own))) if key in grads), None)
