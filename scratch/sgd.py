"""Stochastic gradient descent in PyTorch's form."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scratch.layer import Array
from scratch.optimizer import Optimizer


class SGD(Optimizer):
    r"""Gradient descent with momentum, dampening, Nesterov's form and weight decay, each with PyTorch's meaning.

    For each parameter w with gradient g, at each step::

        g = g + weight_decay * w
        buffer = g at the first step, then momentum * buffer + (1 - dampening) * g
        d = g + momentum * buffer (nesterov), or buffer, or g where momentum is 0
        w = w - lr * d

    ``params`` and ``lr`` are those of :class:`Optimizer`; ``state["momentum"]`` has the buffers. ``nesterov`` needs momentum above 0 and dampening 0.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum in deep learning, ICML 2013.
    """

    def __init__(
        self,
        params: Mapping[str, Array],
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, state=("momentum",))
        self.check_at_least_zero(momentum=momentum, weight_decay=weight_decay)
        if not np.isfinite(dampening):
            raise ValueError(f"SGD: dampening={dampening!r}, expected a finite number")
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(f"SGD: nesterov needs momentum above 0 and dampening 0, found momentum={momentum!r}, dampening={dampening!r}")
        self.momentum, self.dampening = momentum, dampening
        self.nesterov, self.weight_decay = nesterov, weight_decay

    def update(self, name: str, param: Array, grad: Array) -> None:
        """Change one parameter by ``-lr * d``."""
        if self.weight_decay:
            grad = grad + self.weight_decay * param
        param -= self.lr * (self._smoothed(name, grad) if self.momentum else grad)

    def _smoothed(self, name: str, grad: Array) -> Array:
        """Update the momentum buffer of a parameter and return the direction d."""
        buffers = self.state["momentum"]
        if name in buffers:
            buffer = buffers[name]
            buffer *= self.momentum
            buffer += (1 - self.dampening) * grad
        else:
            buffer = buffers[name] = grad.copy()
        return grad + self.momentum * buffer if self.nesterov else buffer
