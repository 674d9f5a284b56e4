"""Layers with places along one, two or three axes: convolutions, means, norms and repetitions of windows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from crosscheck.core.precision import Array


class Convolution:
    """y[f] = sum over channels and offsets of w[f, c, offset] x[c, place + offset], plus a bias, along any number of axes.

    Parameters
    ----------
    inputs, outputs : int
    kernel : tuple of int
    stride, padding : int
    """

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, ...], stride: int = 1, padding: int = 0) -> None:
        self.kernel, self.stride, self.padding = kernel, stride, padding
        self.params: dict[str, Array] = {"weight": np.zeros((outputs, inputs, *kernel)), "bias": np.zeros(outputs)}
        self.grads: dict[str, Array] = {}

    def _kernel(self, offset: tuple[int, ...]) -> Array:
        """Return the weights of an offset."""
        found: Array = self.params["weight"][_at(offset)]
        return found

    def _padded(self, x: Array) -> Array:
        return np.pad(x, [(0, 0), (0, 0), *[(self.padding, self.padding)] * len(self.kernel)])

    def _offsets(self, places: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
        """Yield each offset in the kernel, and where it lies in the padded input for all places."""
        for offset in itertools.product(*map(range, self.kernel)):
            steps = (slice(start, start + self.stride * count, self.stride) for start, count in zip(offset, places, strict=True))
            yield offset, (slice(None), slice(None), *steps)

    def forward(self, x: Array) -> Array:
        """Return ``(batch, outputs, ...)``."""
        self._x = self._padded(x)
        self._shape = x.shape
        places = tuple((size - side) // self.stride + 1 for size, side in zip(self._x.shape[2:], self.kernel, strict=True))
        output = np.zeros((len(x), len(self.params["bias"]), *places), x.dtype)
        for offset, where in self._offsets(places):
            output += np.einsum("nc...,fc->nf...", self._x[where], self._kernel(offset))
        return output + self.params["bias"].reshape(-1, *(1,) * len(places))

    def backward(self, grad_output: Array) -> Array:
        """Return the cotangents, each spread over its window; a weight's gradient is the sum of the products that it takes part in."""
        places = grad_output.shape[2:]
        grad, weight = np.zeros_like(self._x), np.zeros_like(self.params["weight"])
        for offset, where in self._offsets(places):
            kernel = self._kernel(offset)
            grad[where] += np.einsum("nf...,fc->nc...", grad_output, kernel)
            weight[_at(offset)] = np.einsum("nfp,ncp->fc", _flat(grad_output), _flat(self._x[where]))
        self.grads = {"weight": weight, "bias": _flat(grad_output).sum(axis=(0, 2))}
        inner = (slice(self.padding, self.padding + size) for size in self._shape[2:])
        return grad[(slice(None), slice(None), *inner)]


def _at(offset: tuple[int, ...]) -> tuple[Any, ...]:
    return (slice(None), slice(None), *offset)


def _flat(x: Array) -> Array:
    return x.reshape(*x.shape[:2], -1)


class TransposedConvolution:
    """Each input number spreads a kernel over the output: the gradient of a convolution taken for a layer.

    Parameters
    ----------
    inputs, outputs : int
    kernel : tuple of int
    stride, padding, output_padding : int
    """

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, ...], stride: int = 1, padding: int = 0, output_padding: int = 0) -> None:
        self.kernel, self.stride, self.padding, self.more = kernel, stride, padding, output_padding
        self.params: dict[str, Array] = {"weight": np.zeros((inputs, outputs, *kernel)), "bias": np.zeros(outputs)}
        self.grads: dict[str, Array] = {}

    def _offsets(self, places: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
        for offset in itertools.product(*map(range, self.kernel)):
            steps = (slice(start, start + self.stride * (count - 1) + 1, self.stride) for start, count in zip(offset, places, strict=True))
            yield offset, (slice(None), slice(None), *steps)

    def _kernel(self, offset: tuple[int, ...]) -> Array:
        found: Array = self.params["weight"][_at(offset)]
        return found

    def _full(self, places: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self.stride * (count - 1) + side + self.more for count, side in zip(places, self.kernel, strict=True))

    def _inner(self, sizes: tuple[int, ...]) -> tuple[slice, ...]:
        return (slice(None), slice(None), *(slice(self.padding, size - self.padding) for size in sizes))

    def forward(self, x: Array) -> Array:
        """Return ``(batch, outputs, ...)``."""
        self._x = x
        sizes = self._full(x.shape[2:])
        output = np.zeros((len(x), len(self.params["bias"]), *sizes), x.dtype)
        for offset, where in self._offsets(x.shape[2:]):
            output[where] += np.einsum("nc...,cf->nf...", x, self._kernel(offset))
        return output[self._inner(sizes)] + self.params["bias"].reshape(-1, *(1,) * len(sizes))

    def backward(self, grad_output: Array) -> Array:
        """Return the convolution of the cotangents with the kernels."""
        sizes = self._full(self._x.shape[2:])
        padded = np.zeros((*grad_output.shape[:2], *sizes), grad_output.dtype)
        padded[self._inner(sizes)] = grad_output
        grad, weight = np.zeros_like(self._x), np.zeros_like(self.params["weight"])
        for offset, where in self._offsets(self._x.shape[2:]):
            grad += np.einsum("nf...,cf->nc...", padded[where], self._kernel(offset))
            weight[_at(offset)] = np.einsum("nfp,ncp->cf", _flat(padded[where]), _flat(self._x))
        self.grads = {"weight": weight, "bias": _flat(grad_output).sum(axis=(0, 2))}
        return grad


class Bilinear:
    """a A[f] b for each f, of two rows that lie one after another, plus a bias.

    Parameters
    ----------
    first, second, outputs : int
    """

    def __init__(self, first: int, second: int, outputs: int) -> None:
        self.first = first
        self.params = {"weight": np.zeros((outputs, first, second)), "bias": np.zeros(outputs)}
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return ``(batch, outputs)``."""
        self._a, self._b = x[:, : self.first], x[:, self.first :]
        return np.asarray(np.einsum("ni,fij,nj->nf", self._a, self.params["weight"], self._b) + self.params["bias"])

    def backward(self, grad_output: Array) -> Array:
        """Return the gradients of both rows."""
        weight = self.params["weight"]
        self.grads = {"weight": np.einsum("nf,ni,nj->fij", grad_output, self._a, self._b), "bias": grad_output.sum(axis=0)}
        by_a, by_b = (np.einsum(how, grad_output, weight, other) for how, other in (("nf,fij,nj->ni", self._b), ("nf,fij,ni->nj", self._a)))
        return np.concatenate([by_a, by_b], axis=1)


class Gathered:
    """Each output number is a sum of input numbers times fixed factors, along each axis of places by itself: means, interpolation, repetition.

    Parameters
    ----------
    *factors : callable
        Each returns the factors of one axis, ``(outputs, inputs)``, for its length; a single one serves all axes.
    """

    def __init__(self, *factors: Callable[[int], Array]) -> None:
        self._factors = factors

    def forward(self, x: Array) -> Array:
        """Return the sums."""
        self._lengths = x.shape
        for axis in range(2, x.ndim):
            x = np.moveaxis(np.tensordot(self._of(axis).astype(x.dtype), x, (1, axis)), 0, axis)
        return np.ascontiguousarray(x)

    def backward(self, grad_output: Array) -> Array:
        """Return the sums by the transposed factors."""
        for axis in range(2, grad_output.ndim):
            grad_output = np.moveaxis(np.tensordot(self._of(axis).T.astype(grad_output.dtype), grad_output, (1, axis)), 0, axis)
        return np.ascontiguousarray(grad_output)

    def _of(self, axis: int) -> Array:
        return self._factors[min(axis - 2, len(self._factors) - 1)](self._lengths[axis])


def means(inputs: int, kernel: int, stride: int, padding: int = 0) -> Array:
    """Return the factors of an average pooling: windows that hang over count what is not there as zeros."""
    starts = range(-padding, inputs + padding - kernel + 1, stride)
    return np.array([[(start <= place < start + kernel) / kernel for place in range(inputs)] for start in starts])


def adaptive(inputs: int, outputs: int) -> Array:
    """Return the factors of an adaptive average pooling, whose windows are as equal as they can be."""
    ends = [(one * inputs // outputs, -(-(one + 1) * inputs // outputs)) for one in range(outputs)]
    return np.array([[(start <= place < stop) / (stop - start) for place in range(inputs)] for start, stop in ends])


def nearest(inputs: int, factor: int) -> Array:
    """Return the factors of a repetition."""
    return np.repeat(np.eye(inputs), factor, axis=0)


def linear(inputs: int, outputs: int, factor: float = 0.0, corners: bool = False) -> Array:
    """Return the factors of a linear interpolation, between centres or from corner to corner; by this factor where it is not the sizes' ratio."""
    step = (inputs - 1) / (outputs - 1) if corners else 1 / factor if factor else inputs / outputs
    places = np.arange(outputs) * step if corners else (np.arange(outputs) + 0.5) * step - 0.5
    places = np.maximum(places, 0)
    left = np.minimum(places.astype(int), inputs - 1)
    right = np.minimum(left + 1, inputs - 1)
    eye = np.eye(inputs)
    share = (places - left)[:, None]
    return np.asarray((1 - share) * eye[left] + share * eye[right])


class PowerPooling:
    """The root of the sum of the squares of each window, windows side by side along the last axis.

    Parameters
    ----------
    kernel : int
    """

    def __init__(self, kernel: int) -> None:
        self.kernel = kernel

    def forward(self, x: Array) -> Array:
        """Return the norms."""
        self._shape, count = x.shape, x.shape[-1] // self.kernel
        self._windows = x[..., : count * self.kernel].reshape(*x.shape[:-1], count, self.kernel)
        self._norms = np.sqrt(np.square(self._windows).sum(axis=-1))
        return np.asarray(self._norms)

    def backward(self, grad_output: Array) -> Array:
        """Return each number over its window's norm, zero in a window of zeros."""
        norms = np.where(self._norms > 0, self._norms, 1).astype(grad_output.dtype)
        grad = np.zeros(self._shape, grad_output.dtype)
        spread = (grad_output / norms)[..., None] * self._windows
        grad[..., : spread.shape[-2] * self.kernel] = spread.reshape(*spread.shape[:-2], -1)
        return grad


class PixelShuffle:
    """Channels become places: ``(batch, channels r r, h, w)`` to ``(batch, channels, r h, r w)``.

    Parameters
    ----------
    factor : int
    """

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def forward(self, x: Array) -> Array:
        """Return the numbers at their new places."""
        n, c, h, w = x.shape
        r = self.factor
        return x.reshape(n, c // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // r**2, r * h, r * w)

    def backward(self, grad_output: Array) -> Array:
        """Return the cotangents at the old places."""
        n, c, h, w = grad_output.shape
        r = self.factor
        return grad_output.reshape(n, c, h // r, r, w // r, r).transpose(0, 1, 3, 5, 2, 4).reshape(n, c * r**2, h // r, w // r)
