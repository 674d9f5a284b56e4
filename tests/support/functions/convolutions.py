"""Convolutions in one to three axes, transposed ones, and those of each channel by itself."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from crosscheck import Functions
from tests.support.functions.row import Array
from tests.support.functions.windows import Geometry, along, placed, reaches, windows_of


def with_bias(output: Array, bias: Array) -> Array:
    return output + bias.reshape(-1, *[1] * (output.ndim - 2))


def bias_gradient(grad: Array) -> Array:
    return grad.sum(axis=(0, *range(2, grad.ndim)))


def grouped(x: Array, groups: int, kernel: int = 0) -> Array:
    """Return ``(batch, groups, channels, positions)``, followed by the numbers of the kernel if there are any."""
    return x.reshape(len(x), groups, x.shape[1] // groups, -1, *([kernel] if kernel else []))


def convolve(x: Array, weight: Array, bias: Array, how: Geometry) -> tuple[Array, Any]:
    """Multiply each window by ``weight (out, in / groups, *kernel)``."""
    size = weight.shape[2:]
    windows = windows_of(x, size, how)
    positions = windows.shape[2 : x.ndim]
    windows = grouped(windows, how.groups, math.prod(size))
    apart = weight.reshape(how.groups, len(weight) // how.groups, weight.shape[1], -1)
    output = np.einsum("ngcpk,gock->ngop", windows, apart).reshape(len(x), -1, *positions)
    return with_bias(output, bias), (windows, weight, x.shape, how)


def convolve_backward(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    windows, weight, shape, how = cache
    apart = weight.reshape(how.groups, len(weight) // how.groups, weight.shape[1], -1)
    from_windows = np.einsum("ngop,gock->ngcpk", grouped(grad, how.groups), apart)
    grad_input = placed(from_windows.reshape(*shape[:2], *grad.shape[2:], *weight.shape[2:]), shape[2:], how)
    grad_weight = np.einsum("ngop,ngcpk->gock", grouped(grad, how.groups), windows).reshape(weight.shape)
    return grad_input, grad_weight, bias_gradient(grad)


def convolve_transposed(x: Array, weight: Array, bias: Array, how: Geometry) -> tuple[Array, Any]:
    """Place each number times ``weight (in, out / groups, *kernel)`` on the output; windows that overlap are added."""
    size, axes = weight.shape[2:], x.ndim - 2
    apart = weight.reshape(how.groups, len(weight) // how.groups, weight.shape[1], -1)
    windows = np.einsum("ngip,giok->ngopk", grouped(x, how.groups), apart)
    steps = zip(x.shape[2:], along(how.stride, axes), along(how.padding, axes), reaches(size, how), along(how.more, axes), strict=True)
    longer = tuple((n - 1) * stride - 2 * padding + reach + more for n, stride, padding, reach, more in steps)
    output = placed(windows.reshape(len(x), -1, *x.shape[2:], *size), longer, how)
    return with_bias(output, bias), (x, weight, how)


def convolve_transposed_backward(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    x, weight, how = cache
    windows = windows_of(grad, weight.shape[2:], how)[(..., *(slice(n) for n in x.shape[2:]), *[slice(None)] * (x.ndim - 2))]
    windows = grouped(windows, how.groups, math.prod(weight.shape[2:]))
    apart = weight.reshape(how.groups, len(weight) // how.groups, weight.shape[1], -1)
    grad_input = np.einsum("ngopk,giok->ngip", windows, apart).reshape(x.shape)
    grad_weight = np.einsum("ngip,ngopk->giok", grouped(x, how.groups), windows).reshape(weight.shape)
    return grad_input, grad_weight, bias_gradient(grad)


def convolve_channels(x: Array, weight: Array, bias: Array, how: Geometry) -> tuple[Array, Any]:
    """Convolve each channel with its own kernel ``(channels, 1, *kernel)``, one number of the kernel after the other."""
    windows = windows_of(x, weight.shape[2:], how)
    output = np.zeros(windows.shape[: x.ndim], x.dtype)
    for place in np.ndindex(*weight.shape[2:]):
        output += windows[(..., *place)] * weight[(slice(None), 0, *place)].reshape(-1, *[1] * (x.ndim - 2))
    return with_bias(output, bias), (windows, weight, x.shape, how)


def convolve_channels_backward(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    windows, weight, shape, how = cache
    shares = np.zeros((*grad.shape, *weight.shape[2:]), grad.dtype)
    grad_weight = np.zeros_like(weight)
    for place in np.ndindex(*weight.shape[2:]):
        shares[(..., *place)] = grad * weight[(slice(None), 0, *place)].reshape(-1, *[1] * (grad.ndim - 2))
        grad_weight[(slice(None), 0, *place)] = bias_gradient(grad * windows[(..., *place)])
    return placed(shares, shape[2:], how), grad_weight, bias_gradient(grad)


def mix_channels(x: Array, weight: Array, bias: Array) -> tuple[Array, Any]:
    """Multiply the channels of each pixel by ``weight (out, in, 1, 1)``."""
    return with_bias(np.einsum("nchw,oc->nohw", x, weight[:, :, 0, 0]), bias), (x, weight)


def mix_channels_backward(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    x, weight = cache
    grad_weight = np.einsum("nohw,nchw->oc", grad, x)[:, :, None, None]
    return np.einsum("nohw,oc->nchw", grad, weight[:, :, 0, 0]), grad_weight, bias_gradient(grad)


def separable(x: Array, each: Array, each_bias: Array, mix: Array, mix_bias: Array, how: Geometry) -> tuple[Array, Any]:
    """Convolve each channel by itself, then mix the channels."""
    inner, first = convolve_channels(x, each, each_bias, how)
    output, second = mix_channels(inner, mix, mix_bias)
    return output, (first, second)


def separable_backward(grad: Array, cache: Any) -> tuple[Array, ...]:
    first, second = cache
    inner, *of_mix = mix_channels_backward(grad, second)
    return *convolve_channels_backward(inner, first), *of_mix


def convolution(**how: Any) -> Functions:
    return Functions(convolve, convolve_backward, extra={"how": Geometry(**how)})


def transposed_convolution(**how: Any) -> Functions:
    return Functions(convolve_transposed, convolve_transposed_backward, extra={"how": Geometry(**how)})


def depthwise(**how: Any) -> Functions:
    return Functions(convolve_channels, convolve_channels_backward, extra={"how": Geometry(**how)})


def separable_convolution(**how: Any) -> Functions:
    return Functions(separable, separable_backward, extra={"how": Geometry(**how)})


def flipped_kernel(x: Array, weight: Array, bias: Array, how: Geometry) -> tuple[Array, Any]:
    """Turn the kernel round, as in mathematics."""
    return convolve(x, np.flip(weight, tuple(range(2, weight.ndim))), bias, how)


def edge_padded(x: Array, weight: Array, bias: Array, how: Geometry) -> tuple[Array, Any]:
    """Pad with the numbers at the edge instead of zeros."""
    edges = [(0, 0), (0, 0), *((edge, edge) for edge in along(how.padding, x.ndim - 2))]
    return convolve(np.pad(x, edges, mode="edge"), weight, bias, replace(how, padding=0))


def last_position_lost(x: Array, weight: Array, bias: Array, how: Geometry) -> tuple[Array, Any]:
    """End a loop over positions one too early."""
    output, cache = convolve(x, weight, bias, how)
    output[..., -1] = 0
    return output, cache


def kernel_by_columns(x: Array, weight: Array, bias: Array, how: Geometry) -> tuple[Array, Any]:
    """Read the kernel column by column."""
    return convolve(x, weight.swapaxes(-1, -2).reshape(weight.shape), bias, how)


def first_kernel_for_all(x: Array, weight: Array, bias: Array, how: Geometry) -> tuple[Array, Any]:
    """Convolve all channels with the kernel of the first."""
    return convolve_channels(x, np.repeat(weight[:1], len(weight), axis=0), bias, how)


def groups_interleaved(x: Array, weight: Array, bias: Array, how: Geometry) -> tuple[Array, Any]:
    """Put the groups' channels out in turns instead of group by group."""
    output, cache = convolve_transposed(x, weight, bias, how)
    order = np.arange(output.shape[1]).reshape(how.groups, -1).T.ravel()
    return output[:, order], cache


def padding_at_the_start(x: Array, weight: Array, bias: Array, how: Geometry) -> tuple[Array, Any]:
    """Take all of the padding away at the start."""
    whole, (_, _, _) = convolve_transposed(x, weight, bias, replace(how, padding=0))
    cut = tuple(slice(2 * edge, None) for edge in along(how.padding, x.ndim - 2))
    return whole[(..., *cut)].copy(), (x, weight, how)


def bias_for_each_window(x: Array, weight: Array, bias: Array, how: Geometry) -> tuple[Array, Any]:
    """Add the bias to each window before they are put together."""
    output, cache = convolve_transposed(x, weight, np.zeros_like(bias), how)
    times, _ = convolve_transposed(np.ones_like(x[:, :1]), np.ones_like(weight[:1, :1]), np.zeros_like(bias[:1]), replace(how, groups=1))
    return output + times * bias.reshape(-1, *[1] * (x.ndim - 2)), cache


def windows_not_added(x: Array, weight: Array, bias: Array, how: Geometry) -> tuple[Array, Any]:
    """Write windows over each other instead of adding them."""
    output, cache = convolve_transposed(x, weight, np.zeros_like(bias), how)
    for n in range(x.shape[2]):
        one, _ = convolve_transposed(x[:, :, n : n + 1], weight, np.zeros_like(bias), how)
        start = n * along(how.stride, 1)[0]
        output[:, :, start : start + one.shape[2]] = one
    return with_bias(output, bias), cache


def columns_counted_by_rows(x: Array, weight: Array, bias: Array, how: Geometry) -> tuple[Array, Any]:
    """Count the columns by the rows, as for a square image."""
    output, cache = convolve(x, weight, bias, how)
    output[..., output.shape[2] :] = 0
    return output, cache


def channels_exchanged(x: Array, weight: Array, bias: Array, how: Geometry) -> tuple[Array, Any]:
    """Take the weights for those of a convolution, whose outputs come first."""
    return convolve_transposed(x, weight.swapaxes(0, 1), bias, how)


def first_filter_alone(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Keep what the first filter gives to the input's gradient, and add nothing."""
    windows, weight, shape, how = cache
    _, grad_weight, grad_bias = convolve_backward(grad, cache)
    return convolve_backward(grad[:, :1], (windows, weight[:1], shape, how))[0], grad_weight, grad_bias


def weight_turned(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Return the gradient of the kernel turned round."""
    grad_input, grad_weight, grad_bias = convolve_transposed_backward(grad, cache)
    return grad_input, np.flip(grad_weight, tuple(range(2, grad_weight.ndim))).copy(), grad_bias


def kernel_not_turned(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Forget to turn the kernel round for the input's gradient."""
    windows, weight, shape, how = cache
    _, grad_weight, grad_bias = convolve_backward(grad, cache)
    turned = np.flip(weight, tuple(range(2, weight.ndim)))
    return convolve_backward(grad, (windows, turned, shape, how))[0], grad_weight, grad_bias


def not_dilated(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Forget the dilation for the input's gradient."""
    windows, weight, shape, how = cache
    _, grad_weight, grad_bias = convolve_backward(grad, cache)
    return convolve_backward(grad, (windows, weight, shape, replace(how, dilation=1)))[0], grad_weight, grad_bias


def not_strided(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Read the upstream gradient at neighbouring places, as if the stride were 1."""
    x, weight, how = cache
    return convolve_transposed_backward(grad, (x, weight, replace(how, stride=1)))


def transposed_not_dilated(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Forget the dilation for all gradients."""
    x, weight, how = cache
    return convolve_transposed_backward(grad, (x, weight, replace(how, dilation=1)))


def mean_over_batch(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Divide the weight's gradient by the number of samples, as the loss has done already."""
    grad_input, grad_weight, grad_bias = convolve_backward(grad, cache)
    return grad_input, grad_weight / len(grad), grad_bias


def bias_averaged(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Average the bias' gradient over the positions instead of adding."""
    grad_input, grad_weight, grad_bias = convolve_backward(grad, cache)
    return grad_input, grad_weight, grad_bias / math.prod(grad.shape[2:])


def bias_of_first_position(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Forget the first axis of the image in the bias' gradient."""
    grad_input, grad_weight, _ = convolve_backward(grad, cache)
    return grad_input, grad_weight, bias_gradient(grad[:, :, 0])


def weight_of_first_group(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Give the weights of all groups the gradient of the first."""
    grad_input, grad_weight, grad_bias = convolve_transposed_backward(grad, cache)
    first = grad_weight[: len(grad_weight) // cache[2].groups]
    return grad_input, np.concatenate([first] * cache[2].groups), grad_bias


def transposed_kernel_turned(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Turn the kernel round for the input's gradient, as a convolution does."""
    x, weight, how = cache
    _, grad_weight, grad_bias = convolve_transposed_backward(grad, cache)
    turned = np.flip(weight, tuple(range(2, weight.ndim)))
    return convolve_transposed_backward(grad, (x, turned, how))[0], grad_weight, grad_bias


def kernels_share_a_gradient(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Add up the gradients of all channels' kernels."""
    grad_input, grad_weight, grad_bias = convolve_channels_backward(grad, cache)
    return grad_input, np.broadcast_to(grad_weight.sum(axis=0), grad_weight.shape).copy(), grad_bias


def windows_moved(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Forget that the input was padded: its gradient is off by the padding."""
    grad_input, grad_weight, grad_bias = convolve_channels_backward(grad, cache)
    edges = along(cache[3].padding, grad.ndim - 2)
    return np.roll(grad_input, edges, tuple(range(2, grad.ndim))), grad_weight, grad_bias


def mix_transposed(grad: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Forget to transpose the weights for the input's gradient."""
    _, grad_weight, grad_bias = mix_channels_backward(grad, cache)
    return np.einsum("nohw,co->nchw", grad, cache[1][:, :, 0, 0]), grad_weight, grad_bias


def separable_backward_from_input(grad: Array, cache: Any) -> tuple[Array, ...]:
    """Take the input for what was mixed."""
    (windows, each, _, _), (_, mix) = cache
    middle = tuple(size // 2 for size in each.shape[2:])
    results = separable_backward(grad, cache)
    return *results[:3], mix_channels_backward(grad, (windows[(..., *middle)], mix))[1], results[4]
