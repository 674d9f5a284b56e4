r"""Rules for JAX primitives that no table covers: transforms, linear algebra, products, cumulative log-sum-exp.

The rules are the same as in :mod:`~crosscheck.references.pytorch.noise.rules`. A Fourier transform is a sum of all numbers along its axes. A backward
stable algorithm returns the exact result of a perturbed input (see :mod:`~crosscheck.references.pytorch.noise.linear_algebra`). A function that is
computed by recurrences and reflections returns its value at a rounded argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import lax

from crosscheck.core.precision import ELEMENTARY
from crosscheck.references.noise import Perturbing

Size = Callable[[Any], Any]

Rule: TypeAlias = Callable[[Perturbing, Any, str, list[Any]], list[Any]]


def bound(equation: Any, values: Sequence[Any]) -> list[Any]:
    """Return the unperturbed results of a primitive."""
    results = equation.primitive.bind(*values, **equation.params)
    return list(results) if equation.primitive.multiple_results else [results]


def _norm(a: Any, axes: tuple[int, ...]) -> Any:
    return jnp.sqrt(jnp.sum(jnp.abs(a) ** 2, axis=axes, keepdims=True))


_by_rotations, _by_reflections = partial(_norm, axes=(-2, -1)), partial(_norm, axes=(-2,))


def _normwise(a: Any) -> Any:
    return _by_rotations(a) / math.sqrt(max(1, *a.shape[-2:]))


def _by_diagonal(a: Any) -> Any:
    root = jnp.sqrt(jnp.abs(jnp.diagonal(a, axis1=-2, axis2=-1)))
    return root[..., :, None] * root[..., None, :]


def _by_elements(a: Any) -> Any:
    return jnp.abs(a) * math.sqrt(max(1, a.shape[-1]))


STABLE: Mapping[str, Mapping[int, Size]] = {
    "cholesky": {0: _by_diagonal},
    "eig": {0: _by_rotations},
    "eigh": {0: _by_rotations},
    "geqrf": {0: _by_reflections},
    "lu": {0: _normwise},
    "qr": {0: _by_reflections},
    "schur": {0: _by_rotations},
    "svd": {0: _by_rotations},
    "triangular_solve": {0: _by_elements},
    "tridiagonal_solve": dict.fromkeys((0, 1, 2), _by_elements),
}
"""For each backward stable primitive, the positions of its operands, with functions that return the sizes of their perturbations."""


def _of_perturbed(run: Perturbing, equation: Any, name: str, values: list[Any]) -> list[Any]:
    """Return the results for perturbed operands; one more rounding perturbs each result."""
    sizes = STABLE[name]
    given = [run.by_terms(value, sizes[place](value), 1) if place in sizes else value for place, value in enumerate(values)]
    return [run.relatively(value, 1) for value in bound(equation, given)]


def _reflected(run: Perturbing, equation: Any, name: str, values: list[Any]) -> list[Any]:
    """Perturb a product of Householder reflections by its absolute terms."""
    reflectors, tau = values
    (terms,) = bound(equation, [jnp.abs(reflectors).astype(reflectors.dtype), -jnp.abs(tau).astype(tau.dtype)])
    return [run.by_terms(value, terms, reflectors.shape[-2] + 2 * tau.shape[-1]) for value in bound(equation, values)]


def _transformed(run: Perturbing, equation: Any, name: str, values: list[Any]) -> list[Any]:
    """Perturb a Fourier transform by the sum of absolute values, which is their transform at frequency 0."""
    (x,), lengths = values, equation.params["fft_lengths"]
    (terms,) = bound(equation, [jnp.abs(x).astype(x.dtype)])
    largest = jnp.abs(terms).max(axis=tuple(range(-len(lengths), 0)), keepdims=True)
    return [run.by_terms(value, largest, math.ceil(math.log2(max(2, math.prod(lengths))))) for value in bound(equation, values)]


def _multiplied(run: Perturbing, equation: Any, name: str, values: list[Any]) -> list[Any]:
    """Perturb products of n numbers by n - 1 roundings."""
    axes = equation.params["axes"] if name == "reduce_prod" else (equation.params["axis"],)
    return [run.relatively(value, max(0, math.prod(values[0].shape[axis] for axis in axes) - 1)) for value in bound(equation, values)]


def _running_logarithm(run: Perturbing, equation: Any, name: str, values: list[Any]) -> list[Any]:
    """Perturb cumulative log-sum-exp: an error of a number is multiplied by the number's share of the sum."""
    (x,), (result,) = values, bound(equation, values)
    (weighted,) = bound(equation, [x + jnp.log(jnp.abs(x))])
    shares = jnp.nan_to_num(jnp.exp(weighted - result), nan=0.0, posinf=0.0, neginf=0.0)
    size = jnp.nan_to_num(jnp.abs(result), nan=0.0, posinf=0.0, neginf=0.0)
    return [run.by_terms(result, shares + size + 1, x.shape[equation.params["axis"]])]


def _remainder(run: Perturbing, equation: Any, name: str, values: list[Any]) -> list[Any]:
    """Perturb a remainder like a difference; a remainder from which nothing is subtracted is exact."""
    return [run.by_terms(value, (jnp.abs(values[0]) + jnp.abs(value)) * (value != values[0]), 2) for value in bound(equation, values)]


def _of_rounded_arguments(run: Perturbing, equation: Any, name: str, values: list[Any]) -> list[Any]:
    """Perturb the arguments and the result of a function: near a root, formulas with recurrence or reflection have such errors."""
    # The first argument of a polygamma function is its order, an integer.
    given = [value if name == "polygamma" and not place else run.relatively(value, 2) for place, value in enumerate(values)]
    return [run.relatively(value, ELEMENTARY) for value in bound(equation, given)]


def _multiplied_in_places(run: Perturbing, equation: Any, name: str, values: list[Any]) -> list[Any]:
    """Perturb products of scattered numbers; the number of factors is counted by scattering ones."""
    operand, places, updates = values
    numbers = equation.params["dimension_numbers"]
    counts = lax.scatter_add(jnp.zeros(operand.shape), places, jnp.ones(updates.shape), numbers, mode=equation.params["mode"])
    return [run.relatively(value, counts) for value in bound(equation, values)]


RULES: dict[str, Rule] = {
    **dict.fromkeys(STABLE, _of_perturbed),
    **dict.fromkeys(("cumprod", "reduce_prod"), _multiplied),
    **dict.fromkeys(("digamma", "erf_inv", "igamma_grad_a", "lgamma", "polygamma", "regularized_incomplete_beta", "zeta"), _of_rounded_arguments),
    "cumlogsumexp": _running_logarithm,
    "fft": _transformed,
    "householder_product": _reflected,
    "rem": _remainder,
    "scatter_mul": _multiplied_in_places,
}
"""The rule for each primitive, by the primitive's name."""

MODULI = frozenset({"abs", "sign"})
"""Primitives that are exact for real numbers, but compute the modulus of complex numbers."""

COMPLEX = np.dtype(np.complex128)
