"""Layers that are two functions, with arguments of many names."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from crosscheck.core.precision import Array


def linear_forward(x: Array, weights: Array, b: Array) -> Any:
    """Return a linear map; weights are inputs by outputs."""
    return x @ weights + b, (x, weights)


def linear_backward(dout: Array, cache: Any) -> Any:
    x, weights = cache
    return dout @ weights.T, x.T @ dout, dout.sum(axis=0)


def doubled_backward(dout: Array, cache: Any) -> Any:
    """Return a weight's gradient that is doubled."""
    dx, dw, db = linear_backward(dout, cache)
    return dx, 2 * dw, db


def as_pytorch_forward(inp: Array, kernel: Array) -> Any:
    """Return a linear map without a bias; the kernel is outputs by inputs."""
    return inp @ kernel.T


def as_pytorch_backward(delta: Array, inp: Array, kernel: Array) -> Any:
    return delta @ kernel, delta.T @ inp


def unnamed_forward(a: Array, p: Array, q: Array) -> Any:
    """Return a linear map whose arguments say nothing, the bias first."""
    return a @ q + p, (a, q)


def unnamed_backward(d: Array, cache: Any) -> Any:
    dx, dq, dp = linear_backward(d, cache)
    return dx, dp, dq


def scaled_forward(x: Array, w: Array, b: Array, scale: float) -> Any:
    """Return a linear map times a number that is no parameter."""
    return scale * (x @ w + b), (x, w, scale)


def scaled_backward(dout: Array, cache: Any) -> Any:
    x, w, scale = cache
    return linear_backward(scale * dout, (x, w))


class ScaledLinear(nn.Linear):  # type: ignore[misc]
    """What it is compared with."""

    scale = 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.scale * super().forward(x)
        return output
