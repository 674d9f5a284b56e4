r"""PyTorch's distances between rows and gradients of margin losses, written as elementary steps.

.. math:: d = \Big(\sum_k |x_k - y_k|^p\Big)^{1/p}, \qquad
    \frac{\partial d}{\partial x_k} = \operatorname{sgn}(x_k - y_k) \Big(\frac{|x_k - y_k|}{d}\Big)^{p-1}
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def vector_norm(x: Tensor, order: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Return the norm of the given order along some axes."""
    dims = list(range(x.dim())) if dim is None else dim
    if order == 0:
        return (x != 0).to(x.abs().dtype).sum(dims, keepdim)
    if order == 2:
        sizes = x.abs()
        return (sizes * sizes).sum(dims, keepdim).sqrt()
    if order == 1:
        return x.abs().sum(dims, keepdim)
    if math.isinf(order):
        return x.abs().amax(dims, keepdim) if order > 0 else x.abs().amin(dims, keepdim)
    return (x.abs() ** order).sum(dims, keepdim) ** (1 / order)


def distances(x: Tensor, y: Tensor, order: float, mode: Any) -> Tensor:
    """Return the distances ``(..., n, m)`` between each row of ``x``, ``(..., n, k)``, and each row of ``y``, ``(..., m, k)``."""
    return vector_norm(x.unsqueeze(-2) - y.unsqueeze(-3), order, -1)


def distances_backward(grad: Tensor, x: Tensor, y: Tensor, order: float, distance: Tensor) -> Tensor:
    """Return the gradient of :func:`distances` with respect to ``x``."""
    return (grad.unsqueeze(-1) * _slope(x.unsqueeze(-2) - y.unsqueeze(-3), distance, order)).sum(-2)


def own_distances(x: Tensor, order: float = 2.0) -> Tensor:
    """Return the distances between the rows of ``x``, ``(n, k)``, for each pair of rows once."""
    first, second = torch.triu_indices(len(x), len(x), 1, device=x.device)
    return vector_norm(x[first] - x[second], order, -1)


def own_distances_backward(grad: Tensor, x: Tensor, order: float, distance: Tensor) -> Tensor:
    """Return the gradient of :func:`own_distances` with respect to ``x``."""
    first, second = torch.triu_indices(len(x), len(x), 1, device=x.device)
    share = grad.unsqueeze(-1) * _slope(x[first] - x[second], distance, order)
    return torch.zeros_like(x).index_add(0, first, share).index_add(0, second, -share)


def _slope(difference: Tensor, distance: Tensor, order: float) -> Tensor:
    size = difference.abs()
    if order == 0:
        return torch.zeros_like(difference)
    if order == 1:
        return difference.sgn()
    if math.isinf(order):
        return difference.sgn() * (size == size.amax(-1, keepdim=True))
    whole = distance.unsqueeze(-1)
    if order == 2:
        return torch.where(whole == 0, 0.0, difference / whole)
    return torch.where(whole == 0, 0.0, difference.sgn() * size ** (order - 1) / whole ** (order - 1))


def multi_margin_backward(grad: Tensor, x: Tensor, target: Tensor, order: Any = 1, margin: Any = 1, weight: Any = None, reduction: int = 1) -> Tensor:
    """Return the gradient of ``sum_j max(0, margin - x[target] + x[j])^p / classes``."""
    rows, target = x.reshape(-1, x.shape[-1] if x.dim() else 1), target.reshape(-1)
    distance = margin - rows.gather(1, target.unsqueeze(1)) + rows
    other = torch.arange(rows.shape[1], device=x.device) != target.unsqueeze(1)
    slope = torch.where((distance > 0) & other, 2 * distance if order == 2 else torch.ones_like(distance), 0.0) / rows.shape[1]
    if weight is not None:
        slope = slope * weight[target].unsqueeze(1)
    return _to_targets(grad, x, slope, target.unsqueeze(1), -slope.sum(1, keepdim=True), reduction)


def multilabel_margin_backward(grad: Tensor, x: Tensor, target: Tensor, reduction: int, is_target: Tensor) -> Tensor:
    """Return the gradient of ``sum_ij max(0, 1 - (x[target_j] - x[i])) / classes``, for targets j before the first -1 and all other classes i."""
    rows, target, is_target = (value.reshape(-1, x.shape[-1] if x.dim() else 1) for value in (x, target, is_target))
    valid = (target >= 0).long().cumprod(1) > 0
    picked = target.clamp(min=0)
    distance = 1 - rows.gather(1, picked).unsqueeze(2) + rows.unsqueeze(1)
    hit = (distance > 0) & valid.unsqueeze(2) & (is_target == 0).unsqueeze(1)
    shares = hit.to(x.dtype) / rows.shape[1]
    return _to_targets(grad, x, shares.sum(1), picked, -shares.sum(2), reduction)


def _to_targets(grad: Tensor, x: Tensor, slope: Tensor, target: Tensor, own: Tensor, reduction: int) -> Tensor:
    """Return a loss's gradient from its slopes for all classes; the slopes ``own`` are added at the targets."""
    slope = slope.scatter_add(1, target, own)
    grad = grad.reshape(-1, 1) if grad.numel() > 1 or not reduction else grad.reshape(1, 1)
    if reduction == 1:
        slope = slope / slope.shape[0]
    return (slope * grad).view(x.shape)


DISTANCES: dict[str, Callable[..., Any]] = {
    "_cdist_backward": distances_backward,
    "_cdist_forward": distances,
    "_pdist_backward": own_distances_backward,
    "_pdist_forward": own_distances,
    "linalg_vector_norm": vector_norm,
    "multi_margin_loss_backward": multi_margin_backward,
    "multilabel_margin_loss_backward": multilabel_margin_backward,
}
"""For ATen's names of operations, functions of the same arguments that consist of elementary steps."""
