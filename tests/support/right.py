"""Layers, loss and optimizer that look like scratch's and compute with PyTorch: right, whatever happens to scratch.

The tests of the judge plant their faults in these, so that a fault in a scratch layer turns the tests of that layer red and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

import scratch
from crosscheck.core.operation import Call
from crosscheck.references.pytorch.oracle import array, oracle, tensor
from reference.copying import layout_of
from reference.pytorch import twin
from scratch.layer import Array


class _Right:
    """What all of them share: remember the input, ask PyTorch, translate to and fro."""

    params: dict[str, Array]
    grads: dict[str, Array]
    _call: Call

    def forward(self, x: Array) -> Array:
        """Return PyTorch's output."""
        self._layout = layout_of(self)
        params = {name: self._layout.params[name].layout.to_reference(value) for name, value in self.params.items()}
        self._call = Call(self._layout.input.to_reference(x), params)
        return self._layout.output.to_subject(oracle(twin(self)).vjp(self._call)["output"])

    def backward(self, grad_output: Array) -> Array:
        """Return PyTorch's input gradient; leave those of the parameters in ``grads``."""
        result = oracle(twin(self)).vjp(replace(self._call, grad_output=self._layout.output.to_reference(grad_output)))
        for name in self.params:
            self.grads[name] = self._layout.params[name].layout.to_subject(result[f"{name}.grad"])
        return self._layout.input.to_subject(result["grad_input"])


class Conv2d(_Right, scratch.Conv2d):
    """A right convolution."""


class MaxPool2d(_Right, scratch.MaxPool2d):
    """A right max pooling."""


class ReLU(_Right, scratch.ReLU):
    """A right ReLU."""


class Flatten(_Right, scratch.Flatten):
    """A right flatten."""


class Linear(_Right, scratch.Linear):
    """A right linear layer."""


class SoftmaxCrossEntropy(scratch.SoftmaxCrossEntropy):
    """A right loss."""

    def forward(self, logits: Array, labels: scratch.loss.Labels) -> Array:
        """Return PyTorch's loss."""
        self._call = Call(logits.copy(), {}, np.ones((), logits.dtype), {"labels": labels.copy()})
        return oracle(nn.CrossEntropyLoss()).vjp(self._call)["output"]

    def backward(self) -> Array:
        """Return PyTorch's gradient."""
        return oracle(nn.CrossEntropyLoss()).vjp(self._call)["grad_input"]


class SGD(scratch.SGD):
    """A right optimizer."""

    def step(self, grads: Mapping[str, Array]) -> None:
        """Update every parameter in place, as PyTorch's does."""
        settings = (self.lr, self.momentum, self.dampening, self.weight_decay, self.nesterov)
        for name, value in self.params.items():
            parameter = tensor(value).requires_grad_()
            parameter.grad = tensor(grads[name])
            optimizer = torch.optim.SGD([parameter], *settings)
            optimizer.state[parameter]["momentum_buffer"] = tensor(self.state["momentum"][name]) if name in self.state["momentum"] else None
            optimizer.step()
            value[...] = array(parameter)
            if (buffer := optimizer.state[parameter].get("momentum_buffer")) is not None:
                self.state["momentum"][name] = array(buffer)


_RIGHT: dict[type, type] = {kind.__bases__[-1]: kind for kind in (Conv2d, MaxPool2d, ReLU, Flatten, Linear, SoftmaxCrossEntropy, SGD)}


def made_right(part: Any) -> Any:
    """Turn a scratch layer, loss or optimizer into the right one with the same settings and weights, and return it."""
    part.__class__ = _RIGHT[type(part)]
    return part
