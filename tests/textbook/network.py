"""A small network with its own training step: linear layers, ReLU, softmax with cross-entropy, gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from crosscheck.arithmetic import Array

Labels = npt.NDArray[np.integer[Any]]


class Layer(Protocol):
    """What a network asks of its layers."""

    params: dict[str, Array]
    grads: dict[str, Array]

    def forward(self, x: Array) -> Array:
        """Return the output."""

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient and leave those of the parameters."""


class Dense:
    """``y = x Wᵀ + b``, W ordered ``(outputs, inputs)``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.params = {"weight": np.zeros((outputs, inputs)), "bias": np.zeros(outputs)}
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return the output, ``(batch, outputs)``."""
        self._x = x
        return np.asarray(x @ self.params["weight"].T + self.params["bias"])

    def backward(self, grad_output: Array) -> Array:
        """Return ``grad_output W``; leave ``grad_outputᵀ x`` and the sum of grad_output over samples."""
        self.grads = {"weight": grad_output.T @ self._x, "bias": grad_output.sum(axis=0)}
        return np.asarray(grad_output @ self.params["weight"])


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


class Flatten:
    """Each image as one row, channels slowest."""

    def __init__(self) -> None:
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return the rows."""
        self._shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, grad_output: Array) -> Array:
        """Return the rows as images."""
        return grad_output.reshape(self._shape)


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
