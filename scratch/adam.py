"""Adam and AdamW: running means of the gradient and of its square, both corrected for having started at zero."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scratch.layer import Array
from scratch.optimizer import Optimizer


class Adam(Optimizer):
    r"""Gradient descent by the mean gradient over its root mean square, with PyTorch's meaning of each setting.

    For each parameter w with gradient g, at step t = 1, 2, ..., from averages of zero and with (beta1, beta2) = betas::

        g = g + weight_decay * w
        exp_avg = beta1 * exp_avg + (1 - beta1) * g
        exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * g**2
        max_exp_avg_sq = max(max_exp_avg_sq, exp_avg_sq), elementwise     (amsgrad; else exp_avg_sq is used in its place)
        w = w - lr * (exp_avg / (1 - beta1**t)) / (sqrt(max_exp_avg_sq / (1 - beta2**t)) + eps)

    An average that starts at zero has, after t steps, weights that add up to 1 - beta**t: dividing by that makes it a mean.

    Parameters
    ----------
    params : mapping of str to array
        The parameters by name; :meth:`step` changes these arrays in place.
    lr : float
        Learning rate.
    betas : (float, float)
        Weights of the past in the two averages.
    eps, weight_decay : float
        As above; ``eps`` stands outside of the root, which is that of the corrected average.
    amsgrad : bool
        Whether the largest mean square so far is used, so that no step grows because large gradients are forgotten.

    Attributes
    ----------
    state : dict of str to dict of str to array
        ``exp_avg``, ``exp_avg_sq``, ``step`` (a 0-d float array) and, with amsgrad, ``max_exp_avg_sq`` of each parameter, from its first step on.

    References
    ----------
    Kingma, Ba: Adam: a method for stochastic optimization, ICLR 2015; amsgrad: Reddi, Kale, Kumar: On the convergence of Adam and beyond, ICLR 2018.
    """

    def __init__(
        self,
        params: Mapping[str, Array],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, state=("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"))
        self.check_decay(beta1=betas[0], beta2=betas[1])
        self.check_at_least_zero(eps=eps, weight_decay=weight_decay)
        self.betas, self.eps, self.weight_decay, self.amsgrad = betas, eps, weight_decay, amsgrad

    def update(self, name: str, param: Array, grad: Array) -> None:
        """Move one parameter; the decay is part of its gradient."""
        self.descend(name, param, grad + self.weight_decay * param if self.weight_decay else grad)

    def descend(self, name: str, param: Array, grad: Array) -> None:
        """Move the averages on by one step and the parameter by what they give."""
        beta1, beta2 = self.betas
        step = self.state["step"].setdefault(name, np.zeros(()))
        step += 1
        # As a Python number, which leaves float32 arrays what they are.
        steps = float(step)
        exp_avg, exp_avg_sq = self.kept("exp_avg", name, param), self.kept("exp_avg_sq", name, param)
        exp_avg *= beta1
        exp_avg += (1 - beta1) * grad
        exp_avg_sq *= beta2
        exp_avg_sq += (1 - beta2) * grad**2
        mean_square = exp_avg_sq
        if self.amsgrad:
            mean_square = self.kept("max_exp_avg_sq", name, param)
            np.maximum(mean_square, exp_avg_sq, out=mean_square)
        size = np.sqrt(mean_square / (1 - beta2**steps)) + self.eps
        param -= self.lr / (1 - beta1**steps) * exp_avg / size


class AdamW(Adam):
    """Adam whose weight decay acts on the parameter and stays out of the averages: ``w = w - lr * weight_decay * w`` before each step.

    In :class:`Adam` the decay is divided by the gradient's size like the rest of the gradient, so that weights with large gradients hardly decay.
    Parameters and state are those of :class:`Adam`.

    References
    ----------
    Loshchilov, Hutter: Decoupled weight decay regularization, ICLR 2019.
    """

    def __init__(
        self,
        params: Mapping[str, Array],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)

    def update(self, name: str, param: Array, grad: Array) -> None:
        """Let one parameter decay, then move it."""
        param *= 1 - self.lr * self.weight_decay
        self.descend(name, param, grad)
