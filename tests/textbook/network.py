"""A network with its own training step, gradient descent with momentum; and the ReLU and the loss between its linear layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from crosscheck.core.precision import Array
from tests.textbook.loss import Labels


class Layer(Protocol):
    """What a network asks of its layers."""

    params: dict[str, Array]
    grads: dict[str, Array]

    def forward(self, x: Array) -> Array:
        """Return the output."""

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient and leave those of the parameters."""


class ReLU:
    """``max(x, 0)``."""

    def __init__(self) -> None:
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return the output."""
        self._positive = x > 0
        return np.where(self._positive, x, 0)

    def backward(self, grad_output: Array) -> Array:
        """Return grad_output where the input was positive."""
        return np.where(self._positive, grad_output, 0)


class CrossEntropy:
    """The mean over the batch of ``-log softmax(logits)[label]``."""

    def forward(self, logits: Array, labels: Labels) -> Array:
        """Return the loss, one number."""
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        self._probabilities, self._labels = np.exp(log_softmax), labels
        return np.asarray(self.reduced(-log_softmax[np.arange(len(labels)), labels]))

    def reduced(self, losses: Array) -> Array:
        """Return the mean over samples."""
        return np.asarray(losses.mean())

    def backward(self) -> Array:
        """Return the gradient for the logits, ``(softmax - one_hot) / batch``."""
        return np.asarray((self._probabilities - self.targets()) / len(self._labels))

    def targets(self) -> Array:
        """Return the labels, one-hot."""
        return np.eye(self._probabilities.shape[1], dtype=self._probabilities.dtype)[self._labels]


class Network:
    """Layers in a row, trained by gradient descent with momentum.

    Parameters
    ----------
    layers : mapping of str to Layer
    dtype : str
    lr, momentum : float
    """

    def __init__(self, layers: Mapping[str, Layer], dtype: str, lr: float, momentum: float = 0.0) -> None:
        self.layers, self.lr, self.momentum = dict(layers), lr, momentum
        self.loss = CrossEntropy()
        self.velocity: dict[str, Array] = {}
        for layer in self.layers.values():
            layer.params = {name: value.astype(dtype) for name, value in layer.params.items()}

    def train_step(self, x: Array, labels: Labels) -> Array:
        """Do one training step and return the loss before it."""
        loss = self.loss.forward(self.forward(x), labels)
        self.backward(self.loss.backward())
        self.update()
        return loss

    def forward(self, x: Array) -> Array:
        """Return the logits."""
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def backward(self, grad_output: Array) -> None:
        """Leave every layer's gradients in it."""
        for layer in reversed(self.layers.values()):
            grad_output = layer.backward(grad_output)

    def update(self) -> None:
        """Move every parameter."""
        for name, layer in self.layers.items():
            for key in layer.params:
                self.move(f"{name}.{key}", layer.params[key], layer.grads[key])

    def move(self, name: str, param: Array, grad: Array) -> None:
        """Move one parameter: ``v <- momentum v + g; w <- w - lr v``."""
        param -= self.lr * self.direction(name, grad)

    def direction(self, name: str, grad: Array) -> Array:
        """Return the momentum buffer, or the gradient where there is no momentum."""
        if not self.momentum:
            return grad
        self.velocity[name] = self.momentum * self.velocity[name] + grad if name in self.velocity else grad.copy()
        return self.velocity[name]
