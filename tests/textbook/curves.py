"""More activations, each by the formula that loses no digits: no exponential overflows, and nothing that is close to 1 is subtracted from 1."""

from __future__ import annotations

import numpy as np

from crosscheck.core.precision import Array
from tests.textbook.activation import Activation


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)) by the exponential that cannot overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def softplus(x: Array) -> Array:
    """Return log(1 + exp(x)): the positive part, and what is left of the exponential of the size."""
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


class ELU(Activation):
    """x where it is positive, alpha (exp(x) - 1) elsewhere (Clevert et al., 2015).

    Parameters
    ----------
    alpha : float
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def value(self, x: Array) -> Array:
        """Return the positive part or the exponential less one."""
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))

    def slope(self, x: Array) -> Array:
        """Return 1 or alpha exp(x)."""
        return np.where(x > 0, x.dtype.type(1), self.alpha * np.exp(np.minimum(x, 0)))


class CELU(ELU):
    """max(x, 0) + min(0, alpha (exp(x / alpha) - 1)) (Barron, 2017)."""

    def value(self, x: Array) -> Array:
        """Return the sum."""
        return np.asarray(np.maximum(x, 0) + self.alpha * np.expm1(np.minimum(x, 0) / self.alpha))

    def slope(self, x: Array) -> Array:
        """Return 1 or exp(x / alpha)."""
        return np.asarray(np.exp(np.minimum(x, 0) / self.alpha))


class SELU(ELU):
    """ELU with the two constants that keep mean and variance (Klambauer et al., 2017)."""

    scale = 1.0507009873554804934193349852946

    def __init__(self) -> None:
        super().__init__(1.6732632423543772848170429916717)

    def value(self, x: Array) -> Array:
        """Return ELU times the scale."""
        return self.scale * super().value(x)

    def slope(self, x: Array) -> Array:
        """Return the slope of ELU times the scale."""
        return self.scale * super().slope(x)


class SiLU(Activation):
    """x times its sigmoid."""

    def value(self, x: Array) -> Array:
        """Return x s(x)."""
        return x * sigmoid(x)

    def slope(self, x: Array) -> Array:
        """Return s + x s (1 - s), 1 - s being the sigmoid of -x."""
        return np.asarray(sigmoid(x) * (1 + x * sigmoid(-x)))


class Mish(Activation):
    """x tanh(log(1 + exp(x))) (Misra, 2019)."""

    def value(self, x: Array) -> Array:
        """Return the product."""
        return np.asarray(x * np.tanh(softplus(x)))

    def slope(self, x: Array) -> Array:
        """Return t + x (1 - t**2) s."""
        t = np.tanh(softplus(x))
        return np.asarray(t + x * (1 - t) * (1 + t) * sigmoid(x))


class Softplus(Activation):
    """log(1 + exp(beta x)) / beta, and x where beta x exceeds a threshold.

    Parameters
    ----------
    beta, threshold : float
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta, self.threshold = beta, threshold

    def value(self, x: Array) -> Array:
        """Return the smooth positive part."""
        return np.where(self.beta * x > self.threshold, x, self.softplus(self.beta * x) / self.beta)

    def slope(self, x: Array) -> Array:
        """Return the sigmoid of beta x, 1 beyond the threshold."""
        return np.where(self.beta * x > self.threshold, x.dtype.type(1), self.sigmoid(self.beta * x))

    def softplus(self, x: Array) -> Array:
        """Return log(1 + exp(x))."""
        return softplus(x)

    def sigmoid(self, x: Array) -> Array:
        """Return its derivative."""
        return sigmoid(x)


class LogSigmoid(Activation):
    """log(1 / (1 + exp(-x)))."""

    def value(self, x: Array) -> Array:
        """Return min(x, 0) - log(1 + exp(-|x|))."""
        return np.asarray(np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))))

    def slope(self, x: Array) -> Array:
        """Return the sigmoid of -x."""
        return sigmoid(-x)


class Softsign(Activation):
    """x / (1 + |x|)."""

    def value(self, x: Array) -> Array:
        """Return the quotient."""
        return np.asarray(x / (1 + np.abs(x)))

    def slope(self, x: Array) -> Array:
        """Return 1 / (1 + |x|)**2."""
        return np.asarray(1 / (1 + np.abs(x)) ** 2)


class Tanhshrink(Activation):
    """x - tanh(x)."""

    def value(self, x: Array) -> Array:
        """Return the difference."""
        return np.asarray(x - np.tanh(x))

    def slope(self, x: Array) -> Array:
        """Return tanh(x)**2."""
        return np.asarray(np.tanh(x) ** 2)


class Piecewise(Activation):
    """Functions of straight lines and parabolas between bounds.

    Parameters
    ----------
    bound : float
    """

    def __init__(self, bound: float = 0.5) -> None:
        self.bound = bound


class Hardtanh(Activation):
    """x, cut off at two bounds.

    Parameters
    ----------
    low, high : float
    """

    def __init__(self, low: float = -1.0, high: float = 1.0) -> None:
        self.low, self.high = low, high

    def value(self, x: Array) -> Array:
        """Return x or the nearer bound."""
        return np.clip(x, self.low, self.high)

    def slope(self, x: Array) -> Array:
        """Return 1 between the bounds."""
        return np.asarray((x > self.low) & (x < self.high), dtype=x.dtype)


class Hardsigmoid(Activation):
    """(x + 3) / 6, cut off at 0 and 1."""

    def value(self, x: Array) -> Array:
        """Return the line."""
        return np.asarray(np.clip(x + 3, 0, 6) / 6)

    def slope(self, x: Array) -> Array:
        """Return a sixth between -3 and 3."""
        return np.where((x > -3) & (x < 3), x.dtype.type(1) / 6, x.dtype.type(0))


class Hardswish(Activation):
    """x (x + 3) / 6 between -3 and 3, 0 below and x above (Howard et al., 2019)."""

    def value(self, x: Array) -> Array:
        """Return x times the line."""
        return np.asarray(x * (np.clip(x + 3, 0, 6) / 6))

    def slope(self, x: Array) -> Array:
        """Return 0, (2 x + 3) / 6 or 1."""
        return np.where(x <= -3, x.dtype.type(0), np.where(x >= 3, x.dtype.type(1), x / 3 + x.dtype.type(0.5)))


class Hardshrink(Piecewise):
    """x where it is farther from zero than the bound, 0 elsewhere."""

    def value(self, x: Array) -> Array:
        """Return x or 0."""
        return np.where(np.abs(x) > self.bound, x, x.dtype.type(0))

    def slope(self, x: Array) -> Array:
        """Return 1 outside the bounds."""
        return np.asarray(np.abs(x) > self.bound, dtype=x.dtype)


class Softshrink(Piecewise):
    """x less the bound of its sign, 0 between the bounds."""

    def value(self, x: Array) -> Array:
        """Return the rest."""
        return np.where(np.abs(x) > self.bound, x - np.sign(x) * x.dtype.type(self.bound), x.dtype.type(0))

    def slope(self, x: Array) -> Array:
        """Return 1 outside the bounds."""
        return np.asarray(np.abs(x) > self.bound, dtype=x.dtype)


class PReLU:
    """x where it is positive, a learned multiple of it elsewhere (He et al., 2015).

    Parameters
    ----------
    slopes : int
        One for all channels, or one for each.
    """

    def __init__(self, slopes: int = 1) -> None:
        self.params, self.grads = {"weight": np.full(slopes, 0.25)}, {"weight": np.zeros(slopes)}

    def _weight(self, x: Array) -> Array:
        return self.params["weight"].reshape(1, -1, *(1,) * (x.ndim - 2))

    def forward(self, x: Array) -> Array:
        """Return x or the multiple."""
        self._x = x
        return np.where(x > 0, x, self._weight(x) * x)

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient; that of a slope is the sum of the negative inputs of its channels times their cotangents."""
        x, weight = self._x, self._weight(self._x)
        below = np.where(x > 0, x.dtype.type(0), grad_output * x)
        axes = tuple(axis for axis in range(x.ndim) if axis != 1 or self.params["weight"].size == 1)
        self.grads["weight"] = below.sum(axis=axes).reshape(-1)
        return np.where(x > 0, grad_output, weight * grad_output)


class GLU:
    """The first half of the columns times the sigmoid of the second (Dauphin et al., 2016)."""

    def forward(self, x: Array) -> Array:
        """Return a s(b)."""
        self._a, self._b = np.split(x, 2, axis=-1)
        return self._a * sigmoid(self._b)

    def backward(self, grad_output: Array) -> Array:
        """Return g s(b), and g a s(b) s(-b)."""
        s = sigmoid(self._b)
        return np.concatenate([grad_output * s, grad_output * self._a * s * sigmoid(-self._b)], axis=-1)
