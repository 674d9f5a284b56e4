"""Batch normalisation, cut into its formulas."""

from __future__ import annotations

import numpy as np

from crosscheck.core.precision import Array


class BatchNorm:
    r"""Each channel of ``(batch, channels, ...)`` less its mean, over its standard deviation, times gamma plus beta.

    .. math:: y = \gamma \hat x + \beta, \quad \hat x = (x - \mu) / \sqrt{v + \epsilon}

    Parameters
    ----------
    channels : int
    eps : float
    momentum : float
        The share of a new batch in the running statistics.
    """

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.eps, self.momentum, self.training = eps, momentum, True
        self.params = {"weight": np.ones(channels), "bias": np.zeros(channels)}
        self.grads: dict[str, Array] = {}
        self.running_mean: Array = np.zeros(channels)
        self.running_var: Array = np.ones(channels)

    def forward(self, x: Array) -> Array:
        """Return the output, in the shape of the input."""
        self._x, self._from_batch = x, self.training
        mean, variance = self.statistics(x)
        self._std = self.deviation(variance)
        self._normalised = (x - mean) / self._std
        self.keep(x, mean, variance)
        return self.scaled(self._normalised) + self.by_channel(self.params["bias"])

    def statistics(self, x: Array) -> tuple[Array, Array]:
        """Return mean and variance to normalise by: the batch's in training, the running ones in evaluation."""
        return self.batch_statistics(x) if self.training else (self.by_channel(self.running_mean), self.by_channel(self.running_var))

    def batch_statistics(self, x: Array) -> tuple[Array, Array]:
        """Return mean and biased variance over batch and positions."""
        mean = x.mean(axis=self.axes(), keepdims=True)
        return mean, self.variance(x, mean)

    def variance(self, x: Array, mean: Array) -> Array:
        """Return the mean of the squared differences."""
        return np.asarray(np.square(x - mean).mean(axis=self.axes(), keepdims=True))

    def deviation(self, variance: Array) -> Array:
        """Return the standard deviation, kept away from zero."""
        return np.asarray(np.sqrt(variance + self.eps))

    def keep(self, x: Array, mean: Array, variance: Array) -> None:
        """Move the running statistics towards those of the batch, the variance without its bias."""
        if self.training:
            self.running_mean = self.moved(self.running_mean, mean.ravel())
            self.running_var = self.moved(self.running_var, self.unbiased(variance).ravel())

    def unbiased(self, variance: Array) -> Array:
        """Return the sum of squared differences over one less than their number."""
        return np.asarray(variance * (self.count() / (self.count() - 1)))

    def moved(self, old: Array, new: Array) -> Array:
        """Return the exponential average."""
        return np.asarray((1 - self.momentum) * old + self.momentum * new)

    def scaled(self, normalised: Array) -> Array:
        """Return gamma times something."""
        return np.asarray(self.by_channel(self.params["weight"]) * normalised)

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient; leave those of gamma and beta in ``grads``."""
        self.grads = {"weight": self.weight_gradient(grad_output), "bias": self.bias_gradient(grad_output)}
        return self.input_gradient(grad_output)

    def weight_gradient(self, grad_output: Array) -> Array:
        """Return dL/dgamma, the sum of grad_output times the normalised input."""
        return np.asarray((grad_output * self._normalised).sum(axis=self.axes()))

    def bias_gradient(self, grad_output: Array) -> Array:
        """Return dL/dbeta, the sum of grad_output."""
        return np.asarray(grad_output.sum(axis=self.axes()))

    def input_gradient(self, grad_output: Array) -> Array:
        """Return dL/dx: directly and, in training, through the mean and the variance, h being dL/d of the normalised input.

        dL/dx = (h - mean(h) - x^ mean(h x^)) / std
        """
        h = self.scaled(grad_output)
        return (h - self.through_mean(h) - self.through_variance(h)) / self._std if self.through_statistics() else h / self._std

    def through_statistics(self) -> bool:
        """Return whether the statistics depend on the input."""
        return self._from_batch

    def through_mean(self, h: Array) -> Array:
        """Return what reaches the input through the mean."""
        return self.averaged(h)

    def through_variance(self, h: Array) -> Array:
        """Return what reaches the input through the variance."""
        return np.asarray(self._normalised * self.averaged(h * self._normalised))

    def averaged(self, values: Array) -> Array:
        """Return the mean over batch and positions."""
        return np.asarray(values.mean(axis=self.axes(), keepdims=True))

    def axes(self) -> tuple[int, ...]:
        """Return the axes of batch and positions."""
        return (0, *range(2, self._x.ndim))

    def count(self) -> int:
        """Return how many numbers a channel has in the batch."""
        return int(self._x.size // self._x.shape[1])

    def by_channel(self, values: Array) -> Array:
        """Return one number for each channel, shaped to fit the input."""
        return values.reshape(1, -1, *[1] * (self._x.ndim - 2))
