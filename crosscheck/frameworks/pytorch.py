"""PyTorch: modules as oracles, by autograd.

An entry of the table says which error theory a kind of module follows; what is not in the table has no tolerance and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.func import functional_call

from crosscheck.arithmetic import Array
from crosscheck.chain import Composite
from crosscheck.operation import Call, Oracle, RefusedError, Rounding
from crosscheck.rounding import CrossEntropy, LogLikelihood, Multilinear, Selection, Softmax

NAME = f"PyTorch {torch.__version__}"


class NegativeLogLikelihood(nn.Module):
    """-ln p[label] of probabilities, the mean over the batch: the loss of a network that ends in a softmax."""

    def forward(self, probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of ``(batch, classes)`` probabilities for ``(batch,)`` labels."""
        return nn.functional.nll_loss(probabilities.log(), labels)


def tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    """Return a tensor with a copy of an array's numbers, so that neither side can write to the other's."""
    return torch.from_numpy(np.array(array, order="C"))


def array(value: torch.Tensor) -> Array:
    """Return a tensor's numbers as an array of its own."""
    return cast("Array", value.detach().cpu().numpy().copy())


def oracle(module: nn.Module) -> Oracle:
    """Return the oracle of a module, computed in the precision of the arrays that it is given.

    Raises
    ------
    TypeError
        If no error theory is known for this kind of module.
    """
    if isinstance(module, nn.Sequential):
        children = list(module)
        names = tuple(tuple(name for name, _ in child.named_parameters()) for child in children)
        return Composite(tuple(oracle(child) for child in children), names)
    for kind, theory in _THEORIES.items():
        if isinstance(module, kind):
            return TorchOracle(module, theory(module), _settings(module))
    known = ", ".join(kind.__name__ for kind in _THEORIES)
    raise TypeError(f"no error theory for torch.nn.{type(module).__name__}; known are {known} and Sequential of these")


@dataclass(frozen=True)
class TorchOracle:
    """A module of PyTorch as a pure function."""

    module: nn.Module
    rounding: Rounding
    settings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return output and gradients by autograd; a loss gets its labels, an operation with kinks the decisions imposed on it."""
        try:
            return self._vjp(call)
        except (RuntimeError, ValueError, IndexError) as error:
            shapes = f"an input of shape {call.x.shape}" + "".join(f", {name} {value.shape}" for name, value in call.params.items())
            raise RefusedError(f"{NAME}'s {type(self.module).__name__} refuses {shapes}: {str(error).splitlines()[0]}") from error

    def _vjp(self, call: Call) -> dict[str, Array]:
        with torch.set_grad_enabled(call.grad_output is not None):
            x = tensor(call.x).requires_grad_(call.grad_output is not None)
            params = {name: tensor(value).requires_grad_(call.grad_output is not None) for name, value in call.params.items()}
            output = self._apply(x, params, call)
            if call.grad_output is None:
                return {"output": array(output)}
            output.backward(tensor(call.grad_output))
        leaves = {"grad_input": x, **{f"{name}.grad": value for name, value in params.items()}}
        grads = {name: np.zeros(leaf.shape, call.x.dtype) if leaf.grad is None else array(leaf.grad) for name, leaf in leaves.items()}
        return {"output": array(output), **grads}

    def _apply(self, x: torch.Tensor, params: dict[str, torch.Tensor], call: Call) -> torch.Tensor:
        if "decisions" in call.constants:
            decided = torch.from_numpy(call.constants["decisions"])
            if isinstance(self.module, nn.ReLU):
                return x * decided
            return x.flatten(2).gather(2, decided.flatten(2)).view(decided.shape)
        inputs = (x, tensor(call.constants["labels"])) if "labels" in call.constants and _is_loss(self.module) else (x,)
        return cast("torch.Tensor", functional_call(self.module, params, inputs))

    def decisions(self, x: Array) -> npt.NDArray[Any] | None:
        """Return the sign of each element for ReLU, the index of each window's winner within its plane for max pooling."""
        if isinstance(self.module, nn.ReLU):
            return np.asarray(x > 0, dtype=x.dtype)
        if isinstance(self.module, nn.MaxPool2d):
            m = self.module
            _, winners = nn.functional.max_pool2d(tensor(x), m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode, return_indices=True)
            return cast("npt.NDArray[Any]", winners.numpy())
        return None


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


_WITH_MODES = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)


def has_modes(reference: nn.Module | Callable[..., Any]) -> bool:
    """Return whether a reference is another operation in training than in evaluation: a dropout, a normalisation with running statistics."""
    return isinstance(reference, nn.Module) and any(isinstance(module, _WITH_MODES) for module in reference.modules())


def _settings(module: nn.Module) -> dict[str, tuple[int, ...]]:
    if getattr(module, "ceil_mode", False) or _pair(getattr(module, "dilation", 1)) != (1, 1):
        return {}  # windows of another kind than hypotheses about them know
    names = {"kernel": "kernel_size", "stride": "stride", "padding": "padding"}
    return {ours: _pair(getattr(module, theirs)) for ours, theirs in names.items() if hasattr(module, theirs)}


def _is_loss(module: nn.Module) -> bool:
    return isinstance(module, nn.CrossEntropyLoss | NegativeLogLikelihood)


def _pooling(module: nn.Module) -> Rounding:
    assert isinstance(module, nn.MaxPool2d)
    reach = [step * (size - 1) + 1 for step, size in zip(_pair(module.dilation), _pair(module.kernel_size), strict=True)]
    return Selection(overlapping=any(length > step for length, step in zip(reach, _pair(module.stride), strict=True)))


def _cross_entropy(module: nn.Module) -> Rounding:
    assert isinstance(module, nn.CrossEntropyLoss)
    if module.reduction not in ("mean", "sum") or module.weight is not None or module.label_smoothing:
        raise TypeError("no error theory for torch.nn.CrossEntropyLoss with class weights, label smoothing or reduction='none'")
    return CrossEntropy("mean" if module.reduction == "mean" else "sum")


_THEORIES: dict[type[nn.Module], Callable[[nn.Module], Rounding]] = {
    nn.Conv2d: lambda module: Multilinear(),
    nn.Linear: lambda module: Multilinear(),
    nn.MaxPool2d: _pooling,
    nn.ReLU: lambda module: Selection(),
    nn.Flatten: lambda module: Selection(),
    nn.Softmax: lambda module: Softmax(),
    nn.CrossEntropyLoss: _cross_entropy,
    NegativeLogLikelihood: lambda module: LogLikelihood(),
}


def parameter_shapes(reference: nn.Module | Callable[..., Any]) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of a module's parameters by name, those of a chain by their own names; None for a function."""
    if isinstance(reference, nn.Module):
        return {name: tuple(value.shape) for name, value in reference.named_parameters()}
    return None


def takes_labels(reference: nn.Module | Callable[..., Any]) -> bool:
    """Return whether a reference is a loss that takes labels."""
    return isinstance(reference, nn.Module) and _is_loss(reference)
