"""Functions of each number."""

import math

import numpy as np


class ReLU:
    """The positive part."""

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dout):
        dx = dout.copy()
        dx[self.x <= 0] = 0
        return dx


class LeakyReLU:
    """x where it is positive, a tenth of it elsewhere."""

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, x * 0.1)

    def backward(self, dout):
        slope = np.ones_like(self.x)
        slope[self.x <= 0] = 0.1
        return dout * slope


class Sigmoid:
    """1 / (1 + exp(-x)), by an exponential that cannot overflow."""

    def forward(self, x):
        small = np.exp(-np.abs(x))
        self.out = np.where(x < 0, small, 1) / (1 + small)
        return self.out

    def backward(self, dout):
        return dout * self.out * (1 - self.out)


class Tanh:
    """The hyperbolic tangent."""

    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout):
        return dout * (1 - self.out**2)


class GELU:
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2."""

    def forward(self, x):
        self.x = x
        self.tanh = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        return 0.5 * x * (1 + self.tanh)

    def backward(self, dout):
        x, t = self.x, self.tanh
        inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
        return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * inner)


class Softplus:
    """log(1 + exp(x)), by an exponential that cannot overflow."""

    def forward(self, x):
        self.x = x
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    def backward(self, dout):
        small = np.exp(-np.abs(self.x))
        p = np.where(self.x < 0, small, 1) / (1 + small)
        return dout * p


class SiLU:
    """x times the sigmoid of x."""

    def forward(self, x):
        small = np.exp(-np.abs(x))
        self.x = x
        self.p = np.where(x < 0, small, 1) / (1 + small)
        return x * self.p

    def backward(self, dout):
        p = self.p
        return dout * (p + self.x * p * (1 - p))
