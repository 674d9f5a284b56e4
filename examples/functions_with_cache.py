"""In the style of a course's assignments: ``f(x, w, b, conf) -> out, cache`` and ``f_backward(dout, cache) -> dx, dw, db``, a loss with its gradient.

Run it: ``crosscheck check examples/functions_with_cache.py``. Arguments between x and the configuration are parameters; their shapes come from the
reference, and because arguments have none of their own, it is said that their axes are ordered alike.
"""

import numpy as np


def conv_forward(x, w, b, conf):
    """Convolve ``(batch, channels, height, width)`` images with a stride and a padding."""
    stride, pad = conf["stride"], conf["pad"]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    (f, _, kh, kw), (n, _, h, v) = w.shape, padded.shape
    out = np.zeros((n, f, (h - kh) // stride + 1, (v - kw) // stride + 1), x.dtype)
    for i, j in np.ndindex(out.shape[2:]):
        window = padded[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
        out[:, :, i, j] = np.tensordot(window, w, axes=((1, 2, 3), (1, 2, 3))) + b
    return out, (padded, w, conf)


def conv_backward(dout, cache):
    """Return the gradients of input, weights and bias."""
    padded, w, conf = cache
    stride, pad = conf["stride"], conf["pad"]
    kh, kw = w.shape[2:]
    dpadded, dw = np.zeros_like(padded), np.zeros_like(w)
    for i, j in np.ndindex(dout.shape[2:]):
        rows, columns = slice(i * stride, i * stride + kh), slice(j * stride, j * stride + kw)
        dw += np.tensordot(dout[:, :, i, j], padded[:, :, rows, columns], axes=(0, 0))
        dpadded[:, :, rows, columns] += np.tensordot(dout[:, :, i, j], w, axes=(1, 0))
    return dpadded[:, :, pad : padded.shape[2] - pad, pad : padded.shape[3] - pad], dw, dout.sum(axis=(0, 2, 3))


def conv_backward_without_stride(dout, cache):
    """Forget the stride where the input's gradient is gathered."""
    padded, w, conf = cache
    pad, (kh, kw) = conf["pad"], w.shape[2:]
    dpadded = np.zeros_like(padded)
    for i, j in np.ndindex(dout.shape[2:]):
        dpadded[:, :, i : i + kh, j : j + kw] += np.tensordot(dout[:, :, i, j], w, axes=(1, 0))
    _, dw, db = conv_backward(dout, cache)
    return dpadded[:, :, pad : padded.shape[2] - pad, pad : padded.shape[3] - pad], dw, db


def relu_forward(x):
    """Return the positive part."""
    return np.maximum(x, 0), x


def relu_backward(dout, cache):
    """Return the gradient where the input was positive."""
    return dout * (cache > 0)


def relu_backward_at_zero(dout, cache):
    """Let the gradient through at zero, too."""
    return dout * (cache >= 0)


def softmax_loss(x, y):
    """Return the mean cross-entropy of logits and its gradient."""
    shifted = x - x.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    dx = np.exp(log_p)
    dx[np.arange(len(y)), y] -= 1
    return -log_p[np.arange(len(y)), y].mean(), dx / len(y)


def softmax_loss_unshifted(x, y):
    """Do not subtract the largest logit: right until an exponential overflows."""
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y]).mean()
    p[np.arange(len(y)), y] -= 1
    return loss, p / len(y)


# --- adapting ---
from torch import nn

from crosscheck import Functions, LossFunction, Pair

CONF, SAME = [{"stride": 2, "pad": 1}], {"shapes": [(2, 2, 6, 5)], "params": {"w": "weight", "b": "bias"}}
CONV, LOSS = nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.CrossEntropyLoss()
PAIRS = [
    Pair(Functions(conv_forward, conv_backward, CONF), CONV, name="conv", **SAME),
    Pair(Functions(conv_forward, conv_backward_without_stride, CONF), CONV, name="conv (wrong: no stride on the way back)", **SAME),
    Pair(Functions(relu_forward, relu_backward), nn.ReLU(), [(3, 7)], name="relu"),
    Pair(Functions(relu_forward, relu_backward_at_zero), nn.ReLU(), [(3, 7)], name="relu (wrong: the derivative at zero is 1)"),
    Pair(LossFunction(softmax_loss), LOSS, [(4, 6)], name="softmax loss"),
    Pair(LossFunction(softmax_loss_unshifted), LOSS, [(4, 6)], name="softmax loss (wrong: exponentials overflow)"),
]
# --- end ---
