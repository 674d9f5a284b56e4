"""Softmax, its logarithm, and the loss of a classifier."""

import numpy as np


class Softmax:
    """The exponentials of each row, divided by their sum."""

    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.p = e / e.sum(axis=1, keepdims=True)
        return self.p

    def backward(self, dout):
        inner = np.sum(dout * self.p, axis=1, keepdims=True)
        return self.p * (dout - inner)


class LogSoftmax:
    """The logarithms of these."""

    def forward(self, x):
        shifted = x - np.max(x, axis=1, keepdims=True)
        self.out = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
        return self.out

    def backward(self, dout):
        p = np.exp(self.out)
        return dout - p * dout.sum(axis=1, keepdims=True)


class CrossEntropy:
    """The mean of -log p[label] over the batch, of logits."""

    def forward(self, logits, labels):
        n = len(labels)
        shifted = logits - logits.max(axis=1, keepdims=True)
        self.log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        self.labels = labels
        return -self.log_p[np.arange(n), labels].sum() / n

    def backward(self, dout):
        n = len(self.labels)
        dx = np.exp(self.log_p)
        dx[np.arange(n), self.labels] -= 1
        dx /= n
        return dx * dout
