r"""Interpolation in PyTorch: its weights are computed from rounded positions.

A sample at the position s between two pixels is :math:`(1 - \lambda) x_i + \lambda x_{i+1}` with :math:`\lambda = s - i`. The rounding error of the
position is relative to s, even if the weight :math:`\lambda` is small; it changes the result by :math:`s |x_{i+1} - x_i|` times the unit roundoff. So
the sum of absolute terms is :math:`\sum_i (|w_i| + (1 + |s|) |\partial w_i / \partial s|) |x_i|` for each axis. The backward pass uses the transposed
matrices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import torch

from crosscheck.references.noise import Perturbing, names

_Sizes: TypeAlias = tuple[torch.Tensor, torch.Tensor]

_ROUNDINGS = 4
"""Number of roundings for each axis: of the step between samples, of the position, of the weight, and of the product with the weight."""

_NEARLY = 2.0**-10
"""A generous bound on a position's rounding error. A pixel up to this much beyond the reach of the weights may still get a weight."""


def interpolated(noise: Perturbing, func: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return the result of an interpolation, or of its backward pass, perturbed relative to the sum of the absolute terms."""
    result, backward = func(*args, **kwargs), name.endswith("_backward")
    few, many = (result, args[0]) if backward else (args[0], result)
    place = 3 if backward else 2
    axes = _matrices(name, few.shape[2:], many.shape[2:], bool(args[place]), (*args[place + 1 :], *kwargs.values()))
    # terms: sums with exact weights; moved: sums with the position's error on one of the axes so far.
    terms, moved = args[0].abs(), torch.zeros_like(args[0])
    for axis, (weights, slopes) in enumerate(axes):
        moved = _along(moved, weights, axis, backward) + _along(terms, slopes, axis, backward)
        terms = _along(terms, weights, axis, backward)
    return noise.by_terms(result, terms + moved, math.sqrt(_ROUNDINGS * (result.dim() - 2)))


def _along(terms: torch.Tensor, matrix: torch.Tensor, axis: int, backward: bool) -> torch.Tensor:
    return torch.tensordot(terms, matrix.to(terms.device), dims=([2 + axis], [0 if backward else 1])).movedim(-1, 2 + axis)


def _matrices(name: str, given: Sequence[int], wanted: Sequence[int], aligned: bool, scales: Sequence[Any]) -> list[_Sizes]:
    flat = [one for scale in scales for one in (scale if isinstance(scale, list | tuple) else [scale])]
    flat += [None] * len(given)
    kind = "cubic" if "cubic" in name else "linear"
    return [_matrix(kind, "_aa" in name, old, new, aligned, flat[axis]) for axis, (old, new) in enumerate(zip(given, wanted, strict=True))]


@cache
def _matrix(kind: str, smooth: bool, given: int, wanted: int, aligned: bool, scale: float | None) -> _Sizes:
    """Return the absolute weight of each pixel in each sample, and the weight's error, both ``(wanted, given)``."""
    if aligned:
        step = (given - 1) / (wanted - 1) if wanted > 1 else 0.0
        positions = torch.arange(wanted, dtype=torch.float64) * step
    else:
        step = 1 / scale if scale else given / wanted
        positions = (torch.arange(wanted, dtype=torch.float64) + 0.5) * step - 0.5
    reach = max(step, 1.0) if smooth else 1.0
    if kind == "linear" and not smooth:
        positions = positions.clamp(min=0.0)
    # Pixels beyond the edge repeat the pixel at the edge; if ``smooth``, they have no weight.
    margin = 3 * math.ceil(reach)
    distances = (torch.arange(-margin, given + margin, dtype=torch.float64) - positions[:, None]) / reach
    weights = _linear(distances) if kind == "linear" else _cubic(distances, -0.5 if smooth else -0.75)
    slopes = (distances.abs() < (1 if kind == "linear" else 2) + _NEARLY) * (1.0 if kind == "linear" else 1.5) / reach
    sizes = (1 + positions.abs())[:, None] * slopes
    if smooth:
        weights[:, :margin], weights[:, margin + given :] = 0.0, 0.0
        sizes[:, :margin], sizes[:, margin + given :] = 0.0, 0.0
        total = weights.sum(1, keepdim=True)
        weights, sizes = weights / total, sizes / total
    places = torch.arange(-margin, given + margin).clamp(0, given - 1)
    nothing = torch.zeros(wanted, given, dtype=torch.float64)
    return nothing.index_add(1, places, weights.abs()), nothing.index_add(1, places, sizes)


def _linear(distance: torch.Tensor) -> torch.Tensor:
    return (1 - distance.abs()).clamp(min=0.0)


def _cubic(distance: torch.Tensor, a: float) -> torch.Tensor:
    """Return the weights of cubic convolution (Keys, 1981)."""
    d = distance.abs()
    near, far = ((a + 2) * d - (a + 3)) * d * d + 1, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return torch.where(d <= 1, near, torch.where(d < 2, far, 0.0))


INTERPOLATIONS = sorted(
    f"{name}{backward}"
    for name in names("upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa")
    for backward in ("", "_backward")
)
"""ATen's names of the interpolations and their backward passes."""
