"""Adam and AdamW: running means of the gradient and of its square, both corrected because they start at zero."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scratch.layer import Array
from scratch.optimizer import Optimizer


class Adam(Optimizer):
    r"""Gradient descent by the mean gradient divided by the root mean square gradient, with PyTorch's meaning of each setting.

    For each parameter w with gradient g, at step t = 1, 2, ..., with averages that start at zero and (beta1, beta2) = betas::

        g = g + weight_decay * w
        exp_avg = beta1 * exp_avg + (1 - beta1) * g
        exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * g**2
        max_exp_avg_sq = max(max_exp_avg_sq, exp_avg_sq), elementwise     (amsgrad; without it exp_avg_sq takes its place)
        w = w - lr * (exp_avg / (1 - beta1**t)) / (sqrt(max_exp_avg_sq / (1 - beta2**t)) + eps)

    After t steps the weights in an average that starts at zero add up to 1 - beta**t: divided by this sum it is a mean. ``amsgrad`` uses the largest
    mean square so far, so that steps do not grow when large gradients are forgotten.

    ``params`` and ``lr`` are those of :class:`Optimizer`; ``state`` has ``exp_avg``, ``exp_avg_sq``, ``step`` (a 0-d float array) and, with
    amsgrad, ``max_exp_avg_sq``.

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
        """Change one parameter; the weight decay is part of its gradient."""
        self.descend(name, param, grad + self.weight_decay * param if self.weight_decay else grad)

    def descend(self, name: str, param: Array, grad: Array) -> None:
        """Update the averages with a gradient, then the parameter with the averages."""
        beta1, beta2 = self.betas
        step = self.state["step"].setdefault(name, np.zeros(()))
        step += 1
        steps = float(step)  # a Python number, so that float32 arrays stay float32
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
    """Adam whose weight decay shrinks the parameter directly, ``w = w - lr * weight_decay * w`` before each step, and does not enter the averages.

    :class:`Adam` divides the decay by the size of the gradient, so weights with large gradients hardly decay. Parameters and state are those of
    :class:`Adam`.

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
        """Shrink one parameter by the decay, then change it by Adam's step."""
        param *= 1 - self.lr * self.weight_decay
        self.descend(name, param, grad)
