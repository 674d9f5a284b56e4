"""Batch normalisation: each channel brought to mean 0 and variance 1 over the batch, then to a mean and a size that are learned."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from scratch.layer import Array, Layer

RunningVariance = Literal["unbiased", "biased"]
RUNNING_VARIANCES: tuple[RunningVariance, ...] = ("unbiased", "biased")


class BatchNorm(Layer):
    r"""What batch normalisation of rows and of images share: each channel is normalised over the batch and all positions.

    .. math:: y = \gamma \hat{x} + \beta, \qquad \hat{x} = \frac{x - \mu}{\sqrt{v + \epsilon}}

    In training, :math:`\mu` and v are the mean and the (biased) variance of the m numbers that the batch has in the channel; in evaluation they are
    the running statistics, exponential averages of what training saw: ``running = (1 - momentum) * running + momentum * batch``.

    Parameters
    ----------
    num_features : int
        Number of channels.
    eps : float
        Added to the variance.
    momentum : float
        Weight of the *new* batch in the running statistics, from 0 to 1, as in PyTorch; what Keras calls momentum is 1 less this number.
    affine : bool
        Whether there are gamma (``weight``, which starts at 1) and beta (``bias``, which starts at 0).
    running_variance : {"unbiased", "biased"}
        Which variance of a batch enters ``running_var``: the sum of squares over m - 1, as in PyTorch, or over m, as in Keras. The batch itself is
        always normalised by the biased one.
    dtype : dtype
        Floating-point type of parameters and buffers, and so of everything that the layer computes.

    Attributes
    ----------
    buffers : dict of str to array
        ``running_mean``, which starts at 0, and ``running_var``, which starts at 1.

    References
    ----------
    Ioffe, Szegedy: Batch normalization: accelerating deep network training by reducing internal covariate shift, ICML 2015.
    """

    axes: ClassVar[str]
    """The names of the input's axes; the second one is the channels."""

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
        super().__init__()
        name = type(self).__name__
        if num_features < 1:
            raise ValueError(f"{name}: num_features={num_features!r}, expected at least 1")
        if not (eps > 0 and np.isfinite(eps)):
            raise ValueError(f"{name}: eps={eps!r}, expected a number above 0; the variance of a constant channel is 0")
        if not 0 <= momentum <= 1:
            raise ValueError(f"{name}: momentum={momentum!r}, expected a number from 0 to 1, the weight of the new batch")
        if running_variance not in RUNNING_VARIANCES:
            raise ValueError(f"{name}: running_variance={running_variance!r}, expected one of {', '.join(RUNNING_VARIANCES)}")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.running_variance: RunningVariance = running_variance
        if affine:
            self.params["weight"], self.params["bias"] = np.ones(num_features, dtype), np.zeros(num_features, dtype)
        self.buffers["running_mean"], self.buffers["running_var"] = np.zeros(num_features, dtype), np.ones(num_features, dtype)
        self._normalised: Array | None = None
        self._inverse_std: Array | None = None
        self._from_batch = True

    def forward(self, x: Array) -> Array:
        """Return ``x`` normalised, in its own shape; in training, also move the running statistics on."""
        self.check_input(x, self.axes)
        self._check_channels(x)
        if self.training:
            mean, variance = self._batch_statistics(x)
        else:
            mean, variance = self._running_statistics(x)
        self._from_batch = self.training
        self._inverse_std = 1 / np.sqrt(variance + self.eps)
        self._normalised = (x - mean) * self._inverse_std
        if not self.params:
            return self._normalised.copy()
        return self._by_channel(self.params["weight"]) * self._normalised + self._by_channel(self.params["bias"])

    def backward(self, grad_output: Array) -> Array:
        r"""Return the input's gradient; leave those of weight and bias in ``grads``.

        With g for grad_output, sums and means over the batch and all positions of a channel, and s for :math:`1 / \sqrt{v + \epsilon}`:
        dL/dgamma = sum of g x^, dL/dbeta = sum of g.

        In evaluation, mu and v are constants, y is linear in x, and dL/dx = gamma s g.

        In training they depend on every x of the channel. With h = gamma g, the gradient for x^, the three ways from x to the loss add up to:

        - directly, with mu and v held fast: s h;
        - by mu: each x moves mu by 1/m, and mu moves every x^ by -s: -s mean(h). (The path from mu by v is zero: dv/dmu = -2 mean(x - mu) = 0.)
        - by v: dx^/dv = -x^ s^2 / 2 and dv/dx = 2 (x - mu) / m = 2 x^ / (s m), together -s x^ mean(h x^).

        So dL/dx = gamma s (g - mean(g) - x^ mean(g x^)): what is left of g once its mean and its component along x^ are taken out, because
        normalising undoes both a shift and a scaling of the input.

        Parameters
        ----------
        grad_output : array
            In the shape of the output.

        Returns
        -------
        array
            In the shape of the input.
        """
        self.check_grad_output(grad_output, None if self._normalised is None else self._normalised.shape)
        assert self._normalised is not None
        assert self._inverse_std is not None
        over = self._over(grad_output)
        along, total = (grad_output * self._normalised).sum(axis=over), grad_output.sum(axis=over)
        scale = self._inverse_std
        if self.params:
            self.grads["weight"], self.grads["bias"] = along, total
            scale = scale * self._by_channel(self.params["weight"])
        if not self._from_batch:
            return scale * grad_output
        count = grad_output.size // self.num_features
        return scale * (grad_output - self._by_channel(total / count) - self._normalised * self._by_channel(along / count))

    def _batch_statistics(self, x: Array) -> tuple[Array, Array]:
        """Return mean and biased variance of the batch, one number a channel, and move the running statistics on."""
        count = x.size // self.num_features
        if count < 2:
            raise ValueError(
                f"{type(self).__name__}: the input has shape {x.shape}, {count} value a channel, expected more than one in training: "
                "a single value has no variance; use a larger batch or evaluation mode"
            )
        over = self._over(x)
        mean = x.mean(axis=over, keepdims=True)
        variance = ((x - mean) ** 2).mean(axis=over, keepdims=True)
        factor = count / (count - 1) if self.running_variance == "unbiased" else 1.0
        for name, new in (("running_mean", mean.ravel()), ("running_var", factor * variance.ravel())):
            self.buffers[name] *= 1 - self.momentum
            self.buffers[name] += self.momentum * new
        return mean, variance

    def _running_statistics(self, x: Array) -> tuple[Array, Array]:
        """Return running mean and variance, one number a channel."""
        for name, value in self.buffers.items():
            if value.dtype != x.dtype:
                kind = type(self).__name__
                raise TypeError(f"{kind}: the input is {x.dtype}, {name} is {value.dtype}; build the layer with dtype={x.dtype.name!r}")
        return self._by_channel(self.buffers["running_mean"]), self._by_channel(self.buffers["running_var"])

    def _check_channels(self, x: Array) -> None:
        if x.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__}: the input has {x.shape[1]} channels (shape {x.shape}), expected num_features={self.num_features}"
            )

    def _by_channel(self, values: Array) -> Array:
        """Return one number a channel in the shape that broadcasts over the input."""
        return values.reshape(1, -1, *(1,) * (len(self.axes.split()) - 2))

    @staticmethod
    def _over(x: Array) -> tuple[int, ...]:
        """Return the axes that are summed over: all but the channels."""
        return (0, *range(2, x.ndim))


class BatchNorm1d(BatchNorm):
    """Batch normalisation of rows, ``(batch, features)``: a channel is a column. Parameters and attributes are those of :class:`BatchNorm`."""

    axes = "batch features"


class BatchNorm2d(BatchNorm):
    """Batch normalisation of images, ``(batch, channels, height, width)``. Parameters and attributes are those of :class:`BatchNorm`."""

    axes = "batch channels height width"
