"""PyTorch's modules that are one operation in training and another one in evaluation: batch normalisation, dropout, and what is made of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import nn

from crosscheck.frameworks.pytorch import SharedDropout, oracle
from crosscheck.operation import InTraining

_KEEPING = nn.modules.batchnorm._NormBase


def in_training(reference: nn.Module | Callable[..., Any]) -> InTraining | None:
    """Return a module in training with what it is in evaluation; None where there is no such difference, or the module evaluates itself.

    A dropout takes the subject's mask. A chain is left out: nothing gives its parts their running statistics.

    Raises
    ------
    TypeError
        If it can be no reference: it draws a mask inside.
    """
    if not isinstance(reference, nn.Module) or isinstance(reference, nn.Sequential) or not any(map(_differs, reference.modules())):
        return None
    evaluation = oracle(copy.deepcopy(reference).eval())
    if isinstance(reference, nn.Dropout) and type(reference).forward is nn.Dropout.forward and 0 < reference.p < 1:
        return InTraining(oracle(SharedDropout(reference.p)), oracle(SharedDropout(reference.p).eval()), {}, reference.p)
    return InTraining(oracle(reference), evaluation, _running_statistics(reference))


def _differs(module: nn.Module) -> bool:
    """Return whether a module in training is another operation in evaluation: one that drops, or that has running statistics."""
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return bool(module.training and module.p > 0)
    return bool(isinstance(module, _KEEPING) and module.training and module.running_mean is not None)


def _running_statistics(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the running statistics of a module's normalisations; a count of batches is none of them."""
    keeping = {name: part for name, part in module.named_modules() if isinstance(part, _KEEPING)}
    return {
        f"{name}.{own}" if name else own: tuple(value.shape)
        for name, part in keeping.items()
        for own, value in part.named_buffers(recurse=False)
        if value.is_floating_point()
    }
