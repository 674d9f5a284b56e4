"""Small networks in plain NumPy, as people write them, in four ways of writing: right ones, in which the tests plant their faults."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Layer:
    """A layer with its parameters and gradients in dicts."""

    def __init__(self) -> None:
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}


class Conv(Layer):
    """Cross-correlation without padding; images ``(n, h, w, c)``, weights ``(kh, kw, in, out)``."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, dtype: str) -> None:
        super().__init__()
        self.params = {"W": np.zeros((kernel, kernel, channels_in, channels_out), dtype), "b": np.zeros(channels_out, dtype)}

    def forward(self, x: Array) -> Array:
        weight = self.params["W"]
        self.windows: Array = np.lib.stride_tricks.sliding_window_view(x, weight.shape[:2], axis=(1, 2))
        self.shape = x.shape
        return np.asarray(np.einsum("nyxcuv,uvco->nyxo", self.windows, weight) + self.params["b"])

    def backward(self, grad: Array) -> Array:
        self.grads["W"] = np.einsum("nyxcuv,nyxo->uvco", self.windows, grad)
        self.grads["b"] = grad.sum(axis=(0, 1, 2))
        grad_input = np.zeros(self.shape, grad.dtype)
        height, width = grad.shape[1:3]
        for u, v in np.ndindex(*self.params["W"].shape[:2]):
            grad_input[:, u : u + height, v : v + width] += grad @ self.params["W"][u, v].T
        return grad_input


class ReLU(Layer):
    """max(x, 0)."""

    def forward(self, x: Array) -> Array:
        self.mask = x > 0
        return np.asarray(x * self.mask)

    def backward(self, grad: Array) -> Array:
        return np.asarray(grad * self.mask)


class MaxPool(Layer):
    """Windows of 2x2; the first of equal values wins."""

    def forward(self, x: Array) -> Array:
        n, h, w, c = x.shape
        self.windows = x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, c, 4)
        self.shape = x.shape
        return np.asarray(self.windows.max(axis=-1))

    def winners(self) -> Array:
        return np.asarray(np.arange(4) == self.windows.argmax(axis=-1)[..., None])

    def backward(self, grad: Array) -> Array:
        n, h, w, c = self.shape
        shares = (self.winners() * grad[..., None]).reshape(n, h // 2, w // 2, c, 2, 2)
        return np.asarray(shares.transpose(0, 1, 4, 2, 5, 3).reshape(self.shape))


class Flatten(Layer):
    """Channels fastest, as the images lie."""

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return np.asarray(x.reshape(len(x), -1))

    def backward(self, grad: Array) -> Array:
        return grad.reshape(self.shape)


class Linear(Layer):
    """``x @ W + b``."""

    def __init__(self, inputs: int, outputs: int, dtype: str) -> None:
        super().__init__()
        self.params = {"W": np.zeros((inputs, outputs), dtype), "b": np.zeros(outputs, dtype)}

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.asarray(x @ self.params["W"] + self.params["b"])

    def backward(self, grad: Array) -> Array:
        self.grads["W"], self.grads["b"] = self.x.T @ grad, grad.sum(axis=0)
        return np.asarray(grad @ self.params["W"].T)


class SoftmaxLoss:
    """Softmax and cross-entropy, the mean over the batch."""

    def forward(self, logits: Array, labels: Array) -> Array:
        shifted = logits - logits.max(axis=1, keepdims=True)
        self.p, self.labels = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True), labels
        return np.asarray((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]).mean())

    def backward(self) -> Array:
        grad = self.p.copy()
        grad[np.arange(len(grad)), self.labels] -= 1
        return np.asarray(grad / len(grad))


class DictsCNN:
    """Convolution, ReLU, pooling, linear; a loss and momentum of its own."""

    def __init__(self, dtype: str, lr: float, momentum: float) -> None:
        self.layers: dict[str, Any] = {
            "conv": Conv(1, 2, 3, dtype),
            "relu": ReLU(),
            "pool": MaxPool(),
            "flatten": Flatten(),
            "linear": Linear(8, 3, dtype),
        }
        self.loss = SoftmaxLoss()
        self.lr, self.momentum = lr, momentum
        self.velocity: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def backward(self, grad: Array) -> None:
        for layer in reversed(self.layers.values()):
            grad = layer.backward(grad)

    def update(self) -> None:
        for name, layer in self.layers.items():
            for key, param in layer.params.items():
                grad = layer.grads[key]
                before = self.velocity.get(f"{name}.{key}")
                step = self.velocity[f"{name}.{key}"] = grad.copy() if before is None else self.momentum * before + grad
                param[...] = param - self.lr * step

    def train(self, x: Array, labels: Array) -> Any:
        loss = self.loss.forward(self.forward(x), labels)
        self.backward(self.loss.backward())
        self.update()
        return loss


class Dense:
    """A layer whose parameters and gradients are attributes."""

    def __init__(self, inputs: int, outputs: int, dtype: str) -> None:
        self.W, self.b = np.zeros((inputs, outputs), dtype), np.zeros(outputs, dtype)

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.asarray(x @ self.W + self.b)

    def backward(self, grad: Array) -> Array:
        self.dW, self.db = self.x.T @ grad, grad.sum(axis=0)
        return np.asarray(grad @ self.W.T)


class AttributesMLP:
    """Two dense layers; the loss is part of the training step, and parameters are replaced, not written to."""

    def __init__(self, dtype: str, lr: float) -> None:
        self.first, self.relu, self.second = Dense(5, 4, dtype), ReLU(), Dense(4, 3, dtype)
        self.loss, self.lr = SoftmaxLoss(), lr

    def forward(self, x: Array) -> Array:
        return self.second.forward(self.relu.forward(self.first.forward(x)))

    def train(self, x: Array, labels: Array) -> float:
        loss = self.loss.forward(self.forward(x), labels)
        self.first.backward(self.relu.backward(self.second.backward(self.loss.backward())))
        for layer in (self.first, self.second):
            layer.W = layer.W - self.lr * layer.dW
            layer.b = layer.b - self.lr * layer.db
        return float(loss)


class UpdatingDense:
    """A layer for one sample that updates its parameters within the backward pass."""

    def __init__(self, inputs: int, outputs: int, dtype: str) -> None:
        self.weights, self.biases = np.zeros((inputs, outputs), dtype), np.zeros(outputs, dtype)

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.asarray(x @ self.weights + self.biases)

    def backprop(self, grad: Array, learn_rate: float) -> Array:
        grad_input = self.weights @ grad
        self.weights -= learn_rate * np.outer(self.x, grad)
        self.biases -= learn_rate * grad
        return np.asarray(grad_input)


class UpdatingReLU:
    """max(x, 0), in the same way."""

    def forward(self, x: Array) -> Array:
        self.mask = x > 0
        return np.asarray(x * self.mask)

    def backprop(self, grad: Array) -> Array:
        return np.asarray(grad * self.mask)


class UpdatingMLP:
    """Two layers for one sample at a time."""

    def __init__(self, dtype: str, lr: float) -> None:
        self.first, self.relu, self.second = UpdatingDense(5, 4, dtype), UpdatingReLU(), UpdatingDense(4, 3, dtype)
        self.lr = lr

    def train(self, x: Array, label: int) -> float:
        logits = self.second.forward(self.relu.forward(self.first.forward(x)))
        exponentials = np.exp(logits - logits.max())
        p = exponentials / exponentials.sum()
        grad = p.copy()
        grad[label] -= 1
        self.first.backprop(self.relu.backprop(self.second.backprop(grad, self.lr)), self.lr)
        return float(-np.log(p[label]))


class PlainMLP:
    """A dict of arrays and one function that trains: nothing else is seen."""

    def __init__(self, dtype: str, lr: float, momentum: float = 0.0) -> None:
        shapes = {"W1": (5, 4), "b1": (4,), "W2": (4, 3), "b2": (3,)}
        self.params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
        self.velocity: dict[str, Array] = {}
        self.lr, self.momentum = lr, momentum

    def gradients(self, x: Array, labels: Array) -> tuple[Any, dict[str, Array]]:
        p = self.params
        hidden = x @ p["W1"] + p["b1"]
        active = np.maximum(hidden, 0)
        logits = active @ p["W2"] + p["b2"]
        shifted = logits - logits.max(axis=1, keepdims=True)
        probabilities = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        loss = -np.log(probabilities[np.arange(len(x)), labels]).mean()
        grad = probabilities.copy()
        grad[np.arange(len(x)), labels] -= 1
        grad = self.last_grad = grad / len(x)
        back = (grad @ p["W2"].T) * (hidden > 0)
        return loss, {"W1": x.T @ back, "b1": back.sum(axis=0), "W2": active.T @ grad, "b2": grad.sum(axis=0)}

    def train(self, x: Array, labels: Array) -> Any:
        loss, grads = self.gradients(x, labels)
        for name, grad in grads.items():
            step = self.velocity[name] = self.momentum * self.velocity[name] + grad if name in self.velocity else grad
            self.params[name] -= self.lr * step
        return loss

    def predict(self, x: Array) -> Array:
        return np.asarray(np.maximum(x @ self.params["W1"] + self.params["b1"], 0) @ self.params["W2"] + self.params["b2"])
