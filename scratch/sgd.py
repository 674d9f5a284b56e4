"""Stochastic gradient descent in PyTorch's form."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scratch.layer import Array


class SGD:
    r"""Gradient descent with momentum, dampening, Nesterov's form and weight decay, each with PyTorch's meaning.

    For each parameter w with gradient g, at each step::

        g = g + weight_decay * w
        buffer = g at the first step, then momentum * buffer + (1 - dampening) * g
        d = g + momentum * buffer (nesterov), or buffer, or g where momentum is 0
        w = w - lr * d

    Parameters
    ----------
    params : mapping of str to array
        The parameters by name; :meth:`step` changes these arrays in place.
    lr : float
        Learning rate.
    momentum, dampening, weight_decay : float
        As above.
    nesterov : bool
        Needs momentum above 0 and no dampening.

    Attributes
    ----------
    buffers : dict of str to array
        The momentum buffer of each parameter, from its first step on.

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
        for name, value in (("lr", lr), ("momentum", momentum), ("weight_decay", weight_decay)):
            if not (value >= 0 and np.isfinite(value)):
                raise ValueError(f"SGD: {name}={value!r}, expected a number of at least 0")
        if not np.isfinite(dampening):
            raise ValueError(f"SGD: dampening={dampening!r}, expected a finite number")
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(f"SGD: nesterov needs momentum above 0 and dampening 0, found momentum={momentum!r}, dampening={dampening!r}")
        self.params = params
        self.lr, self.momentum, self.dampening = lr, momentum, dampening
        self.nesterov, self.weight_decay = nesterov, weight_decay
        self.buffers: dict[str, Array] = {}

    def step(self, grads: Mapping[str, Array]) -> None:
        """Update every parameter in place.

        Parameters
        ----------
        grads : mapping of str to array
            A gradient for each name in ``params``, in the parameter's shape; the arrays are not written to.
        """
        missing = [name for name in self.params if name not in grads]
        if missing:
            raise KeyError(f"SGD: no gradient for {', '.join(missing)}; run backward first")
        for name, param in self.params.items():
            # NumPy would stretch a smaller gradient over the parameter without a word.
            if grads[name].shape != param.shape:
                raise ValueError(f"SGD: the gradient for {name} has shape {grads[name].shape}, expected {param.shape}, the parameter's")
        for name, param in self.params.items():
            grad = grads[name]
            if self.weight_decay:
                grad = grad + self.weight_decay * param
            np.subtract(param, self.lr * (self._smoothed(name, grad) if self.momentum else grad), out=param)

    def _smoothed(self, name: str, grad: Array) -> Array:
        """Move the momentum buffer on by one step and return the direction that it gives."""
        if name in self.buffers:
            buffer = self.buffers[name]
            buffer *= self.momentum
            buffer += (1 - self.dampening) * grad
        else:
            buffer = self.buffers[name] = grad.copy()
        return grad + self.momentum * buffer if self.nesterov else buffer
