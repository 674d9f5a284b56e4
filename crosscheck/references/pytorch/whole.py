"""PyTorch: any module with its loss as one function of a batch, for the comparison of whole models.

The function returns the loss and the network's output, so that the theory of any function bounds their errors and those of all gradients.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from crosscheck.core.arguments import flat
from crosscheck.core.operation import Arrays, Call, Oracle
from crosscheck.oracles.optimizers import Settings
from crosscheck.oracles.whole import LossError, Recorded
from crosscheck.references.functions import REFUSALS, reason_of, title
from crosscheck.references.pytorch.followed import Followed
from crosscheck.references.pytorch.optimizers import TorchOptimizer, shifted
from crosscheck.references.pytorch.oracle import NAME, array, oracle, tensor
from crosscheck.references.pytorch.training import optimizer

__all__ = ["NAME", "Followed", "WholeNetwork", "is_chain", "optimizer_with", "oracle_of", "whole_network"]

_WITHIN = "network."
"""The prefix of the network's arrays in the module that also has the loss."""


class _WithLoss(nn.Module):
    """A network and its loss: returns the loss and the network's output for a batch, whose last array is the target."""

    def __init__(self, network: nn.Module, loss: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.network, self.loss = network, loss
        self.__name__ = title(network)

    def forward(self, *batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the loss and the network's output; in evaluation mode also what may be predicted instead of the output.

        A batch of one array is the network's input and the target, as of an autoencoder.
        """
        output = self.network(*(batch[:-1] or batch))
        first = flat(output)[0]
        predicted = () if self.training else (first.softmax(min(1, first.dim() - 1)), first.softmax(-1), first.sigmoid())
        return self._lost(output, first, batch[-1]), first, *predicted

    def _lost(self, output: Any, first: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        try:
            value = self.loss(output, target)
        except REFUSALS as error:
            raise LossError(f"the loss raised {type(error).__name__}: {reason_of(error)}; it gets the reference's output and the target") from error
        if not isinstance(value, torch.Tensor):
            raise LossError(f"the loss returned a {type(value).__name__}, expected a tensor of one number")
        if value.numel() != 1:
            raise LossError(f"the loss has the shape {tuple(value.shape)}, expected one number; take the mean or the sum over the batch")
        if first.requires_grad and not value.requires_grad:
            raise LossError("the loss has no gradient; compute it from the network's output by functions of torch, without detach() and item()")
        return value


@dataclass(frozen=True)
class WholeNetwork:
    """A module with its loss, ready to be compared.

    Attributes
    ----------
    title : str
        The module's name for reports.
    training, evaluation : Oracle
        The loss and the network's output for a batch, in each mode.
    params, buffers : mapping of str to array
        The module's own values by name, in float64. A parameter that is used in several places occurs once.
    """

    title: str
    training: Oracle
    evaluation: Oracle
    params: Arrays
    buffers: Arrays
    module: nn.Module

    def outer(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Return arrays of the network by their names in the calls of the oracles."""
        return {f"{_WITHIN}{name}": value for name, value in arrays.items()}

    def recorded(self, call: Call) -> list[Recorded]:
        """Return every array of real numbers that the network computes for a call, in order, with its gradient if it has one."""
        module = copy.deepcopy(self.module)
        arrays = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        with torch.no_grad():
            for name, value in {**call.params, **call.buffers}.items():
                arrays[name].copy_(tensor(value))
        with Recording(module) as recording:
            loss = module(*(tensor(value) for value in call.arguments().values()))[0]
            loss.backward()
        return [Recorded(name, array(value), None if value.grad is None else array(value.grad)) for name, value in recording.found]

    def inner(self, name: str) -> str:
        """Return the network's own name of an array, given the name in the calls of the oracles."""
        return name.removeprefix(_WITHIN)


class Recording(TorchFunctionMode):
    """A mode that keeps what a network's modules and functions return, with the name of the module that computes it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.found: list[tuple[str, torch.Tensor]] = []
        self._within: list[str] = []
        for name, part in module.named_modules():
            part.register_forward_pre_hook(functools.partial(self._enter, name.removeprefix(_WITHIN)))
            part.register_forward_hook(self._leave)

    def _enter(self, name: str, module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        # Each module gets views of its own, because what an array gets back from several modules is added up.
        self._within.append(name)
        return tuple(value.view_as(value) if isinstance(value, torch.Tensor) and value.requires_grad else value for value in given)

    def _leave(self, *_: Any) -> None:
        self._within.pop()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Run one function and keep its results."""
        result = func(*args, **(kwargs or {}))
        for value in flat(result) if isinstance(result, torch.Tensor | tuple) else ():
            if isinstance(value, torch.Tensor) and value.requires_grad and self._within:
                value.retain_grad()
                self.found.append((self._within[-1], value))
        return result


def is_chain(network: object) -> bool:
    """Return whether a module is a chain of layers without running statistics."""
    return isinstance(network, nn.Sequential) and not any(value.is_floating_point() for value in network.buffers())


def optimizer_with(settings: Settings) -> Callable[[list[torch.Tensor]], torch.optim.Optimizer]:
    """Return a function that makes PyTorch's optimizer with these settings."""
    return lambda tensors: optimizer(settings, tensors)


def oracle_of(make: Any, schedule: Any, shift: int | None) -> TorchOptimizer:
    """Return an optimizer as an oracle: with its schedule (0), with it one step ahead (1) or behind (-1), or without it (None)."""
    return TorchOptimizer(make, None if shift is None or schedule is None else shifted(schedule, shift) if shift else schedule)


def whole_network(network: object, loss: object) -> WholeNetwork:
    """Return a module with its loss; ``TypeError`` if they are no module and no function, or if the module draws random numbers."""
    if not isinstance(network, nn.Module):
        raise TypeError(f"the reference is a {type(network).__name__}, expected a torch.nn.Module")
    if isinstance(loss, type):
        raise TypeError(f"the loss is the class {loss.__name__}, expected an object: {loss.__name__}()")
    if not callable(loss):
        raise TypeError(f"the loss is a {type(loss).__name__}, expected a torch loss module, or a function of the network's output and the target")
    whole = _WithLoss(copy.deepcopy(network).train(), loss).double()
    params = {name: array(value) for name, value in whole.network.named_parameters()}
    buffers = {name: array(value) for name, value in whole.network.named_buffers() if value.is_floating_point()}
    return WholeNetwork(title(network), oracle(whole), oracle(copy.deepcopy(whole).eval()), params, buffers, whole)
