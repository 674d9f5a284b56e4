"""PyTorch: training runs with randomly perturbed results. The spread of such runs gives the threshold of a free run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch

_STEPS = 1 << 16
STEP = math.sqrt(12 / (_STEPS**2 - 1))
"""The spacing of 2^16 equally likely, evenly spaced numbers with mean 0 and variance 1."""


class _Perturb(torch.autograd.Function):
    """Multiply a value, and later its gradient, by random factors (1 + scale * xi), which act like enlarged rounding errors."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, scale: float, scale_grad: float, generator: torch.Generator) -> torch.Tensor:
        """Return the perturbed value."""
        ctx.scale_grad, ctx.generator = scale_grad, generator
        return perturbed(value, scale, generator)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        """Return the perturbed gradient."""
        return perturbed(grads[0], ctx.scale_grad, ctx.generator), None, None, None


def random_like(value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return a random number for each element. Times :data:`STEP`, these are uniform like rounding errors, with mean 0 and variance 1."""
    # Each draw of 64 bits gives four numbers of 16 bits. They are drawn on the CPU, so that a seed gives the same numbers on every device.
    count = value.numel()
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None, generator=generator)
    return bits.view(torch.int16)[:count].view(value.shape).to(value).add_(0.5)


def perturbed(value: torch.Tensor, scale: float, generator: torch.Generator) -> torch.Tensor:
    """Return ``value * (1 + scale * xi)``, where xi is random for each element, with mean 0 and variance 1."""
    # Not value * (1 + scale * xi): this factor is rounded more coarsely above 1 than below 1, so values would shrink on average.
    return torch.addcmul(value, value, random_like(value, generator), value=scale * STEP)


def perturb(value: torch.Tensor, scale: float, generator: torch.Generator) -> None:
    """Perturb a tensor in place, as :func:`perturbed` does."""
    if scale:
        value.addcmul_(value, random_like(value, generator), value=scale * STEP)


@dataclass(frozen=True)
class Perturbation:
    """The random perturbation of a training step; ``noise`` has its relative size for each (layer, quantity)."""

    noise: Mapping[tuple[str, str], float]
    generator: torch.Generator

    def output(self, value: torch.Tensor, layer: str, consumers: tuple[str, ...]) -> torch.Tensor:
        """Perturb a layer's output and, in the backward pass, the gradient of this output."""
        scale = self.noise.get((layer, "output"), 0.0)
        scale_grad = max(self.noise.get((consumer, "grad_input"), 0.0) for consumer in consumers)
        if not scale and not scale_grad:
            return value
        return cast("torch.Tensor", _Perturb.apply(value, scale, scale_grad, self.generator))

    def gradients(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Perturb the gradients of parameters in place; the keys are ``layer.parameter``."""
        for name, value in tensors.items():
            layer, _, quantity = name.rpartition(".")
            if value.grad is not None:
                perturb(value.grad, self.noise.get((layer, f"{quantity}.grad"), 0.0), self.generator)

    def values(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Perturb parameters after an update, or buffers after a forward pass, in place."""
        with torch.no_grad():
            for name, value in tensors.items():
                layer, _, quantity = name.rpartition(".")
                perturb(value, self.noise.get((layer, quantity), 0.0), self.generator)
