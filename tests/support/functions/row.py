"""A row of the table: a function as a pair, and a mistake that people make in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from crosscheck import Pair

Array: TypeAlias = Any
"""A NumPy array. Sums and products of NumPy's own type are Any to the type checker, and to convert each of them would hide the formulas."""

SAME = {"weight": "weight", "bias": "bias"}
"""Parameters whose axes have the same order on both sides."""


class Fault:
    """A mistake in a function.

    Parameters
    ----------
    quantity : str
        The first quantity that is wrong.
    family : str
        A family of inputs that reveals it.
    **instead : callable
        The wrong functions by the names of the arguments of :class:`crosscheck.Functions`; their docstrings say what is wrong.
    """

    def __init__(self, quantity: str, family: str = "normal", **instead: Callable[..., Any]) -> None:
        self.quantity, self.family = quantity, family
        self.instead: Mapping[str, Callable[..., Any]] = instead


@dataclass(frozen=True)
class Row:
    """A function that is right, and a mistake in it."""

    pair: Pair
    fault: Fault | None = None

    @property
    def faulty(self) -> Pair:
        """The pair with the mistake in it."""
        assert self.fault is not None
        return replace(self.pair, subject=replace(self.pair.subject, **self.fault.instead))


def transposed(a: Array) -> Array:
    """Return matrices with rows and columns swapped."""
    return np.swapaxes(a, -1, -2)
