"""PyTorch: a training whose rounding is perturbed at random, the yardstick of a free run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch

_STEPS = 1 << 16
STEP = math.sqrt(12 / (_STEPS**2 - 1))
"""The distance of so many equally likely numbers, in even steps around 0, whose variance is 1."""


class _Perturb(torch.autograd.Function):
    """Multiply by (1 + scale * xi), xi random, and the gradient by another such factor: rounding, at random and enlarged."""

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
    """Return random numbers of mean 0 and variance 1 in units of :data:`STEP`, uniform as rounding errors are, one for each element."""
    # Sixteen bits are plenty for a random factor, and four of them come of one draw; drawn on the CPU, a seed means the same on every device.
    count = value.numel()
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None, generator=generator)
    return bits.view(torch.int16)[:count].view(value.shape).to(value).add_(0.5)


def perturbed(value: torch.Tensor, scale: float, generator: torch.Generator) -> torch.Tensor:
    """Return ``value * (1 + scale * xi)`` with xi of mean 0 and variance 1, independent for each element."""
    # As a sum: 1 + scale * xi itself rounds, below 1 otherwise than above, and would shrink all numbers step by step.
    return torch.addcmul(value, value, random_like(value, generator), value=scale * STEP)


def perturb(value: torch.Tensor, scale: float, generator: torch.Generator) -> None:
    """Perturb a tensor in place."""
    if scale:
        value.addcmul_(value, random_like(value, generator), value=scale * STEP)


@dataclass(frozen=True)
class Perturbation:
    """How strongly each quantity of a training step is perturbed.

    Attributes
    ----------
    noise : mapping of (str, str) to float
        The relative size for each (layer, quantity).
    """

    noise: Mapping[tuple[str, str], float]
    generator: torch.Generator

    def output(self, value: torch.Tensor, layer: str, consumers: tuple[str, ...]) -> torch.Tensor:
        """Perturb a layer's output, and on the way back the gradient that its consumers return for it."""
        scale = self.noise.get((layer, "output"), 0.0)
        scale_grad = max(self.noise.get((consumer, "grad_input"), 0.0) for consumer in consumers)
        if not scale and not scale_grad:
            return value
        return cast("torch.Tensor", _Perturb.apply(value, scale, scale_grad, self.generator))

    def gradients(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Perturb the gradients of parameters, named ``layer.parameter``."""
        for name, value in tensors.items():
            layer, _, quantity = name.rpartition(".")
            if value.grad is not None:
                perturb(value.grad, self.noise.get((layer, f"{quantity}.grad"), 0.0), self.generator)

    def values(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Perturb parameters after an update, or what layers keep after a forward pass, in place."""
        with torch.no_grad():
            for name, value in tensors.items():
                layer, _, quantity = name.rpartition(".")
                perturb(value, self.noise.get((layer, quantity), 0.0), self.generator)
