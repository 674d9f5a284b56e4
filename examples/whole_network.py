"""In the style of a first own network: layers with ``weights`` and ``d_weights``, an Adam class that walks over them, and a training step.

Run it: ``crosscheck check examples/whole_network.py``. Every layer is checked alone, and then the network as a whole: its loss, every gradient, every
weight after Adam's steps, and what it predicts. Nothing is declared but what stands beside what: parameters and gradients are found by their names,
the training step by its own.
"""

import numpy as np


class Conv2d:
    """Cross-correlation without padding of ``(batch, channels, height, width)``."""

    def __init__(self, channels, filters, size):
        self.weights = np.random.default_rng(0).standard_normal((filters, channels, size, size)) / size
        self.biases = np.zeros(filters)

    def forward(self, x):
        self.windows = np.lib.stride_tricks.sliding_window_view(x, self.weights.shape[2:], axis=(2, 3))
        self.shape = x.shape
        return np.einsum("nchwij,fcij->nfhw", self.windows, self.weights) + self.biases[:, None, None]

    def backward(self, grad):
        self.d_weights = np.einsum("nchwij,nfhw->fcij", self.windows, grad)
        self.d_biases = grad.sum(axis=(0, 2, 3))
        dx, (height, width) = np.zeros(self.shape, grad.dtype), grad.shape[2:]
        for i, j in np.ndindex(self.weights.shape[2:]):
            dx[:, :, i : i + height, j : j + width] += np.einsum("nfhw,fc->nchw", grad, self.weights[:, :, i, j])
        return dx


class ReLU:
    """max(x, 0)."""

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, grad):
        return np.where(self.x > 0, grad, 0)


class MaxPool:
    """Windows of 2 x 2; an odd row or column at the end is left out."""

    def forward(self, x):
        n, c, h, w = x.shape
        self.shape = x.shape
        windows = x[:, :, : h // 2 * 2, : w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5)
        self.windows = windows.reshape(n, c, h // 2, w // 2, 4)
        return self.windows.max(axis=-1)

    def backward(self, grad):
        n, c, h, w = grad.shape
        won = np.zeros(self.windows.shape, grad.dtype)
        np.put_along_axis(won, self.windows.argmax(axis=-1)[..., None], grad[..., None], axis=-1)
        dx = np.zeros(self.shape, grad.dtype)
        dx[:, :, : 2 * h, : 2 * w] = won.reshape(n, c, h, w, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, 2 * h, 2 * w)
        return dx


class Flatten:
    """One row for each sample."""

    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, grad):
        return grad.reshape(self.shape)


class Dense:
    """x @ weights + biases."""

    def __init__(self, inputs, outputs):
        self.weights = np.random.default_rng(1).standard_normal((inputs, outputs)) / np.sqrt(inputs)
        self.biases = np.zeros(outputs)

    def forward(self, x):
        self.x = x
        return x @ self.weights + self.biases

    def backward(self, grad):
        self.d_weights = self.x.T @ grad
        self.d_biases = grad.sum(axis=0)
        return grad @ self.weights.T


class SoftmaxCrossEntropy:
    """The mean over the batch."""

    def forward(self, logits, labels):
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        self.p, self.labels = np.exp(log_p), labels
        return -log_p[np.arange(len(labels)), labels].mean()

    def backward(self):
        grad = self.p.copy()
        grad[np.arange(len(grad)), self.labels] -= 1
        return grad / len(grad)


class Adam:
    """Updates the weights of all layers that have some."""

    def __init__(self, layers, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        self.layers = [layer for layer in layers if hasattr(layer, "weights")]
        self.lr, self.beta1, self.beta2, self.eps, self.t, self.moments = lr, beta1, beta2, eps, 0, {}

    def step(self):
        self.t += 1
        for number, layer in enumerate(self.layers):
            for name in ("weights", "biases"):
                grad = getattr(layer, "d_" + name)
                m, v = self.moments.get((number, name), (0, 0))
                m, v = self.beta1 * m + (1 - self.beta1) * grad, self.beta2 * v + (1 - self.beta2) * grad**2
                self.moments[number, name] = m, v
                setattr(layer, name, getattr(layer, name) - self.change(m, v))

    def change(self, m, v):
        """Return the step of a parameter, with both corrections for the zeros that the means start from."""
        return self.lr * (m / (1 - self.beta1**self.t)) / (np.sqrt(v / (1 - self.beta2**self.t)) + self.eps)


class Network:
    """Convolution, ReLU, pooling, two dense layers."""

    def __init__(self):
        self.layers = [Conv2d(1, 3, 3), ReLU(), MaxPool(), Flatten(), Dense(27, 8), ReLU(), Dense(8, 4)]
        self.loss = SoftmaxCrossEntropy()
        self.optimizer = self.make_optimizer()

    def make_optimizer(self):
        return Adam(self.layers)

    def predict(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def train_step(self, x, labels):
        loss = self.loss.forward(self.predict(x), labels)
        grad = self.loss.backward()
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        self.optimizer.step()
        return loss


class WithoutCorrection(Network):
    """Adam without the correction for the zeros that the means start from."""

    def make_optimizer(self):
        optimizer = Adam(self.layers)
        optimizer.change = lambda m, v: optimizer.lr * m / (np.sqrt(v) + optimizer.eps)
        return optimizer


class SkipsTheReLU(Network):
    """The second ReLU passes every gradient on."""

    def __init__(self):
        super().__init__()
        self.layers[5].backward = lambda grad: grad


class ForgetsABias(Network):
    """The first dense layer multiplies and does not add."""

    def __init__(self):
        super().__init__()
        forward, dense = self.layers[4].forward, self.layers[4]
        dense.forward = lambda x: forward(x) - dense.biases


# --- adapting ---
import torch
from torch import nn

from crosscheck import ModelPair, Pair

REFERENCE = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 8), nn.ReLU(), nn.Linear(8, 4))
SHAPES = [(4, 1, 8, 8), (4, 3, 6, 6), (4, 3, 7, 6), (4, 3, 3, 3), (4, 27), (4, 8), (4, 8)]
TRAINING = {"optimizer": lambda params: torch.optim.Adam(params, lr=1e-3), "shape": (4, 1, 8, 8), "classes": 4}
KINDS = {"right": Network, "wrong: means": WithoutCorrection, "wrong: ReLU backward": SkipsTheReLU, "wrong: no bias": ForgetsABias}

PAIRS = [Pair(layer, REFERENCE[n], [SHAPES[n]], name=f"layer {n}") for n, layer in enumerate(Network().layers)]
PAIRS += [Pair(SoftmaxCrossEntropy(), nn.CrossEntropyLoss(), [(4, 5)], name="loss")]
PAIRS += [ModelPair(make, REFERENCE, nn.CrossEntropyLoss(), name=f"network ({name})", **TRAINING) for name, make in KINDS.items()]
# --- end ---
