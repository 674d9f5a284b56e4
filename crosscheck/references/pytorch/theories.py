"""The error theory (see :mod:`crosscheck.oracles.theories`) of each kind of PyTorch module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard, TypeVar

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from crosscheck.core.arguments import DEFAULT_IGNORED
from crosscheck.core.operation import Call, Operation, Rounding
from crosscheck.oracles import theories
from crosscheck.references.pytorch.kernels import pair
from crosscheck.references.pytorch.modules import NegativeLogLikelihood, SameConv2d, SharedDropout

_Kind = TypeVar("_Kind", bound=nn.Module)


def is_own(module: object, kind: type[_Kind]) -> TypeGuard[_Kind]:
    """Return whether a module is an instance of a class and uses the forward method of this class, not of a subclass."""
    return isinstance(module, kind) and type(module).forward is kind.forward


def theory_of(module: object, operation: Callable[[Any], Operation]) -> Rounding | None:
    """Return the error theory of a module; None if no theory covers its class or its settings.

    ``operation`` turns a module or function into an operation; it is used for the sums of an average pooling.
    """
    for kind, theory in _THEORIES.items():
        if is_own(module, kind) and (known := theory(module)) is not None:
            return known
    for kind, sums in _SUMS.items():
        if is_own(module, kind) and (added := sums(module)) is not None:
            return theories.Average(operation(added))
    return None


def _max_pooling(module: nn.MaxPool2d) -> Rounding:
    reach = [step * (size - 1) + 1 for step, size in zip(pair(module.dilation), pair(module.kernel_size), strict=True)]
    return theories.Selection(overlapping=any(length > step for length, step in zip(reach, pair(module.stride), strict=True)))


def _cross_entropy(module: nn.CrossEntropyLoss) -> Rounding | None:
    if module.reduction not in ("mean", "sum") or module.weight is not None or module.label_smoothing:
        return None
    return theories.Where(_counted(module.ignore_index), theories.CrossEntropy("mean" if module.reduction == "mean" else "sum"))


def _normalization(module: _BatchNorm) -> Rounding | None:
    if module.momentum is None:  # then running statistics are averages over all batches
        return None
    buffers = {name: value.numpy(force=True).astype(np.float64) for name, value in module.named_buffers() if value.is_floating_point()}
    return theories.Normalization(module.eps, module.momentum, module.training or not buffers, buffers)


def _log_likelihood(module: nn.NLLLoss) -> Rounding | None:
    plain = module.reduction == "mean" and module.weight is None
    return theories.Where(_counted(module.ignore_index), theories.NegativeLogLikelihood()) if plain else None


def _counted(ignored: int) -> Callable[[Call], bool]:
    """Return a function that says whether a loss gets a matrix of logits and labels none of which is ignored."""
    return lambda call: call.x.ndim == 2 and _has_target(call) and call.target.dtype.kind in "iu" and not bool((call.target == ignored).any())


def _has_target(call: Call) -> bool:
    """Return whether the second argument of a loss has no gradient."""
    return len(call.inputs) == len(call.constants) == 1


def _along_last_axis(dim: int | None) -> Callable[[Call], bool]:
    return lambda call: dim in (-1, call.x.ndim - 1)


_SUMS_OF_PRODUCTS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, SameConv2d, nn.Linear)

_THEORIES: Mapping[type[nn.Module], Callable[[Any], Rounding | None]] = {
    **dict.fromkeys(_SUMS_OF_PRODUCTS, lambda module: theories.Multilinear()),
    **dict.fromkeys((nn.ZeroPad2d, nn.ReLU, nn.Flatten), lambda module: theories.Selection()),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _normalization),
    nn.MaxPool2d: _max_pooling,
    SharedDropout: lambda module: theories.Scaling(module.p) if module.training else theories.Keeping(p=module.p),
    nn.LeakyReLU: lambda module: theories.LeakyReLU(module.negative_slope),
    nn.Sigmoid: lambda module: theories.Elementwise(theories.sigmoid),
    nn.Tanh: lambda module: theories.Elementwise(theories.tanh),
    nn.GELU: lambda module: theories.GELU[module.approximate],
    nn.Softmax: lambda module: theories.Where(_along_last_axis(module.dim), theories.Softmax()) if module.dim in (1, -1) else None,
    nn.LogSoftmax: lambda module: theories.Where(_along_last_axis(module.dim), theories.LogSoftmax()) if module.dim in (1, -1) else None,
    nn.CrossEntropyLoss: _cross_entropy,
    NegativeLogLikelihood: lambda module: theories.Where(_counted(DEFAULT_IGNORED), theories.LogLikelihood()),
    nn.NLLLoss: _log_likelihood,
    nn.MSELoss: lambda module: theories.Where(_has_target, theories.SquaredError()) if module.reduction == "mean" else None,
}
"""For each class of modules, a function that returns a module's error theory, or None if its settings are not covered."""


def _window_sums(module: nn.AvgPool2d) -> nn.Module:
    return nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode, divisor_override=1)


def _image_sums(module: nn.AdaptiveAvgPool2d) -> Callable[..., Any] | None:
    return (lambda x: x.sum(dim=(-2, -1), keepdim=True)) if module.output_size in (1, (1, 1)) else None


_SUMS: Mapping[type[nn.Module], Callable[[Any], Any]] = {nn.AvgPool2d: _window_sums, nn.AdaptiveAvgPool2d: _image_sums}
"""For each class of average pooling, a function that returns the sums before the division as an operation, or None if settings are not covered."""
