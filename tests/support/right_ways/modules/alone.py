"""A module as a function of one tensor: its other arguments are fixed, and its other results are dropped or concatenated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn


class Alone(nn.Module):  # type: ignore[misc]
    """A module that gets one tensor and returns one: ``call`` gets the module ``own``, whose parameters have the prefix ``own.``, and the tensor."""

    def __init__(self, own: nn.Module, call: Callable[[Any, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.own = own
        self._call = call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._call(self.own, x)


def numbers(*shape: int, seed: int = 7) -> torch.Tensor:
    """Return fixed normal numbers in float32, so that they are the same in float64."""
    return torch.from_numpy(np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32))


def whole(below: int, *shape: int, seed: int = 7) -> torch.Tensor:
    """Return whole numbers from 0 on, such as labels."""
    return torch.from_numpy(np.random.default_rng([seed, *shape]).integers(0, below, shape))


def signs(*shape: int) -> torch.Tensor:
    return 2.0 * whole(2, *shape) - 1.0


def beside(own: nn.Module, *others: torch.Tensor) -> Alone:
    """Return a loss with fixed targets, which repeat for a larger batch."""
    return Alone(own, lambda own, x: own(x, *(repeated(other, x) for other in others)))


def between(own: nn.Module, *others: torch.Tensor) -> Alone:
    """Return a module of several tensors, stacked along the input's second axis; ``others`` are fixed."""
    return Alone(own, lambda own, x: own(*x.unbind(1), *(repeated(other, x) for other in others)))


def repeated(fixed: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return a fixed tensor with a sample for each of the input's, in the input's precision."""
    enough = fixed[np.arange(len(x)) % len(fixed)]
    return enough.to(x.dtype) if fixed.is_floating_point() else enough


def everything(results: Any) -> torch.Tensor:
    """Return the results of a recurrent module as one array, with a row for each sample: the outputs, then the last states."""
    output, states = results
    states = states if isinstance(states, tuple) else (states,)
    return torch.cat([output.flatten(1), *(state.transpose(0, 1).flatten(1) for state in states)], dim=1)
