"""In the style of a script: one function ``train_step(x, y) -> loss`` that does everything, and a dict of arrays that it updates.

Run it: ``crosscheck check examples/train_step.py``. Nothing is seen but the loss and the parameters before and after each step; from them alone it is
said which parameter goes wrong first, and most likely why. Images are NHWC, the kernel is (height, width, in, out), the flatten order is (h, w, c).
"""

import numpy as np


class Classifier:
    """Conv 3x3, ReLU, linear, softmax cross-entropy, trained by gradient descent with momentum, all in one function."""

    def __init__(self, dtype):
        shapes = {"K": (3, 3, 1, 2), "c": (2,), "W": (4 * 3 * 2, 3), "b": (3,)}
        self.params = {name: np.zeros(shape, dtype) for name, shape in shapes.items()}
        self.velocity = {name: np.zeros_like(value) for name, value in self.params.items()}

    def train_step(self, x, y):
        """Do one step and return the loss before it."""
        grads, loss = self.grads(x, y)
        for name in self.params:
            self.velocity[name] = self.next_velocity(self.velocity[name], grads[name])
            self.params[name] -= grads[name].dtype.type(0.05) * self.velocity[name]
        return loss

    def next_velocity(self, velocity, grad):
        """Return the velocity after a step."""
        return grad.dtype.type(0.9) * velocity + grad

    def grads(self, x, y):
        """Return every gradient, and the loss."""
        p, n = self.params, len(x)
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))  # n h w c kh kw
        conv = np.einsum("nhwcij,ijcf->nhwf", windows, p["K"]) + p["c"]
        hidden = np.maximum(conv, 0)
        flat = hidden.reshape(n, -1)
        logits = flat @ p["W"] + p["b"]
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        d = np.exp(log_p)
        d[np.arange(n), y] -= 1
        d /= n
        d_conv = (d @ p["W"].T).reshape(conv.shape) * (conv > 0)
        grads = {"W": flat.T @ d, "b": d.sum(axis=0), "K": np.einsum("nhwcij,nhwf->ijcf", windows, d_conv), "c": d_conv.sum(axis=(0, 1, 2))}
        return grads, -log_p[np.arange(n), y].mean()


class SummedLoss(Classifier):
    """Take the gradient of the summed loss, and report the mean."""

    def grads(self, x, y):
        """Return every gradient times the batch size."""
        grads, loss = super().grads(x, y)
        return {name: len(x) * grad for name, grad in grads.items()}, loss


class ForgetsTheKernel(Classifier):
    """Leave one parameter out of the loop."""

    def grads(self, x, y):
        """Return no gradient for the kernel."""
        grads, loss = super().grads(x, y)
        return grads | {"K": np.zeros_like(grads["K"])}, loss


class DampedMomentum(Classifier):
    """Mix velocity and gradient as an average, which is another optimizer."""

    def next_velocity(self, velocity, grad):
        """Return the average."""
        return grad.dtype.type(0.9) * velocity + grad.dtype.type(0.1) * grad


# --- adapting ---
from collections import OrderedDict

from torch import nn

from crosscheck import ModelPair, WholeStep

CHAIN = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 2, 3), relu=nn.ReLU(), flatten=nn.Flatten(), linear=nn.Linear(24, 3)))
NAMES = {"K": "conv.weight: kh kw i o -> o i kh kw", "c": "conv.bias", "W": "linear.weight: (h w c) k -> k (c h w)", "b": "linear.bias"}
TRAINING = {"lr": 0.05, "momentum": 0.9, "shape": (4, 1, 6, 5), "classes": 3, "steps": 6, "input": "n h w c -> n c h w"}
KINDS = {
    "right": Classifier,
    "wrong: sum for mean": SummedLoss,
    "wrong: kernel forgotten": ForgetsTheKernel,
    "wrong: velocity averaged": DampedMomentum,
}


def make(kind):
    return lambda dtype: WholeStep((net := kind(dtype)).train_step, net.params, NAMES, sizes={"h": 4, "w": 3})


PAIRS = [ModelPair(make(kind), CHAIN, nn.CrossEntropyLoss(), name=f"step ({name})", **TRAINING) for name, kind in KINDS.items()]
# --- end ---
