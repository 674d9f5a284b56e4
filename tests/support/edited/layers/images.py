"""Layers that slide a window over images, ``(batch, channels, height, width)``."""

import numpy as np


class Conv2d:
    """A convolution as one product with all windows laid out as rows."""

    def __init__(self, channels, filters, size, stride, padding):
        self.W = np.zeros((filters, channels, size, size))
        self.b = np.zeros(filters)
        self.stride = stride
        self.padding = padding

    def im2col(self, x, k, out_h, out_w):
        s = self.stride
        n, c = x.shape[:2]
        cols = np.zeros((n, out_h, out_w, c, k, k), dtype=x.dtype)
        for i in range(k):
            for j in range(k):
                window = x[:, :, i : i + s * out_h : s, j : j + s * out_w : s]
                cols[:, :, :, :, i, j] = window.transpose(0, 2, 3, 1)
        return cols.reshape(n * out_h * out_w, c * k * k)

    def col2im(self, dcols, k, out_h, out_w):
        s, p = self.stride, self.padding
        n, c, h, w = self.x_shape
        dcols = dcols.reshape(n, out_h, out_w, c, k, k).transpose(0, 3, 4, 5, 1, 2)
        dx = np.zeros((n, c, h + 2 * p, w + 2 * p), dtype=dcols.dtype)
        for i in range(k):
            for j in range(k):
                dx[:, :, i : i + s * out_h : s, j : j + s * out_w : s] += dcols[:, :, i, j]
        return dx[:, :, p : p + h, p : p + w]

    def forward(self, x):
        s, p = self.stride, self.padding
        n, _, h, w = x.shape
        f, _, k, _ = self.W.shape
        self.x_shape = x.shape
        out_h = (h + 2 * p - k) // s + 1
        out_w = (w + 2 * p - k) // s + 1
        padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        self.cols = self.im2col(padded, k, out_h, out_w)
        out = self.cols @ self.W.reshape(f, -1).T + self.b
        return out.reshape(n, out_h, out_w, f).transpose(0, 3, 1, 2)

    def backward(self, dout):
        _, f, out_h, out_w = dout.shape
        k = self.W.shape[2]
        d = dout.transpose(0, 2, 3, 1).reshape(-1, f)
        self.dW = (d.T @ self.cols).reshape(self.W.shape)
        self.db = d.sum(axis=0)
        dcols = d @ self.W.reshape(f, -1)
        return self.col2im(dcols, k, out_h, out_w)


class MaxPool:
    """The largest number of each window of 2 x 2; the windows do not overlap."""

    def forward(self, x):
        n, c, h, w = x.shape
        self.x = x
        out = np.zeros((n, c, h // 2, w // 2), dtype=x.dtype)
        self.best = np.zeros(out.shape, dtype=int)
        for i in range(h // 2):
            for j in range(w // 2):
                window = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(n, c, 4)
                self.best[:, :, i, j] = window.argmax(axis=2)
                out[:, :, i, j] = window.max(axis=2)
        return out

    def backward(self, dout):
        n, c, out_h, out_w = dout.shape
        dx = np.zeros_like(self.x)
        for i in range(out_h):
            for j in range(out_w):
                hit = self.best[:, :, i, j][:, :, None] == np.arange(4)
                window = hit * dout[:, :, i, j][:, :, None]
                dx[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] += window.reshape(n, c, 2, 2)
        return dx


class AvgPool:
    """The mean of each window of 3 x 3 that begins at every second place."""

    def forward(self, x):
        n, c, h, w = x.shape
        k, s = 3, 2
        self.x = x
        out = np.zeros((n, c, (h - k) // s + 1, (w - k) // s + 1), dtype=x.dtype)
        for i in range(out.shape[2]):
            for j in range(out.shape[3]):
                out[:, :, i, j] = x[:, :, s * i : s * i + k, s * j : s * j + k].mean(axis=(2, 3))
        return out

    def backward(self, dout):
        k, s = 3, 2
        dx = np.zeros_like(self.x)
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                dx[:, :, s * i : s * i + k, s * j : s * j + k] += dout[:, :, i, j][:, :, None, None] / (k * k)
        return dx
