"""PyTorch's fused operations written as elementary steps, forward and backward.

The formulas are the usual formulas, so that numbers cancel as in a subject's code: a variance is computed from the differences from the mean, and
``expm1`` as ``exp(x) - 1``. PyTorch's own decompositions cover many more operations; this module covers operations that PyTorch decomposes slowly, or
into other fused operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from crosscheck.references.pytorch.noise.distances import DISTANCES
from crosscheck.references.pytorch.noise.linear_algebra import matrix_exponential
from crosscheck.references.pytorch.noise.sampling import grid_sample, grid_sample_backward


def _count(x: Tensor, dim: Any) -> int:
    dims = range(x.dim()) if not x.dim() or dim is None or dim == [] else [dim] if isinstance(dim, int) else dim
    return math.prod(x.shape[d] for d in dims)


def _mean(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    total = x.sum() if dim is None else x.sum(dim, keepdim)
    return total / _count(x, dim)


def _var_mean(
    x: Tensor, dim: Any = None, unbiased: bool | None = None, keepdim: bool = False, *, correction: float | None = None
) -> tuple[Tensor, Tensor]:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    dims = list(range(x.dim())) if dim is None or dim == [] else dim
    degrees = (1 if unbiased is None else int(unbiased)) if correction is None else correction
    mean = _mean(x, dims, True)
    # PyTorch updates the mean with every number (Welford), so that each difference uses a differently rounded mean. A single number equals its mean.
    centred = x - (mean if _count(x, dims) == 1 else _rounded_anew(mean.expand_as(x)))
    var = (centred * centred).sum(dims, keepdim) / (_count(x, dims) - degrees)
    return var, mean.reshape(var.shape)


def _rounded_anew(x: Tensor) -> Tensor:
    """Return x * 3 / 3, which is x with two rounding errors."""
    return x * torch.full_like(x, 3) / 3


def _affine(x: Tensor, weight: Any, bias: Any, shape: Sequence[int]) -> Tensor:
    """Return ``x * weight + bias``, with ``weight`` and ``bias`` reshaped; either may be None."""
    x = x if weight is None else x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)


def _batch_norm(x: Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool, momentum: float, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    dims, shape = [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]
    if training:
        kept, (var, mean) = (mean, var), _var_mean(x, dims, correction=0)
        if kept[0] is not None:
            count = _count(x, dims)
            kept[0].copy_(kept[0] * (1 - momentum) + mean * momentum)
            kept[1].copy_(kept[1] * (1 - momentum) + var * (count / max(count - 1, 1)) * momentum)
    centred, inverse = x - mean.view(shape), (var + eps).rsqrt()
    output = _affine(centred * inverse.view(shape), weight, bias, shape)
    return (output, mean, inverse) if training else (output, x.new_zeros(0), x.new_zeros(0))


def _batch_norm_backward(  # noqa: PLR0913, PLR0917 - PyTorch's own signature
    grad: Tensor, x: Tensor, weight: Any, mean: Any, var: Any, saved_mean: Any, saved_inverse: Any, training: bool, eps: float, mask: Any
) -> tuple[Any, ...]:
    dims, shape = [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]
    if training:
        mean, inverse = saved_mean, saved_inverse
    else:
        inverse = (var + eps).rsqrt()
    normalised = (x - mean.view(shape)) * inverse.view(shape)
    grad_bias, grad_weight = grad.sum(dims), (grad * normalised).sum(dims)
    slope = (inverse if weight is None else inverse * weight).view(shape)
    grad_input = grad
    if training:
        count = _count(x, dims)
        grad_input = grad - (grad_bias / count).view(shape) - normalised * (grad_weight / count).view(shape)
    results = (grad_input * slope, grad_weight, grad_bias)
    return tuple(result if wanted else None for result, wanted in zip(results, mask, strict=True))


def _layer_norm(x: Tensor, shape: Any, weight: Any, bias: Any, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    dims = list(range(x.dim() - len(shape), x.dim()))
    mean = _mean(x, dims, True)
    centred = x - mean
    inverse = (_mean(centred * centred, dims, True) + eps).rsqrt()
    # As in fused kernels, (x - mean) * inverse is multiplied out.
    return _affine(x * inverse - mean * inverse, weight, bias, shape), mean, inverse


def _layer_norm_backward(grad: Tensor, x: Tensor, shape: Any, mean: Tensor, inverse: Tensor, weight: Any, bias: Any, mask: Any) -> tuple[Any, ...]:
    dims, outer = list(range(x.dim() - len(shape), x.dim())), list(range(x.dim() - len(shape)))
    normalised = x * inverse - mean * inverse
    slope = grad if weight is None else grad * weight
    grad_input = _grad_of_normalisation(slope, x, normalised, inverse, dims)
    grad_weight = (grad * normalised).sum(outer) if mask[1] and outer else grad * normalised
    grad_bias = grad.sum(outer) if mask[2] and outer else grad
    return tuple(result if wanted else None for result, wanted in zip((grad_input, grad_weight, grad_bias), mask, strict=True))


def _grad_of_normalisation(slope: Tensor, x: Tensor, normalised: Tensor, inverse: Tensor, dims: list[int]) -> Tensor:
    if _count(x, dims) == 1:
        # The gradient of a single number is 0, apart from rounding errors: it consists of differences of equal numbers.
        return (_rounded_anew(slope) - slope) * inverse + slope * inverse * (_rounded_anew(x) * inverse - x * inverse)
    return (slope - _mean(slope, dims, True) - normalised * _mean(slope * normalised, dims, True)) * inverse


def _group_norm(
    x: Tensor, weight: Any, bias: Any, batch: int, channels: int, positions: int, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    rows = x.reshape(batch, groups, channels // groups, positions)
    var, mean = _var_mean(rows, [2, 3], correction=0, keepdim=True)
    inverse = (var + eps).rsqrt()
    output = _affine(rows * inverse - mean * inverse, weight, bias, [1, groups, channels // groups, 1])
    return output.reshape(x.shape), mean.reshape(batch, groups), inverse.reshape(batch, groups)


def _group_norm_backward(  # noqa: PLR0913, PLR0917 - PyTorch's own signature
    grad: Tensor, x: Tensor, mean: Any, inverse: Any, weight: Any, batch: int, channels: int, positions: int, groups: int, mask: Any
) -> tuple[Any, ...]:
    shape = (batch, groups, channels // groups, positions)
    rows, given = x.reshape(shape), grad.reshape(shape)
    mean, inverse = mean.reshape(batch, groups, 1, 1), inverse.reshape(batch, groups, 1, 1)
    normalised = rows * inverse - mean * inverse
    slope = given if weight is None else given * weight.reshape(1, groups, channels // groups, 1)
    grad_input = _grad_of_normalisation(slope, rows, normalised, inverse, [2, 3])
    # Only wanted gradients are computed: with many runs in one batch, a sum over the batch would mix the runs.
    grad_weight = (given * normalised).sum([0, 3]).reshape(-1) if mask[1] else None
    return grad_input.reshape(x.shape) if mask[0] else None, grad_weight, given.sum([0, 3]).reshape(-1) if mask[2] else None


def _softplus(x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    scaled = x * beta
    return torch.where(scaled > threshold, x, (scaled.clamp(min=0) + (1 + (-scaled.abs()).exp()).log()) / beta)


def _elu(x: Tensor, alpha: Any = 1, scale: Any = 1, input_scale: Any = 1) -> Tensor:
    return torch.where(x > 0, x * scale, ((x.clamp(max=0) * input_scale).exp() - 1) * alpha * scale)


def _elu_backward(grad: Tensor, alpha: Any, scale: Any, input_scale: Any, of_result: bool, x: Tensor) -> Tensor:
    # Code may compute the slope from a cached result; far below zero, result + alpha cancels.
    below = x if of_result else ((x.clamp(max=0) * input_scale).exp() - 1) * alpha * scale
    below = (below + alpha * scale) * input_scale
    return torch.where(x > 0, grad * scale, grad * below)


def _softmax(x: Tensor, dim: int, half: bool) -> Tensor:
    if not x.numel():
        return x.clone()
    exponentials = (x - x.amax(dim, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim, keepdim=True)


def _log_softmax(x: Tensor, dim: int, half: bool) -> Tensor:
    if not x.dim() or not x.numel():
        return x - x
    # Of the usual formulas, a fold of logaddexp has the largest rounding error: each of its steps is rounded at the size of the result.
    return x - x.logcumsumexp(dim).narrow(dim, -1, 1)


def _embedding_backward(grad: Tensor, ids: Tensor, rows: int, padding: int, by_frequency: bool) -> Tensor:
    sums = torch.ops.aten.embedding_dense_backward(grad, ids, rows, padding, False)
    return sums / ids.flatten().bincount(minlength=rows).clamp(min=1)[:, None] if by_frequency else sums


def _scatter(x: Tensor, dim: int, index: Tensor, source: Any, *, reduce: str) -> Tensor:
    source = source if isinstance(source, Tensor) else x.new_full(index.shape, source)
    return x.scatter_reduce(dim, index, source, {"add": "sum", "multiply": "prod"}[reduce])


def _sigmoid(x: Tensor) -> Tensor:
    # Of the usual formulas, this has the largest rounding error: far below zero the sum cancels.
    return 0.5 * (1 + (0.5 * x).tanh())


STEPS: dict[str, Callable[..., Any]] = {
    **DISTANCES,
    "_efficientzerotensor": torch.zeros,
    "grid_sampler_2d": grid_sample,
    "grid_sampler_2d_backward": grid_sample_backward,
    "grid_sampler_3d": grid_sample,
    "grid_sampler_3d_backward": grid_sample_backward,
    "linalg_matrix_exp": matrix_exponential,
    "mean": _mean,
    "var": lambda *args, **options: _var_mean(*args, **options)[0],
    "std": lambda *args, **options: _var_mean(*args, **options)[0].sqrt(),
    "var_mean": _var_mean,
    "native_batch_norm": _batch_norm,
    "native_batch_norm_backward": _batch_norm_backward,
    "lerp": lambda start, end, weight: start * (1 - weight) + end * weight,
    "addcmul": lambda x, a, b, *, value=1: x + a * b * value,
    "addcdiv": lambda x, a, b, *, value=1: x + a / b * value,
    "sigmoid": _sigmoid,
    "sigmoid_backward": lambda grad, y: grad * y * (1 - y),
    "tanh_backward": lambda grad, y: grad * (1 - y * y),
    "square": lambda x: x * x,
    "expm1": lambda x: x.exp() - 1,
    "log1p": lambda x: (1 + x).log(),
    "elu": _elu,
    "elu_backward": _elu_backward,
    "native_group_norm": _group_norm,
    "native_group_norm_backward": _group_norm_backward,
    "rrelu_with_noise": lambda x, noise, lower=1 / 8, upper=1 / 3, *others, **options: torch.where(x > 0, x, x * ((lower + upper) / 2)),
    "softplus": _softplus,
    "softplus_backward": lambda grad, x, beta, threshold: torch.where(x * beta > threshold, grad, grad * _sigmoid(x * beta)),
    "native_layer_norm": _layer_norm,
    "native_layer_norm_backward": _layer_norm_backward,
    "embedding_dense_backward": _embedding_backward,
    "scatter": _scatter,
    "_softmax": _softmax,
    "_softmax_backward_data": lambda grad, p, dim, dtype: p * (grad - (grad * p).sum(dim, keepdim=True)),
    "_log_softmax": _log_softmax,
    "_log_softmax_backward_data": lambda grad, logarithm, dim, dtype: grad - logarithm.exp() * grad.sum(dim, keepdim=True),
}
"""For ATen's names of operations, functions of the same arguments that consist of elementary steps."""
