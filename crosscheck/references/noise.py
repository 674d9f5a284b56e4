"""What perturbing every rounding at random has in common in PyTorch and in JAX."""

from __future__ import annotations

import math
from typing import Any, Protocol


class Perturbing(Protocol):
    """What perturbs the results of operations; a value that is no float64 stays as it is."""

    def by_terms(self, value: Any, terms: Any, roundings: Any) -> Any:
        """Return a value with so many roundings of these absolute terms added."""

    def relatively(self, value: Any, roundings: Any) -> Any:
        """Return a value with so many roundings relative to itself added."""


def names(text: str) -> frozenset[str]:
    """Return the names in a text."""
    return frozenset(text.split())


def rounds_products(factor: complex) -> bool:
    """Return whether multiplying by a number may round: not by zero or a power of two, real or imaginary."""
    if isinstance(factor, complex):
        return bool(factor.real and factor.imag) or rounds_products(factor.real) or rounds_products(factor.imag)
    return abs(math.frexp(float(factor))[0]) not in (0.0, 0.5)
