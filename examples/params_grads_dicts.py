"""In the style of a small deep-learning library: layers over batches, ``layer.params[name]`` and ``layer.grads[name]`` in two dicts.

Run it: ``crosscheck check examples/params_grads_dicts.py``. The layers need no adapter: the harness recognises the two dicts, and the names ``w`` and
``b``. The weights lie the other way round than the reference's, which is inferred too, because the matrix is not square.
"""

import numpy as np


class Linear:
    """``x @ w + b``."""

    def __init__(self, inputs, outputs):
        rng = np.random.default_rng(0)
        self.params = {"w": rng.standard_normal((inputs, outputs)), "b": np.zeros(outputs)}
        self.grads = {}

    def forward(self, x):
        self.x = x
        return x @ self.params["w"] + self.params["b"]

    def backward(self, grad):
        self.grads["w"] = self.x.T @ grad
        self.grads["b"] = grad.sum(axis=0)
        return grad @ self.params["w"].T


class LinearMean(Linear):
    """Divides by the batch size, although the loss has done so already."""

    def backward(self, grad):
        grad_input = super().backward(grad)
        self.grads["w"] = self.grads["w"] / len(self.x)
        return grad_input


class LinearNoBias(Linear):
    """Forgets to add the bias."""

    def forward(self, x):
        self.x = x
        return x @ self.params["w"]


class CrossEntropy:
    """Softmax and the mean cross-entropy of a batch."""

    def forward(self, logits, labels):
        shifted = logits - logits.max(axis=1, keepdims=True)
        self.p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        self.labels = labels
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return -log_p[np.arange(len(labels)), labels].mean()

    def backward(self):
        grad = self.p.copy()
        grad[np.arange(len(grad)), self.labels] -= 1
        return grad / len(grad)


class CrossEntropySum(CrossEntropy):
    """The loss is a mean over the batch, its gradient that of the sum."""

    def backward(self):
        return super().backward() * len(self.p)


# --- adapting ---
from torch import nn

from crosscheck import Pair

LINEAR, LOSS = nn.Linear(5, 3), nn.CrossEntropyLoss()
BATCHES, LOGITS = [(4, 5), (1, 5)], [(4, 6), (1, 6)]
PAIRS = [
    Pair(Linear(5, 3), LINEAR, BATCHES, name="linear"),
    Pair(LinearMean(5, 3), LINEAR, BATCHES, name="linear (wrong: the gradient is averaged twice)"),
    Pair(LinearNoBias(5, 3), LINEAR, BATCHES, name="linear (wrong: the bias is not added)"),
    Pair(CrossEntropy(), LOSS, LOGITS, name="cross-entropy"),
    Pair(CrossEntropySum(), LOSS, LOGITS, name="cross-entropy (wrong: the gradient of the sum)"),
]
# --- end ---
