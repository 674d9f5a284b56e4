"""The settings of optimizers, with PyTorch's meaning and PyTorch's defaults of each, and the names of the state that they make an optimizer keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class SgdSettings:
    """Stochastic gradient descent."""

    lr: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    @property
    def states(self) -> tuple[str, ...]:
        """The buffer of momentum, where there is any."""
        return ("momentum",) if self.momentum else ()


@dataclass(frozen=True)
class AdadeltaSettings:
    """Adadelta (Zeiler, 2012); Keras 1 and 2 have lr = 1 and eps = 1e-7 or 1e-6."""

    lr: float = 1.0
    rho: float = 0.9
    eps: float = 1e-6
    weight_decay: float = 0.0

    @property
    def states(self) -> tuple[str, ...]:
        """The running means of the squared gradients and of the squared steps."""
        return ("square_avg", "acc_delta")


@dataclass(frozen=True)
class RmspropSettings:
    """RMSprop (Hinton, Neural networks for machine learning, lecture 6, 2012); centered, it divides by the standard deviation (Graves, 2013)."""

    lr: float = 0.01
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    centered: bool = False

    @property
    def states(self) -> tuple[str, ...]:
        """The running mean of the squared gradients, the buffer of momentum, the running mean of the gradients."""
        return ("square_avg", *(("momentum",) if self.momentum else ()), *(("grad_avg",) if self.centered else ()))


@dataclass(frozen=True)
class AdamSettings:
    """Adam (Kingma and Ba, 2015), with the largest second moment so far (Reddi et al., 2018), and AdamW, decoupled (Loshchilov and Hutter, 2019)."""

    lr: float = 0.001
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False
    amsgrad: bool = False

    @property
    def states(self) -> tuple[str, ...]:
        """The running means of gradients and squared gradients, the largest of the latter, the number of steps."""
        return ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if self.amsgrad else ()), "step")


Settings: TypeAlias = SgdSettings | AdadeltaSettings | RmspropSettings | AdamSettings
"""What is known of an optimizer."""
