"""The update of parameters by gradient descent: its settings, and the theory of its rounding errors.

An optimizer is one more pure function, ``update(params, grads, state) -> params, state``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from crosscheck.arithmetic import Array, Bound

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class SgdSettings:
    """Stochastic gradient descent with PyTorch's meaning of each setting."""

    lr: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0


class Update(Protocol):
    """An optimizer's step as a pure function."""

    @property
    def settings(self) -> SgdSettings:
        """The settings of the optimizer."""

    def update(self, params: Arrays, grads: Arrays, state: Arrays) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return the parameters after a step, and the state: the momentum buffers, named like the parameters, empty before the first step."""


def absolute_step(settings: SgdSettings, param: Array, grad: Array, buffer: Array | None) -> tuple[Array, Array]:
    """Return the sums of absolute terms of the updated parameter and of its momentum buffer.

    The optimizer's own formula on absolute values, with every sign a plus.
    """
    s = settings
    grad = np.abs(grad) + s.weight_decay * np.abs(param)
    buffer = grad if buffer is None else s.momentum * np.abs(buffer) + abs(1 - s.dampening) * grad
    direction = (grad + s.momentum * buffer if s.nesterov else buffer) if s.momentum else grad
    return np.abs(param) + s.lr * direction, buffer


def update_bounds(settings: SgdSettings, param: Array, grad: Array, buffer: Array | None) -> tuple[Bound, Bound]:
    """Return the bounds of the updated parameter and of its momentum buffer.

    Each product rounds twice, because its scalar (lr = 0.005, say) is itself rounded to the parameter's precision; each sum rounds once.
    """
    product_and_sum = 3.0
    param_terms, buffer_terms = absolute_step(settings, param, grad, buffer)
    decay = product_and_sum if settings.weight_decay else 0.0
    smoothing = decay + (0.0 if buffer is None else product_and_sum + 2)
    direction = (smoothing + (product_and_sum if settings.nesterov else 0.0)) if settings.momentum else decay
    return Bound(param_terms, direction + product_and_sum), Bound(buffer_terms, smoothing)


def update_carried(settings: SgdSettings, error_grad: Array) -> Array:
    """Return how far an updated parameter moves when its gradient is off by up to ``error_grad``, the state being given."""
    nothing = np.zeros_like(error_grad)
    return absolute_step(settings, nothing, error_grad, nothing)[0]
