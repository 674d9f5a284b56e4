"""What the random perturbation of every rounding shares between PyTorch and JAX."""

from __future__ import annotations

import math
from typing import Any, Protocol


class Perturbing(Protocol):
    """Perturbs results of operations; only float64 values, real or complex, are changed."""

    def by_terms(self, value: Any, terms: Any, roundings: Any) -> Any:
        """Return a value perturbed by ``roundings`` rounding errors, each relative to ``terms``, the sum of the absolute terms."""

    def relatively(self, value: Any, roundings: Any) -> Any:
        """Return a value perturbed by ``roundings`` rounding errors, each relative to the value itself."""


def names(text: str) -> frozenset[str]:
    """Return the names in a text, which are separated by white space."""
    return frozenset(text.split())


def rounds_products(factor: complex) -> bool:
    """Return whether multiplying by a number may round; zero and powers of two, real or imaginary, multiply exactly."""
    if isinstance(factor, complex):
        return bool(factor.real and factor.imag) or rounds_products(factor.real) or rounds_products(factor.imag)
    return abs(math.frexp(float(factor))[0]) not in (0.0, 0.5)
