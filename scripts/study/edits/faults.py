"""Faults that no single edit explains: results of a right layer with noise, with one wrong element, or with half of the elements scaled."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosscheck.core.precision import Array
from study.edits.tasks import ALL_NOISY, HALF, ONE_ELEMENT

NOISE = 1e-3
"""The standard deviation of the noise, relative to each number."""
LEAST = 6
"""A result with fewer elements may be explained by one number by chance, and gets no fault."""

Corrupt = Callable[[str, Array], Array]
"""Gets the name of a result and its value, and returns what is returned in its place."""


def corrupted(layer: type, params: Sequence[str], corrupt: Corrupt) -> type:
    """Return a class whose results go through a function.

    Parameters
    ----------
    params : sequence of str
        The names of the parameters; the gradient of ``W`` is in ``dW`` after the backward pass.
    """

    @functools.wraps(layer.forward)  # type: ignore[attr-defined]
    def forward(self: Any, *inputs: Any) -> Any:
        return _each(corrupt, "output", layer.forward(self, *inputs))  # type: ignore[attr-defined]

    @functools.wraps(layer.backward)  # type: ignore[attr-defined]
    def backward(self: Any, *gradients: Any) -> Any:
        result = layer.backward(self, *gradients)  # type: ignore[attr-defined]
        for name in params:
            setattr(self, f"d{name}", corrupt(f"d{name}", getattr(self, f"d{name}")))
        return _each(corrupt, "gradient", result)

    return type(layer.__name__, (layer,), {"forward": forward, "backward": backward})


def _each(corrupt: Corrupt, name: str, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_each(corrupt, f"{name} {place}", one) for place, one in enumerate(value))
    return None if value is None else corrupt(name, value)


@dataclass
class Sizes:
    """Notes the largest size of each result, and changes none."""

    found: dict[str, int]

    def __call__(self, name: str, value: Array) -> Array:
        """Return the value."""
        self.found[name] = max(self.found.get(name, 0), np.size(value))
        return value


@dataclass(frozen=True)
class Fault:
    """A fault in one result or in all."""

    kind: str
    result: str  # the name of the result
    seed: Sequence[int]

    def __call__(self, name: str, value: Array) -> Array:
        """Return the value with the fault, if it is in this result."""
        if np.size(value) < LEAST or (self.kind != ALL_NOISY and name != self.result):
            return value
        rng = np.random.default_rng([*self.seed, *name.encode()])
        wrong = np.array(value)
        flat = wrong.reshape(-1)
        if self.kind == ONE_ELEMENT:
            place = rng.integers(flat.size)
            flat[place] += (1 + abs(flat[place])) * rng.uniform(0.1, 1)
        elif self.kind == HALF:
            flat[rng.permutation(flat.size)[: flat.size // 2]] *= rng.uniform(1.1, 1.9)
        else:
            flat *= (1 + NOISE * rng.standard_normal(flat.size)).astype(flat.dtype)
        return wrong
