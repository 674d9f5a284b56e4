"""Layers whose parameters are one table: a matrix to multiply by, and rows to pick."""

import numpy as np


class Dense:
    """x W + b, with W as (inputs, outputs)."""

    def __init__(self, inputs, outputs):
        self.W = np.zeros((inputs, outputs))
        self.b = np.zeros(outputs)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class Embedding:
    """A row of the table for each id."""

    def __init__(self, count, dim):
        self.W = np.zeros((count, dim))

    def forward(self, ids):
        self.ids = ids
        return self.W[ids]

    def backward(self, dout):
        self.dW = np.zeros_like(self.W)
        n, length = self.ids.shape
        for i in range(n):
            for t in range(length):
                self.dW[self.ids[i, t]] += dout[i, t]
