"""PyTorch's own kernels as a subject: a module in the precision of its input, called with NumPy arrays as hand-written code is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from crosscheck.core.precision import Array
from crosscheck.pairs.pair import Pair
from tests.support.right_ways.modules.row import Row


class Kernel:
    """A module of PyTorch behind ``forward``, ``backward`` and dicts of parameters, gradients and running statistics.

    ``arrange`` sets the order in memory of the input and of ``grad_output``.
    """

    def __init__(self, module: nn.Module, arrange: Callable[[torch.Tensor], torch.Tensor] = torch.Tensor.contiguous) -> None:
        self._arrange = arrange
        self.module = copy.deepcopy(module)
        self._modes = module.training and any(isinstance(part, (_DropoutNd, _NormBase)) for part in module.modules())
        if self._modes:
            self.training = True
        self.params = {name: _array(value) for name, value in module.named_parameters()}
        self.grads: dict[str, Array] = {}
        self.buffers = {name: _array(value) for name, value in module.named_buffers() if self._modes and name.startswith("running_")}
        self._fixed = {name: value for name, value in module.named_buffers() if name not in self.buffers}

    def forward(self, x: Array, labels: npt.NDArray[Any] | None = None) -> Array:
        self._x = _tensor(x).requires_grad_()
        self._params = {name: _tensor(value).requires_grad_() for name, value in self.params.items()}
        kept = {name: _tensor(value).to(self._x.dtype) for name, value in self.buffers.items()}
        fixed = {name: value.to(self._x.dtype) if value.is_floating_point() else value.clone() for name, value in self._fixed.items()}
        given = (self._arrange(self._x.clone()), *([] if labels is None else [torch.from_numpy(labels)]))
        if self._modes:
            self.module.train(self.training)
        self._output = functional_call(self.module, {**self._params, **kept, **fixed}, given)
        if self._modes:
            self.buffers.update({name: value.numpy() for name, value in kept.items()})
        return _array(self._output)

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient and keep those of the parameters."""
        leaves = [self._x, *self._params.values()]
        found = torch.autograd.grad(self._output, leaves, self._arrange(_tensor(grad_output)), retain_graph=True, materialize_grads=True)
        self.grads = {name: _array(value) for name, value in zip(self._params, found[1:], strict=True)}
        return _array(found[0])


def own_pair(row: Row) -> Pair:
    return pair_of(row, row.make(), None)


def pair_of(row: Row, module: nn.Module, subject: Any) -> Pair:
    """Return a subject, or the module's own kernels where there is none, beside the module."""
    params = {name.removeprefix("own.") if subject is not None else name: name for name, _ in module.named_parameters()}
    return Pair(
        Kernel(module) if subject is None else subject,
        module.double(),
        shapes=[row.shape],
        params=params,
        labels=row.labels,
        fixed_batch=row.fixed_batch,
        name=row.name,
    )


def _tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.array(array, order="C"))


def _array(value: torch.Tensor) -> Array:
    return np.array(value.detach().numpy())
