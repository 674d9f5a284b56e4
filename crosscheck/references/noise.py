"""Shared code for perturbing every rounding at random in PyTorch and JAX."""

from __future__ import annotations

import math
from typing import Any, Protocol


class Perturbing(Protocol):
    """An object that perturbs the results of operations at random; it changes only float64 values, real or complex."""

    def by_terms(self, value: Any, terms: Any, roundings: Any) -> Any:
        """Return ``value`` plus ``roundings`` random rounding errors, each relative to ``terms``, the sum of the absolute terms."""

    def relatively(self, value: Any, roundings: Any) -> Any:
        """Return ``value`` plus ``roundings`` random rounding errors, each relative to the value itself."""


def names(text: str) -> frozenset[str]:
    """Return the names in ``text``, which white space separates."""
    return frozenset(text.split())


def rounds_products(factor: complex) -> bool:
    """Return whether a product with ``factor`` may be rounded; zero and powers of two, real or imaginary, multiply exactly."""
    if isinstance(factor, complex):
        return bool(factor.real and factor.imag) or rounds_products(factor.real) or rounds_products(factor.imag)
    return abs(math.frexp(float(factor))[0]) not in (0.0, 0.5)
