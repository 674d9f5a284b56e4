r"""Linear algebra in PyTorch: rounding errors of backward stable algorithms are equivalent to errors of the input.

A backward stable algorithm returns the exact result of a slightly perturbed input (Higham, Accuracy and Stability, 2002, chapters 9, 10, 19, 20). So
the input is perturbed, and the operation propagates the perturbation to the result, which accounts for the condition number of the matrix. The
perturbation of an element :math:`a_{ij}` of a matrix with n rows or columns, in multiples of one relative rounding error, is

- for an elimination: :math:`\|A\|_F / \sqrt{n}`, which is :math:`\sqrt{n}` times the root mean square of the elements;
- for eigenvalues and singular values, which take many rotations: :math:`\|A\|_F`;
- for a QR factorisation, which takes many reflections: the norm of the column; for a right-hand side: this norm over :math:`\sqrt{n}`;
- for a Cholesky factorisation: :math:`\sqrt{a_{ii} a_{jj}}`;
- for a substitution with a triangular factor: :math:`\sqrt{n} |a_{ij}|`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from crosscheck.references.noise import Perturbing

Size = Callable[[torch.Tensor], Any]


_by_rotations = partial(torch.linalg.vector_norm, dim=(-2, -1), keepdim=True)
_by_reflections = partial(torch.linalg.vector_norm, dim=-2, keepdim=True)


def _normwise(a: torch.Tensor) -> Any:
    return _by_rotations(a) / math.sqrt(max(1, *a.shape[-2:]))


def _by_columns(a: torch.Tensor) -> Any:
    return _by_reflections(a) / math.sqrt(max(1, a.shape[-2]))


def _by_diagonal(a: torch.Tensor) -> torch.Tensor:
    root = a.diagonal(dim1=-2, dim2=-1).abs().sqrt()
    return root.unsqueeze(-1) * root.unsqueeze(-2)


def _by_elements(a: torch.Tensor) -> torch.Tensor:
    return a.abs() * math.sqrt(max(1, a.shape[-1]))


def _by_whole(b: torch.Tensor) -> Any:
    """Return the sizes of the perturbations of a right-hand side, which may be a single vector."""
    return b.abs() if b.dim() < 2 else _by_columns(b)


STABLE: Mapping[str, Mapping[int, Size]] = {
    "_linalg_det": {0: _normwise},
    "_linalg_eigh": {0: _by_rotations},
    "_linalg_slogdet": {0: _normwise},
    "_linalg_solve_ex": {0: _normwise, 1: _by_whole},
    "_linalg_svd": {0: _by_rotations},
    "cholesky": {0: _by_diagonal},
    "cholesky_inverse": {0: _by_elements},
    "cholesky_solve": {0: _by_columns, 1: _by_elements},
    "geqrf": {0: _by_reflections},
    "linalg_cholesky_ex": {0: _by_diagonal},
    "linalg_eig": {0: _by_rotations},
    "linalg_inv_ex": {0: _normwise},
    "linalg_ldl_factor_ex": {0: _normwise},
    "linalg_ldl_solve": {0: _by_elements, 2: _by_columns},
    "linalg_lstsq": {0: _by_reflections, 1: _by_whole},
    "linalg_lu": {0: _normwise},
    "linalg_lu_factor_ex": {0: _normwise},
    "linalg_lu_solve": {0: _by_elements, 2: _by_columns},
    "linalg_pinv": {0: _by_rotations},
    "linalg_qr": {0: _by_reflections},
    "linalg_solve_triangular": {0: _by_elements},
    "triangular_solve": {1: _by_elements},
}
"""For each backward stable operation, the positions of its operands, with functions that return the sizes of their perturbations."""


def of_perturbed(noise: Perturbing, func: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return the results for perturbed operands; one more rounding perturbs each result."""
    sizes = STABLE[name]
    given = [noise.by_terms(value, sizes[place](value), 1) if place in sizes else value for place, value in enumerate(args)]
    results = func(*given, **kwargs)
    return tuple(noise.relatively(value, 1) for value in results) if isinstance(results, tuple) else noise.relatively(results, 1)


def reflected(noise: Perturbing, func: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    r"""Perturb a product of Householder reflections :math:`I - \tau v v^T`.

    The operation returns the sums of absolute terms if it is applied to :math:`-|\tau|` and :math:`|v|`.
    """
    reflectors, tau, *others = args
    sizes = [value.abs().to(value.dtype) if isinstance(value, torch.Tensor) else value for value in others]
    terms = func(reflectors.abs().to(reflectors.dtype), -tau.abs().to(tau.dtype), *sizes, **kwargs)
    return noise.by_terms(func(*args, **kwargs), terms, math.sqrt(reflectors.shape[-2] + 2 * tau.shape[-1]))


_TERMS = 18
"""Number of terms of the exponential series. If the norm of the matrix is at most 1, the remainder is below 1e-17."""


def matrix_exponential(a: torch.Tensor) -> torch.Tensor:
    r"""Return :math:`e^A = (e^{A / 2^s})^{2^s}` by the exponential series; s is chosen so that the norm of :math:`A / 2^s` is at most 1."""
    norm = float(a.abs().sum(-2).max()) if a.numel() else 0.0
    squarings = max(0, math.ceil(math.log2(norm))) if norm and math.isfinite(norm) else 0
    scaled, one = a * 2.0**-squarings, torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    result = one.expand_as(a)
    for k in range(_TERMS, 0, -1):
        result = one + scaled @ result / k
    for _ in range(squarings):
        result = result @ result
    return result
