"""Batch normalisation: each channel is scaled to mean 0 and variance 1 over the batch, then to a learned mean and standard deviation."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from scratch.channels import PerChannel
from scratch.layer import Array

RunningVariance = Literal["unbiased", "biased"]
RUNNING_VARIANCES: tuple[RunningVariance, ...] = ("unbiased", "biased")


class BatchNorm(PerChannel):
    r"""The base of batch normalisation of rows and of images: each channel is normalised over the batch and all positions.

    .. math:: y = \gamma \hat{x} + \beta, \qquad \hat{x} = \frac{x - \mu}{\sqrt{v + \epsilon}}

    In training, :math:`\mu` and v are the mean and the (biased) variance of the m numbers that the batch has in the channel. In evaluation they are
    the running statistics in ``buffers``, which training updates: ``running = (1 - momentum) * running + momentum * batch``. ``running_mean`` starts
    at 0 and ``running_var`` at 1.

    Parameters
    ----------
    num_features : int
        Number of channels.
    eps : float
        Added to the variance.
    momentum : float
        Weight of the *new* batch in the running statistics, from 0 to 1, as in PyTorch; Keras's momentum is ``1 - momentum``.
    affine : bool
        Whether the layer has gamma (``weight``, which starts at 1) and beta (``bias``, which starts at 0).
    running_variance : {"unbiased", "biased"}
        Which variance of a batch enters ``running_var``: the sum of squares divided by m - 1, as in PyTorch, or by m, as in Keras. The batch itself
        is always normalised by the biased variance.
    dtype : dtype
        Floating-point type of parameters, buffers and everything that the layer computes.

    References
    ----------
    Ioffe, Szegedy: Batch normalization: accelerating deep network training by reducing internal covariate shift, ICML 2015.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        running_variance: RunningVariance = "unbiased",
        *,
        dtype: npt.DTypeLike = np.float64,
    ) -> None:
        super().__init__(num_features)
        name = type(self).__name__
        if not (eps > 0 and np.isfinite(eps)):
            raise ValueError(f"{name}: eps={eps!r}, expected a number above 0; the variance of a constant channel is 0")
        if not 0 <= momentum <= 1:
            raise ValueError(f"{name}: momentum={momentum!r}, expected a number from 0 to 1, the weight of the new batch")
        if running_variance not in RUNNING_VARIANCES:
            raise ValueError(f"{name}: running_variance={running_variance!r}, expected one of {', '.join(RUNNING_VARIANCES)}")
        self.eps, self.momentum, self.running_variance = eps, momentum, running_variance
        if affine:
            self.params["weight"], self.params["bias"] = np.ones(num_features, dtype), np.zeros(num_features, dtype)
        self.buffers["running_mean"], self.buffers["running_var"] = np.zeros(num_features, dtype), np.ones(num_features, dtype)

    def forward(self, x: Array) -> Array:
        """Return ``x`` normalised, in the shape of ``x``; in training, also update the running statistics."""
        self.check_channels(x)
        if self.training:
            mean = x.mean(axis=self.over, keepdims=True)
            variance = ((x - mean) ** 2).mean(axis=self.over, keepdims=True)
            self._update_running(mean.ravel(), variance.ravel(), x.size // self.num_features)
        else:
            mean, variance = (self.by_channel(self.buffers[name]) for name in ("running_mean", "running_var"))
        self._from_batch, self._output_shape = self.training, x.shape
        self._inverse_std = 1 / np.sqrt(variance + self.eps)
        output: Array = (x - mean) * self._inverse_std
        self._normalised = output
        return self.by_channel(self.params["weight"]) * output + self.by_channel(self.params["bias"]) if self.params else output.copy()

    def _update_running(self, mean: Array, variance: Array, count: int) -> None:
        """Update the running statistics with those of a batch, which has ``count`` values per channel."""
        factor = count / (count - 1) if self.running_variance == "unbiased" else 1.0
        for name, new in (("running_mean", mean), ("running_var", factor * variance)):
            self.buffers[name] *= 1 - self.momentum
            self.buffers[name] += self.momentum * new

    def backward(self, grad_output: Array) -> Array:
        r"""Return the input's gradient; store those of weight and bias in ``grads``.

        Let g be grad_output and s be :math:`1 / \sqrt{v + \epsilon}`; sums and means are over the batch and all positions of a channel. Then
        dL/dgamma = sum of g x^ and dL/dbeta = sum of g. In evaluation, mu and v are constants, y is linear in x, and dL/dx = gamma s g.

        In training, mu and v depend on every x of the channel. With h = gamma g, the gradient with respect to x^, dL/dx is the sum of three terms:

        - with mu and v constant: s h;
        - through mu: dmu/dx = 1/m and dx^/dmu = -s, together -s mean(h). (mu does not act through v: dv/dmu = -2 mean(x - mu) = 0.)
        - through v: dx^/dv = -x^ s^2 / 2 and dv/dx = 2 (x - mu) / m = 2 x^ / (s m), together -s x^ mean(h x^).

        So dL/dx = gamma s (g - mean(g) - x^ mean(g x^)): the mean of g and its component along x^ are removed, because the output stays the same when
        the input is shifted or scaled.
        """
        self.check_grad_output(grad_output)
        along, total = (grad_output * self._normalised).sum(axis=self.over), grad_output.sum(axis=self.over)
        scale: Array = self._inverse_std
        if self.params:
            self.grads["weight"], self.grads["bias"] = along, total
            scale = scale * self.by_channel(self.params["weight"])
        if self._from_batch:
            count = grad_output.size // self.num_features
            grad_output = grad_output - self.by_channel(total / count) - self._normalised * self.by_channel(along / count)
        return scale * grad_output


class BatchNorm1d(BatchNorm):
    """Batch normalisation of rows, ``(batch, features)``: a channel is a column. Parameters and attributes are those of :class:`BatchNorm`."""

    axes = "batch features"


class BatchNorm2d(BatchNorm):
    """Batch normalisation of images, ``(batch, channels, height, width)``. Parameters and attributes are those of :class:`BatchNorm`."""

    axes = "batch channels height width"
