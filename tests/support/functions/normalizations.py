"""Normalisations: by mean and variance, by the mean of the squares, and by a norm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from crosscheck import Functions, Pair
from tests.support.functions.row import SAME, Array, Fault, Row

EPS = 1e-5


def standardised(x: Array, axes: tuple[int, ...], lost: int = 0) -> tuple[Array, Array]:
    """Return numbers of mean 0 and variance 1, and the factor that they got; the variance is a sum divided by how many they are, less ``lost``."""
    centred = x - x.mean(axis=axes, keepdims=True)
    count = math.prod(x.shape[axis] for axis in axes)
    factor = 1 / np.sqrt((centred * centred).sum(axis=axes, keepdims=True) / (count - lost) + EPS)
    return centred * factor, factor


def standardised_backward(grad: Array, hat: Array, factor: Array, axes: tuple[int, ...]) -> Array:
    """Return the gradient, less its parts along ones and along the standardised numbers."""
    mean, slope = grad.mean(axis=axes, keepdims=True), (grad * hat).mean(axis=axes, keepdims=True)
    return factor * (grad - mean - hat * slope)


def per_channel(values: Array, axes: int) -> Array:
    """Return values that are broadcast along the second of several axes."""
    return values.reshape(-1, *[1] * (axes - 2))


def batch_norm(x: Array, weight: Array, bias: Array) -> tuple[Array, Any]:
    axes = (0, *range(2, x.ndim))
    hat, factor = standardised(x, axes)
    return hat * per_channel(weight, x.ndim) + per_channel(bias, x.ndim), (hat, factor, weight, axes)


def batch_norm_backward(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    hat, factor, weight, axes = cache
    grad_input = standardised_backward(grad * per_channel(weight, grad.ndim), hat, factor, axes)
    return grad_input, (grad * hat).sum(axis=axes), grad.sum(axis=axes)


def batch_norm_of_a_sample(x: Array, weight: Array, bias: Array) -> tuple[Array, Any]:
    """Divide the variance by one less than how many numbers there are, as the running variance does."""
    axes = (0, *range(2, x.ndim))
    hat, factor = standardised(x, axes, lost=1)
    return hat * per_channel(weight, x.ndim) + per_channel(bias, x.ndim), (hat, factor, weight, axes)


def instance_norm(x: Array) -> tuple[Array, Any]:
    axes = tuple(range(2, x.ndim))
    hat, factor = standardised(x, axes)
    return hat, (hat, factor, axes)


def instance_norm_backward(grad: Array, cache: Any) -> Array:
    return standardised_backward(grad, *cache)


def instance_norm_backward_of_a_batch(grad: Array, cache: Any) -> Array:
    """Take the means over the batch, too."""
    hat, factor, axes = cache
    return standardised_backward(grad, hat, factor, (0, *axes))


def group_norm(x: Array, weight: Array, bias: Array, groups: int) -> tuple[Array, Any]:
    hat, factor = standardised(x.reshape(len(x), groups, -1), (2,))
    hat = hat.reshape(x.shape)
    return hat * per_channel(weight, x.ndim) + per_channel(bias, x.ndim), (hat, factor, weight, groups)


def group_norm_backward(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    hat, factor, weight, groups = cache
    inner, apart = grad * per_channel(weight, grad.ndim), (len(grad), groups, -1)
    grad_input = standardised_backward(inner.reshape(apart), hat.reshape(apart), factor, (2,)).reshape(grad.shape)
    axes = (0, *range(2, grad.ndim))
    return grad_input, (grad * hat).sum(axis=axes), grad.sum(axis=axes)


def group_norm_interleaved(x: Array, weight: Array, bias: Array, groups: int) -> tuple[Array, Any]:
    """Put every other channel into a group instead of neighbours."""
    order = np.arange(x.shape[1]).reshape(-1, groups).T.ravel()
    _, (hat, factor, _, _) = group_norm(x[:, order], weight, bias, groups)
    hat = hat[:, order.argsort()]
    return hat * per_channel(weight, x.ndim) + per_channel(bias, x.ndim), (hat, factor, weight, groups)


def layer_norm(x: Array, weight: Array, bias: Array) -> tuple[Array, Any]:
    axes = tuple(range(x.ndim - weight.ndim, x.ndim))
    hat, factor = standardised(x, axes)
    return hat * weight + bias, (hat, factor, weight, axes)


def layer_norm_backward(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    hat, factor, weight, axes = cache
    samples = tuple(range(grad.ndim - weight.ndim))
    return standardised_backward(grad * weight, hat, factor, axes), (grad * hat).sum(axis=samples), grad.sum(axis=samples)


def layer_norm_backward_unweighted(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Multiply by the weights after the means are taken, not before."""
    hat, factor, weight, axes = cache
    _, *others = layer_norm_backward(grad, cache)
    return weight * standardised_backward(grad, hat, factor, axes), others[0], others[1]


def rms_norm(x: Array, weight: Array) -> tuple[Array, Any]:
    factor = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + EPS)
    return x * factor * weight, (x * factor, factor, weight)


def rms_norm_backward(grad: Array, cache: Any) -> tuple[Array, Array]:
    hat, factor, weight = cache
    inner = grad * weight
    grad_input = factor * (inner - hat * (inner * hat).mean(axis=-1, keepdims=True))
    return grad_input, (grad * hat).sum(axis=tuple(range(grad.ndim - 1)))


def rms_norm_rooted_first(x: Array, weight: Array) -> tuple[Array, Any]:
    """Add the epsilon to the root, not to what is under it."""
    factor = 1 / (np.sqrt((x * x).mean(axis=-1, keepdims=True)) + EPS)
    return x * factor * weight, (x * factor, factor, weight)


def frobenius(x: Array) -> tuple[Array, Any]:
    norm = np.sqrt((x * x).sum())
    return x / norm, (x / norm, norm)


def frobenius_backward(grad: Array, cache: Any) -> Array:
    y, norm = cache
    return (grad - y * (grad * y).sum()) / norm


def frobenius_by_row(x: Array) -> tuple[Array, Any]:
    """Take the norm of each sample by itself."""
    norm = np.sqrt((x * x).sum(axis=tuple(range(1, x.ndim)), keepdims=True))
    return x / norm, (x / norm, norm)


LEAST = 1e-12
"""The least that F.normalize divides by."""


def l1_normalise(x: Array) -> tuple[Array, Any]:
    norm = np.abs(x).sum(axis=1, keepdims=True)
    most = np.maximum(norm, LEAST)
    return x / most, (np.sign(x) * (norm >= LEAST), x / most, most)


def l1_normalise_backward(grad: Array, cache: Any) -> Array:
    slope, y, most = cache
    return (grad - slope * (grad * y).sum(axis=1, keepdims=True)) / most


def l1_normalise_signed(x: Array) -> tuple[Array, Any]:
    """Forget the absolute values."""
    _, cache = l1_normalise(x)
    return x / x.sum(axis=1, keepdims=True), cache


def l2_normalise(x: Array) -> tuple[Array, Any]:
    norm = np.sqrt((x * x).sum(axis=1, keepdims=True))
    most = np.maximum(norm, LEAST)
    return x / most, (norm >= LEAST, x / most, most)


def l2_normalise_backward(grad: Array, cache: Any) -> Array:
    free, y, most = cache
    return (grad - free * y * (grad * y).sum(axis=1, keepdims=True)) / most


def l2_normalise_backward_fixed(grad: Array, cache: Any) -> Array:
    """Take the norm for a constant."""
    return grad / cache[2]


ROWS = {
    "batch norm": Row(
        Pair(Functions(batch_norm, batch_norm_backward), nn.BatchNorm2d(3), [(4, 3, 5, 6)], SAME), Fault("output", forward=batch_norm_of_a_sample)
    ),
    "instance norm": Row(
        Pair(Functions(instance_norm, instance_norm_backward), nn.InstanceNorm2d(3), [(4, 3, 5, 6)]),
        Fault("grad_input", backward=instance_norm_backward_of_a_batch),
    ),
    "group norm": Row(
        Pair(Functions(group_norm, group_norm_backward, extra={"groups": 2}), nn.GroupNorm(2, 6), [(3, 6, 4, 5)], SAME),
        Fault("output", forward=group_norm_interleaved),
    ),
    "layer norm": Row(
        Pair(Functions(layer_norm, layer_norm_backward), nn.LayerNorm((5, 6)), [(4, 3, 5, 6)], SAME),
        Fault("grad_input", backward=layer_norm_backward_unweighted),
    ),
    "root mean square norm": Row(
        Pair(Functions(rms_norm, rms_norm_backward), nn.RMSNorm(8, EPS), [(4, 3, 8)]), Fault("output", forward=rms_norm_rooted_first)
    ),
    "Frobenius norm": Row(
        Pair(Functions(frobenius, frobenius_backward), lambda x: x / torch.linalg.vector_norm(x), [(4, 3, 5)]),
        Fault("output", forward=frobenius_by_row),
    ),
    "L1 norm": Row(
        Pair(Functions(l1_normalise, l1_normalise_backward), lambda x: F.normalize(x, 1, 1), [(4, 9)]), Fault("output", forward=l1_normalise_signed)
    ),
    "L2 norm": Row(
        Pair(Functions(l2_normalise, l2_normalise_backward), F.normalize, [(4, 9)]), Fault("grad_input", backward=l2_normalise_backward_fixed)
    ),
}
