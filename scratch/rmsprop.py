"""RMSprop: each gradient divided by its root mean square over the last steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scratch.layer import Array
from scratch.optimizer import Optimizer


class RMSprop(Optimizer):
    r"""Gradient descent on gradients scaled to about unit size, with PyTorch's meaning of each setting.

    For each parameter w with gradient g, at each step, with averages that start at zero::

        g = g + weight_decay * w
        square_avg = alpha * square_avg + (1 - alpha) * g**2
        grad_avg = alpha * grad_avg + (1 - alpha) * g                     (centered)
        size = sqrt(square_avg), or sqrt(square_avg - grad_avg**2) (centered)
        d = g / (size + eps)
        buffer = momentum * buffer + d                                    (momentum)
        w = w - lr * buffer, or w - lr * d where momentum is 0

    The centered size is a standard deviation. For a gradient that never changes it is zero; rounding may make the difference negative and its root
    NaN, in PyTorch too.

    ``params`` and ``lr`` are those of :class:`Optimizer`; ``state`` has ``square_avg`` and, where they are used, ``grad_avg`` and ``momentum``.

    References
    ----------
    Hinton: Neural networks for machine learning, lecture 6e, 2012; centered: Graves, arXiv:1308.0850, 2013.
    """

    def __init__(
        self,
        params: Mapping[str, Array],
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(params, lr, state=("square_avg", "momentum", "grad_avg"))
        self.check_decay(alpha=alpha)
        self.check_at_least_zero(eps=eps, weight_decay=weight_decay, momentum=momentum)
        self.alpha, self.eps, self.weight_decay = alpha, eps, weight_decay
        self.momentum, self.centered = momentum, centered

    def update(self, name: str, param: Array, grad: Array) -> None:
        """Change one parameter by ``-lr * d``, or by ``-lr * buffer``."""
        if self.weight_decay:
            grad = grad + self.weight_decay * param
        square_avg = self.kept("square_avg", name, param)
        square_avg *= self.alpha
        square_avg += (1 - self.alpha) * grad**2
        mean_square: Array = square_avg
        if self.centered:
            grad_avg = self.kept("grad_avg", name, param)
            grad_avg *= self.alpha
            grad_avg += (1 - self.alpha) * grad
            mean_square = square_avg - grad_avg**2
        direction: Array = grad / (np.sqrt(mean_square) + self.eps)
        if self.momentum:
            buffer = self.kept("momentum", name, param)
            buffer *= self.momentum
            buffer += direction
            direction = buffer
        param -= self.lr * direction
