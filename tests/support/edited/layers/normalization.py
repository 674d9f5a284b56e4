"""Layers that subtract a mean and divide by a deviation."""

import numpy as np


class LayerNorm:
    """Over the last axis."""

    def __init__(self, dim):
        self.gamma = np.ones(dim)
        self.beta = np.zeros(dim)

    def forward(self, x):
        eps = 1e-5
        mean = x.mean(axis=-1, keepdims=True)
        var = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
        self.std = np.sqrt(var + eps)
        self.normal = (x - mean) / self.std
        return self.gamma * self.normal + self.beta

    def backward(self, dout):
        normal = self.normal
        self.dgamma = (dout * normal).sum(axis=(0, 1))
        self.dbeta = dout.sum(axis=(0, 1))
        d = dout * self.gamma
        dx = d - d.mean(axis=-1, keepdims=True) - normal * (d * normal).mean(axis=-1, keepdims=True)
        return dx / self.std


class RMSNorm:
    """Division by the root of the mean square of the last axis."""

    def __init__(self, dim, eps=1e-5):
        self.gamma = np.ones(dim)
        self.eps = eps

    def forward(self, x):
        self.rms = np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + self.eps)
        self.normal = x / self.rms
        return self.normal * self.gamma

    def backward(self, dout):
        self.dgamma = np.sum(dout * self.normal, axis=(0, 1))
        d = dout * self.gamma
        slope = np.mean(d * self.normal, axis=-1, keepdims=True)
        return (d - self.normal * slope) / self.rms


class BatchNorm:
    """By channel, over batch and positions; in evaluation by the running statistics."""

    def __init__(self, channels):
        self.gamma = np.ones((1, channels, 1, 1))
        self.beta = np.zeros((1, channels, 1, 1))
        self.running_mean = np.zeros(channels)
        self.running_var = np.ones(channels)
        self.training = True

    def forward(self, x):
        eps, momentum = 1e-5, 0.1
        self.from_batch = self.training
        if self.training:
            n = x.size // x.shape[1]
            mean = x.mean(axis=(0, 2, 3))
            var = x.var(axis=(0, 2, 3))
            self.running_mean = (1 - momentum) * self.running_mean + momentum * mean
            self.running_var = (1 - momentum) * self.running_var + momentum * var * n / (n - 1)
        else:
            mean, var = self.running_mean, self.running_var
        self.std = np.sqrt(var + eps)[None, :, None, None]
        self.normal = (x - mean[None, :, None, None]) / self.std
        return self.gamma * self.normal + self.beta

    def backward(self, dout):
        normal = self.normal
        self.dgamma = (dout * normal).sum(axis=(0, 2, 3), keepdims=True)
        self.dbeta = dout.sum(axis=(0, 2, 3), keepdims=True)
        d = dout * self.gamma
        if self.from_batch:
            d = d - d.mean(axis=(0, 2, 3), keepdims=True) - normal * (d * normal).mean(axis=(0, 2, 3), keepdims=True)
        return d / self.std


class GroupNorm:
    """Over groups of neighbouring channels of each sample."""

    def __init__(self, groups, channels):
        self.groups = groups
        self.gamma = np.ones(channels)
        self.beta = np.zeros(channels)

    def forward(self, x):
        n, c, h, w = x.shape
        grouped = x.reshape(n, self.groups, -1)
        mean = grouped.mean(axis=2, keepdims=True)
        var = grouped.var(axis=2, keepdims=True)
        self.std = np.sqrt(var + 1e-5)
        self.normal = (grouped - mean) / self.std
        out = self.normal.reshape(n, c, h, w)
        return out * self.gamma.reshape(1, c, 1, 1) + self.beta.reshape(1, c, 1, 1)

    def backward(self, dout):
        n, c, h, w = dout.shape
        normal = self.normal
        self.dgamma = (dout * normal.reshape(n, c, h, w)).sum(axis=(0, 2, 3))
        self.dbeta = dout.sum(axis=(0, 2, 3))
        d = (dout * self.gamma.reshape(1, c, 1, 1)).reshape(n, self.groups, -1)
        mean = d.mean(axis=2, keepdims=True)
        slope = (d * normal).mean(axis=2, keepdims=True)
        dx = (d - mean - normal * slope) / self.std
        return dx.reshape(n, c, h, w)
