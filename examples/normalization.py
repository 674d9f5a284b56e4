"""In the style of a course's assignment: LayerNorm, GroupNorm and RMSNorm, ``f(x, gamma, beta) -> out, cache`` and their gradients.

Run it: ``crosscheck check examples/normalization.py``. The mistakes are small: a variance over n - 1, or a gradient without gamma, which nobody
sees while gamma is 1.
"""

import numpy as np

EPS, GROUPS = 1e-5, 2


def normalize(x, axes, ddof=0):
    """Return x less its mean, over its standard deviation, and the latter."""
    std = np.sqrt(x.var(axis=axes, keepdims=True, ddof=ddof) + EPS)
    return (x - x.mean(axis=axes, keepdims=True)) / std, std


def normalize_backward(dnormal, normal, std, axes):
    """Return the gradient of x: mean and deviation depend on it, too."""
    mean, slope = dnormal.mean(axis=axes, keepdims=True), (dnormal * normal).mean(axis=axes, keepdims=True)
    return (dnormal - mean - normal * slope) / std


def layernorm_forward(x, gamma, beta):
    """Normalize the last axis."""
    normal, std = normalize(x, -1)
    return gamma * normal + beta, (normal, std, gamma)


def layernorm_backward(dout, cache):
    """Return the gradients of x, gamma and beta."""
    normal, std, gamma = cache
    before = tuple(range(dout.ndim - 1))
    return normalize_backward(dout * gamma, normal, std, -1), (dout * normal).sum(axis=before), dout.sum(axis=before)


def layernorm_forward_sample_variance(x, gamma, beta):
    """Divide by n - 1, as statisticians do."""
    normal, std = normalize(x, -1, ddof=1)
    return gamma * normal + beta, (normal, std, gamma)


def layernorm_backward_without_gamma(dout, cache):
    """Forget gamma on the way to x."""
    normal, std, _ = cache
    _, dgamma, dbeta = layernorm_backward(dout, cache)
    return normalize_backward(dout, normal, std, -1), dgamma, dbeta


def layernorm_backward_constant_statistics(dout, cache):
    """Treat mean and deviation as constants."""
    _, std, gamma = cache
    _, dgamma, dbeta = layernorm_backward(dout, cache)
    return dout * gamma / std, dgamma, dbeta


def by_channel(values, ndim):
    """Let one number per channel act on ``(batch, channels, ...)``."""
    return values.reshape(-1, *[1] * (ndim - 2))


def groupnorm_forward(x, gamma, beta):
    """Normalize each group of neighbouring channels of each sample."""
    normal, std = normalize(x.reshape(len(x), GROUPS, -1), 2)
    return by_channel(gamma, x.ndim) * normal.reshape(x.shape) + by_channel(beta, x.ndim), (normal, std, gamma)


def groupnorm_backward(dout, cache):
    """Return the gradients of x, gamma and beta."""
    normal, std, gamma = cache
    others = (0, *range(2, dout.ndim))
    dnormal = (dout * by_channel(gamma, dout.ndim)).reshape(normal.shape)
    dx = normalize_backward(dnormal, normal, std, 2).reshape(dout.shape)
    return dx, (dout * normal.reshape(dout.shape)).sum(axis=others), dout.sum(axis=others)


def groupnorm_forward_every_other(x, gamma, beta):
    """Put every other channel into a group."""
    n, c, *rest = x.shape
    mixed = x.reshape(n, c // GROUPS, GROUPS, -1).swapaxes(1, 2)
    normal, std = normalize(mixed.reshape(n, GROUPS, -1), 2)
    normal = normal.reshape(mixed.shape).swapaxes(1, 2).reshape(n, c, *rest)
    out = by_channel(gamma, x.ndim) * normal + by_channel(beta, x.ndim)
    return out, (normal.reshape(n, GROUPS, -1), std, gamma)


def rmsnorm_forward(x, gamma):
    """Divide by the root of the mean square."""
    rms = np.sqrt((x**2).mean(axis=-1, keepdims=True) + EPS)
    return gamma * x / rms, (x, rms, gamma)


def rmsnorm_backward(dout, cache):
    """Return the gradients of x and gamma."""
    x, rms, gamma = cache
    normal, dnormal = x / rms, dout * gamma
    dx = (dnormal - normal * (dnormal * normal).mean(axis=-1, keepdims=True)) / rms
    return dx, (dout * normal).sum(axis=tuple(range(dout.ndim - 1)))


def rmsnorm_backward_sum(dout, cache):
    """Take the sum of the squares for their mean."""
    x, rms, gamma = cache
    normal, dnormal = x / rms, dout * gamma
    _, dgamma = rmsnorm_backward(dout, cache)
    return (dnormal - normal * (dnormal * normal).sum(axis=-1, keepdims=True)) / rms, dgamma


# --- adapting ---
from torch import nn

from crosscheck import Functions, Pair

BOTH = {"gamma": "weight", "beta": "bias"}
LAYER, GROUP = (nn.LayerNorm(6), [(2, 3, 6)], BOTH), (nn.GroupNorm(GROUPS, 4), [(2, 4, 3, 5)], BOTH)
RMS = nn.RMSNorm(6, eps=EPS), [(2, 3, 6)], {"gamma": "weight"}
PAIRS = [
    Pair(Functions(layernorm_forward, layernorm_backward), *LAYER, name="layer norm"),
    Pair(Functions(layernorm_forward_sample_variance, layernorm_backward), *LAYER, name="layer norm (wrong: the variance divides by n - 1)"),
    Pair(Functions(layernorm_forward, layernorm_backward_without_gamma), *LAYER, name="layer norm (wrong: gamma forgotten on the way back)"),
    Pair(Functions(layernorm_forward, layernorm_backward_constant_statistics), *LAYER, name="layer norm (wrong: statistics taken for constants)"),
    Pair(Functions(groupnorm_forward, groupnorm_backward), *GROUP, name="group norm"),
    Pair(Functions(groupnorm_forward_every_other, groupnorm_backward), *GROUP, name="group norm (wrong: every other channel in a group)"),
    Pair(Functions(rmsnorm_forward, rmsnorm_backward), *RMS, name="rms norm"),
    Pair(Functions(rmsnorm_forward, rmsnorm_backward_sum), *RMS, name="rms norm (wrong: a sum where the mean belongs)"),
]
# --- end ---
