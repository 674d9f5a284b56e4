"""Adadelta: steps in the units of the parameter, without a learning rate to tune."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scratch.layer import Array
from scratch.optimizer import Optimizer


class Adadelta(Optimizer):
    r"""Gradient descent by the ratio of two running root mean squares, with PyTorch's meaning of each setting.

    For each parameter w with gradient g, at each step, with averages that start at zero::

        g = g + weight_decay * w
        square_avg = rho * square_avg + (1 - rho) * g**2
        delta = sqrt(acc_delta + eps) / sqrt(square_avg + eps) * g
        acc_delta = rho * acc_delta + (1 - rho) * delta**2
        w = w - lr * delta

    g divided by its own size has no unit, and the size of earlier steps has the unit of w: so delta has the unit of w. The paper has no lr, which is
    lr = 1. Without ``eps`` the first step would be 0, and so would all that follow.

    ``params`` and ``lr`` are those of :class:`Optimizer`; ``state`` has ``square_avg`` and ``acc_delta``.

    References
    ----------
    Zeiler: ADADELTA: an adaptive learning rate method, arXiv:1212.5701, 2012.
    """

    def __init__(self, params: Mapping[str, Array], lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr, state=("square_avg", "acc_delta"))
        self.check_decay(rho=rho)
        self.check_at_least_zero(eps=eps, weight_decay=weight_decay)
        self.rho, self.eps, self.weight_decay = rho, eps, weight_decay

    def update(self, name: str, param: Array, grad: Array) -> None:
        """Change one parameter by ``-lr * delta``."""
        if self.weight_decay:
            grad = grad + self.weight_decay * param
        self._move(param, grad, self.kept("square_avg", name, param), self.kept("acc_delta", name, param))

    def _move(self, param: Array, grad: Array, square_avg: Array, acc_delta: Array) -> None:
        """Change a parameter and its averages in place."""
        square_avg *= self.rho
        square_avg += (1 - self.rho) * grad**2
        delta = np.sqrt(acc_delta + self.eps) / np.sqrt(square_avg + self.eps) * grad
        acc_delta *= self.rho
        acc_delta += (1 - self.rho) * delta**2
        param -= self.lr * delta
