r"""PyTorch's sampling of an image at given positions (``grid_sample``), written as elementary steps, forward and backward.

A sample is a weighted sum of some pixels, the taps along each axis; the weights of all axes are multiplied. The position is an input, too: it is
converted to pixels and reflected or clamped at the border. Its gradient follows from the derivatives of the weights:

.. math:: y = \sum_{t} x_t \prod_d w_d(s_d), \qquad \frac{\partial y}{\partial s_d} = \sum_t x_t w_d'(s_d) \prod_{e \ne d} w_e(s_e).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_NEAREST, _CUBIC = 1, 2
_ZEROS, _BORDER = 0, 1
_FAR = 2.0**31
"""Positions are clamped to this range before they are converted to integers."""

_A = -0.75
"""The parameter of cubic convolution (Keys, 1981)."""


@dataclass(frozen=True)
class _Tap:
    """A tap along an axis, for every sample: the pixel's index, whether the pixel is inside the image, its weight, and the weight's derivative."""

    index: Tensor
    present: Tensor
    weight: Tensor
    slope: Tensor


def grid_sample(x: Tensor, grid: Tensor, mode: int, padding: int, aligned: bool) -> Tensor:
    """Return ``x``, ``(batch, channels, ...)``, sampled at the positions ``grid``, ``(batch, ..., axes)``; the last axis of ``x`` comes first."""
    return _sampled(x, _taps(x.shape[2:], grid, mode, padding, aligned), None)


def grid_sample_backward(grad: Tensor, x: Tensor, grid: Tensor, mode: int, padding: int, aligned: bool, wanted: Sequence[bool]) -> tuple[Any, Any]:
    """Return the gradient with respect to the input, or None if it is not wanted, and the gradient with respect to the positions."""
    axes = _taps(x.shape[2:], grid, mode, padding, aligned)
    grad_grid = torch.stack([(_sampled(x, axes, axis) * grad).sum(1) for axis in reversed(range(len(axes)))], -1)
    if mode == _NEAREST:
        grad_grid = torch.zeros_like(grid)
    if not wanted[0]:
        return None, grad_grid
    grad_x = torch.zeros_like(x).flatten(2)
    for taps in itertools.product(*axes):
        place, present, weight = _place(x.shape[2:], taps, None)
        share = torch.where(present.unsqueeze(1), grad * weight.unsqueeze(1), 0.0)
        grad_x = grad_x.scatter_add(2, place.flatten(1).unsqueeze(1).expand(-1, x.shape[1], -1), share.flatten(2))
    return grad_x.view(x.shape), grad_grid


def _sampled(x: Tensor, axes: Sequence[Sequence[_Tap]], along: int | None) -> Tensor:
    """Return the samples or, if ``along`` is an axis, their derivatives with respect to the position on this axis."""
    result: Any = None
    for taps in itertools.product(*axes):
        place, present, weight = _place(x.shape[2:], taps, along)
        picked = x.flatten(2).gather(2, place.flatten(1).unsqueeze(1).expand(-1, x.shape[1], -1))
        picked = picked.view(*x.shape[:2], *place.shape[1:])
        term = torch.where(present.unsqueeze(1), picked * weight.unsqueeze(1), 0.0)
        result = term if result is None else result + term
    return result


def _place(shape: Sequence[int], taps: Sequence[_Tap], along: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the flat index of the pixel at the given taps, whether it is inside the image, and its weight (or the derivative along ``along``)."""
    place, present, weight = torch.zeros_like(taps[0].index), torch.ones_like(taps[0].present), None
    for axis, tap in enumerate(taps):
        place, present = place * shape[axis] + tap.index, present & tap.present
        own = tap.slope if axis == along else tap.weight
        weight = own if weight is None else weight * own
    assert weight is not None
    return place, present, weight


def _taps(shape: Sequence[int], grid: Tensor, mode: int, padding: int, aligned: bool) -> list[list[_Tap]]:
    """Return the taps of every axis of the input; the last axis comes first in the grid's coordinates."""
    return [_axis_taps(size, grid[..., -1 - axis], mode, padding, aligned) for axis, size in enumerate(shape)]


def _axis_taps(size: int, coordinate: Tensor, mode: int, padding: int, aligned: bool) -> list[_Tap]:
    position = (coordinate + 1) / 2 * (size - 1) if aligned else ((coordinate + 1) * size - 1) / 2
    factor: Any = (size - 1) / 2 if aligned else size / 2
    if mode != _CUBIC:
        position, turned = _folded(position, size, padding, aligned)
        factor = factor * turned
    start = position.round() if mode == _NEAREST else position.floor()
    # Integers are not perturbed; a position of NaN counts as outside.
    part, whole = position - start, start.nan_to_num(-1.0).clamp(-_FAR, _FAR).long()
    one, zero = torch.ones_like(part), torch.zeros_like(part)
    if mode == _NEAREST:
        offsets, weights, slopes = [0], [one], [zero]
    elif mode == _CUBIC:
        offsets = [-1, 0, 1, 2]
        weights = [_far(part + 1), _near(part), _near(1 - part), _far(2 - part)]
        slopes = [_far_slope(part + 1), _near_slope(part), -_near_slope(1 - part), -_far_slope(2 - part)]
    else:
        offsets, weights, slopes = [0, 1], [1 - part, part], [-one, one]
    taps = []
    for offset, weight, slope in zip(offsets, weights, slopes, strict=True):
        index = whole + offset
        if mode == _CUBIC:
            index = _folded(index.to(part.dtype), size, padding, aligned)[0].round().long()
        taps.append(_Tap(index.clamp(0, size - 1), (index >= 0) & (index < size), weight, slope * factor))
    return taps


def _folded(position: Tensor, size: int, padding: int, aligned: bool) -> tuple[Tensor, Tensor]:
    """Return positions after they are reflected or clamped into the image, and the derivative of this change (1, -1 or 0)."""
    one = torch.ones_like(position)
    if padding == _ZEROS:
        return position, one
    turned = one
    if padding != _BORDER:
        low, span = (0.0, float(size - 1)) if aligned else (-0.5, float(size))
        if not span:
            return torch.zeros_like(position), torch.zeros_like(one)
        distance = (position - low).abs()
        rounds = (distance / span).floor()
        within = distance - rounds * span
        even = rounds.long() % 2 == 0
        turned = torch.where(position < low, -one, one) * torch.where(even, one, -one)
        position = torch.where(even, within + low, span - within + low)
    inside = (position > 0) & (position < size - 1)
    return position.clamp(0, size - 1), torch.where(inside, turned, 0.0)


def _near(d: Tensor) -> Tensor:
    return ((_A + 2) * d - (_A + 3)) * d * d + 1


def _far(d: Tensor) -> Tensor:
    return ((_A * d - 5 * _A) * d + 8 * _A) * d - 4 * _A


def _near_slope(d: Tensor) -> Tensor:
    return (3 * (_A + 2) * d - 2 * (_A + 3)) * d


def _far_slope(d: Tensor) -> Tensor:
    return (3 * _A * d - 10 * _A) * d + 8 * _A
