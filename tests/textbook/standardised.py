"""Normalisation by a sample's own mean and variance, over some of its axes: layers, groups, instances; and by the root mean square."""

from __future__ import annotations

import numpy as np

from crosscheck.core.precision import Array


class Standardised:
    """Each group of numbers less its mean, divided by its standard deviation; then a weight and a bias.

    The variance is the mean of the squared differences from the mean: a difference of two large numbers loses the digits of a small variance.

    Parameters
    ----------
    shape : tuple of int
        Of weight and bias; without any where it is empty.
    eps : float
    """

    def __init__(self, shape: tuple[int, ...] = (), eps: float = 1e-5) -> None:
        self.eps = eps
        self.params = {"weight": np.ones(shape), "bias": np.zeros(shape)} if shape else {}
        self.grads: dict[str, Array] = {}

    def grouped(self, x: Array) -> Array:
        """Return the numbers with those of a group along the last axis."""
        raise NotImplementedError

    def affine(self, value: Array, x: Array) -> Array:
        """Return a parameter in a shape that fits the input."""
        raise NotImplementedError

    def shared(self, x: Array) -> tuple[int, ...]:
        """Return the axes that share a number of each parameter."""
        raise NotImplementedError

    def mean(self, groups: Array) -> Array:
        """Return the mean of each group, an axis of one left."""
        return np.asarray(groups.mean(axis=-1, keepdims=True))

    def variance(self, groups: Array, mean: Array) -> Array:
        """Return the variance of each group."""
        return self.mean(np.square(groups - mean))

    def forward(self, x: Array) -> Array:
        """Return the normalised numbers."""
        groups = self.grouped(x)
        mean = self.mean(groups)
        self._inverse = self.inverse(self.variance(groups, mean))
        self._hat = (groups - mean) * self._inverse
        hat = self._hat.reshape(x.shape)
        return hat * self.affine(self.params["weight"], x) + self.affine(self.params["bias"], x) if self.params else hat

    def inverse(self, variance: Array) -> Array:
        """Return 1 / sqrt(variance + eps)."""
        return np.asarray(1 / np.sqrt(variance + variance.dtype.type(self.eps)))

    def backward(self, grad_output: Array) -> Array:
        """Return r (g - mean g - h mean(g h)): mean and variance depend on every number of a group."""
        passed = grad_output
        if self.params:
            hat, axes = self._hat.reshape(grad_output.shape), self.shared(grad_output)
            shape = self.params["weight"].shape
            self.grads["weight"] = (grad_output * hat).sum(axis=axes).reshape(shape)
            self.grads["bias"] = grad_output.sum(axis=axes).reshape(shape)
            passed = grad_output * self.affine(self.params["weight"], grad_output)
        g = self.grouped(passed)
        grad = self._inverse * (g - self.mean(g) - self._hat * self.mean(g * self._hat))
        return grad.reshape(grad_output.shape)


class LayerNorm(Standardised):
    """Over the last axes, as many as the weight has."""

    def grouped(self, x: Array) -> Array:
        """Return a group for each position."""
        return x.reshape(*x.shape[: x.ndim - self.params["weight"].ndim], -1)

    def affine(self, value: Array, x: Array) -> Array:
        """Return it as it is: it has the last axes."""
        return value

    def shared(self, x: Array) -> tuple[int, ...]:
        """Return all axes before the weight's."""
        return tuple(range(x.ndim - self.params["weight"].ndim))


class GroupNorm(Standardised):
    """Over the channels of a group and all places (Wu and He, 2018).

    Parameters
    ----------
    groups, channels : int
    eps : float
    """

    def __init__(self, groups: int, channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__((channels,) if affine else (), eps)
        self.groups = groups

    def grouped(self, x: Array) -> Array:
        """Return the numbers of each sample and group in a row."""
        return x.reshape(len(x), self.groups, -1)

    def affine(self, value: Array, x: Array) -> Array:
        """Return a number for each channel."""
        return value.reshape(1, -1, *(1,) * (x.ndim - 2))

    def shared(self, x: Array) -> tuple[int, ...]:
        """Return all axes but the channels'."""
        return (0, *range(2, x.ndim))


class InstanceNorm(GroupNorm):
    """Over the places of each channel alone: as many groups as channels.

    Parameters
    ----------
    channels : int
    eps : float
    affine : bool
    """

    def __init__(self, channels: int, eps: float = 1e-5, affine: bool = False) -> None:
        super().__init__(channels, channels, eps, affine)


class RMSNorm:
    """Each row over its root mean square, times a weight (Zhang and Sennrich, 2019).

    Parameters
    ----------
    size : int
    eps : float
    """

    def __init__(self, size: int, eps: float) -> None:
        self.eps = eps
        self.params, self.grads = {"weight": np.ones(size)}, {"weight": np.zeros(size)}

    def mean_square(self, x: Array) -> Array:
        """Return the mean of the squares of each row."""
        return np.asarray(np.square(x).mean(axis=-1, keepdims=True))

    def inverse_root(self, square: Array) -> Array:
        """Return 1 / sqrt(v)."""
        return np.asarray(1 / np.sqrt(square))

    def forward(self, x: Array) -> Array:
        """Return w x / rms."""
        self._inverse = self.inverse_root(self.mean_square(x) + x.dtype.type(self.eps))
        self._hat = x * self._inverse
        return self._hat * self.params["weight"]

    def backward(self, grad_output: Array) -> Array:
        """Return r (g w - h mean(g w h))."""
        self.grads["weight"] = (grad_output * self._hat).sum(axis=tuple(range(grad_output.ndim - 1)))
        g = grad_output * self.params["weight"]
        return np.asarray(self._inverse * (g - self._hat * (g * self._hat).mean(axis=-1, keepdims=True)))


class LocalResponseNorm:
    """x / (k + alpha mean of squares of neighbouring channels) ** beta (Krizhevsky et al., 2012).

    Parameters
    ----------
    size : int
        Channels that count, one in the middle.
    alpha, beta, k : float
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def _neighbours(self, values: Array, before: int) -> Array:
        """Return sums over neighbouring channels, so many of them before each one."""
        pad = [(0, 0), (before, self.size - 1 - before), *[(0, 0)] * (values.ndim - 2)]
        return self.sums(np.pad(values, pad))

    def sums(self, padded: Array) -> Array:
        """Return the sum of each window of channels."""
        return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, self.size, axis=1).sum(axis=-1))

    def forward(self, x: Array) -> Array:
        """Return the quotient."""
        self._x = x
        self._base = self.k + self.alpha / self.size * self._neighbours(np.square(x), self.size // 2)
        return np.asarray(x * self._base**-self.beta)

    def backward(self, grad_output: Array) -> Array:
        """Return g d^-beta - 2 alpha beta / size x times the sum of g x d^(-beta-1) over the channels that a channel counts in."""
        power = self._base**-self.beta
        through = self._neighbours(grad_output * (self._x * power) / self._base, (self.size - 1) // 2)
        return np.asarray(grad_output * power - 2 * self.alpha * self.beta / self.size * self._x * through)


class RowMean:
    """The mean of each row."""

    def forward(self, x: Array) -> Array:
        """Return ``(batch,)``."""
        self._shape = x.shape
        return np.asarray(self.total(x) / self.count(x), dtype=x.dtype)

    def backward(self, grad_output: Array) -> Array:
        """Return each row's cotangent, divided by the number of columns."""
        return np.repeat(grad_output[:, None] / grad_output.dtype.type(self._shape[1]), self._shape[1], axis=1)

    def total(self, x: Array) -> Array:
        """Return the sum of each row."""
        return np.asarray(x.sum(axis=1))

    def count(self, x: Array) -> Array:
        """Return the number of columns."""
        return np.asarray(x.shape[1], dtype=x.dtype)
