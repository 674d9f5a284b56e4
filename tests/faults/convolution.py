"""Faults in convolutions."""

from __future__ import annotations

from textbook.convolution import Conv2d
from torch import nn

from crosscheck import Pair
from crosscheck.arithmetic import Array
from faults.fault import Host, planted

SAME = {"weight": "weight", "bias": "bias"}

CONV = Host("conv", Conv2d, lambda kind: Pair(kind(2, 3, (3, 3)), nn.Conv2d(2, 3, 3), shapes=[(4, 2, 7, 6)], params=SAME, name="conv"))


@planted(CONV, at="output", cause="kernel flipped", hidden="a kernel that is symmetric, such as one of equal numbers, hides it")
class KernelFlipped(Conv2d):
    """The kernel is turned by 180 degrees: convolution where cross-correlation is due."""

    def weight(self) -> Array:
        """Return the kernels, turned."""
        return super().weight()[..., ::-1, ::-1]


@planted(CONV, at="bias.grad", cause="constant factor", hidden="with a batch of one the mean is the sum")
class BiasGradientAveraged(Conv2d):
    """The bias's gradient is averaged over the batch, where it has to be summed."""

    def bias_gradient(self, grad_output: Array) -> Array:
        """Return the mean over samples."""
        return super().bias_gradient(grad_output) / len(grad_output)
