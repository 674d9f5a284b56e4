"""Losses of real numbers, each a mean over all numbers."""

import numpy as np


class MSE:
    """The mean of the squared errors."""

    def forward(self, pred, target):
        self.error = pred - target
        return np.mean(self.error**2)

    def backward(self, dout):
        return dout * 2 * self.error / self.error.size


class Huber:
    """e^2 / 2 where the error is at most 1/2, and (|e| - 1/4) / 2 elsewhere."""

    def forward(self, pred, target):
        delta = 0.5
        self.error = pred - target
        size = np.abs(self.error)
        loss = np.where(size <= delta, 0.5 * self.error**2, delta * (size - 0.5 * delta))
        return loss.mean()

    def backward(self, dout):
        delta = 0.5
        slope = np.where(np.abs(self.error) <= delta, self.error, delta * np.sign(self.error))
        return dout * slope / self.error.size


class BCEWithLogits:
    """The mean of -t log p - (1 - t) log(1 - p), with p the sigmoid of the logits."""

    def forward(self, x, t):
        self.x, self.t = x, t
        loss = np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))
        return loss.mean()

    def backward(self, dout):
        x, t = self.x, self.t
        small = np.exp(-np.abs(x))
        p = np.where(x < 0, small, 1) / (1 + small)
        return dout * (p - t) / x.size
