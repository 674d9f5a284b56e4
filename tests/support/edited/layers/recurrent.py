"""Layers that go through a sequence, ``(batch, time, features)``, and pass a state on from step to step."""

import numpy as np


class RNN:
    """h' = tanh(x W_x + h W_h + b)."""

    def __init__(self, inputs, hidden):
        self.W_x = np.zeros((hidden, inputs))
        self.W_h = np.zeros((hidden, hidden))
        self.b_x = np.zeros(hidden)
        self.b_h = np.zeros(hidden)

    def forward(self, x, h0):
        n, steps, _ = x.shape
        self.x = x
        self.h = np.zeros((steps + 1, n, self.W_h.shape[0]), dtype=x.dtype)
        self.h[0] = h0[0]
        for t in range(steps):
            a = x[:, t] @ self.W_x.T + self.b_x + self.h[t] @ self.W_h.T + self.b_h
            self.h[t + 1] = np.tanh(a)
        return self.h[1:].transpose(1, 0, 2).copy(), self.h[-1:].copy()

    def backward(self, dout, dh_last):
        dx = np.zeros_like(self.x)
        self.dW_x = np.zeros_like(self.W_x)
        self.dW_h = np.zeros_like(self.W_h)
        self.db_x = np.zeros_like(self.b_x)
        self.db_h = np.zeros_like(self.b_h)
        dh_next = dh_last[0]
        for t in reversed(range(self.x.shape[1])):
            dh = dout[:, t].copy()
            dh += dh_next
            da = dh * (1 - self.h[t + 1] ** 2)
            self.dW_x += da.T @ self.x[:, t]
            self.dW_h += da.T @ self.h[t]
            self.db_x += da.sum(axis=0)
            self.db_h += da.sum(axis=0)
            dx[:, t] = da @ self.W_x
            dh_next = da @ self.W_h
        return dx, dh_next[None]


class GRU:
    """h' = (1 - z) c + z h; r acts on h W_h + b_h. The rows of the weights are r, z, c."""

    def __init__(self, inputs, hidden):
        self.W_x = np.zeros((3 * hidden, inputs))
        self.W_h = np.zeros((3 * hidden, hidden))
        self.b_x = np.zeros(3 * hidden)
        self.b_h = np.zeros(3 * hidden)

    def sigmoid(self, x):
        small = np.exp(-np.abs(x))
        return np.where(x < 0, small, 1) / (1 + small)

    def forward(self, x, h0):
        m = self.W_h.shape[1]
        h = h0[0]
        self.steps, outputs = [], []
        for t in range(x.shape[1]):
            a = x[:, t] @ self.W_x.T + self.b_x
            g = h @ self.W_h.T + self.b_h
            r = self.sigmoid(a[:, :m] + g[:, :m])
            z = self.sigmoid(a[:, m : 2 * m] + g[:, m : 2 * m])
            c = np.tanh(a[:, 2 * m :] + r * g[:, 2 * m :])
            self.steps.append((x[:, t], h, r, z, c, g[:, 2 * m :]))
            h = (1 - z) * c + z * h
            outputs.append(h)
        return np.stack(outputs, axis=1), h[None].copy()

    def backward(self, dout, dh_last):
        self.dW_x = np.zeros_like(self.W_x)
        self.dW_h = np.zeros_like(self.W_h)
        self.db_x = np.zeros_like(self.b_x)
        self.db_h = np.zeros_like(self.b_h)
        dxs = []
        dh_next = dh_last[0]
        for t in reversed(range(dout.shape[1])):
            x, h, r, z, c, g = self.steps[t]
            dh = dout[:, t] + dh_next
            dc = dh * (1 - z) * (1 - c**2)
            dz = dh * (h - c) * z * (1 - z)
            dr = dc * g * r * (1 - r)
            da = np.concatenate([dr, dz, dc], axis=1)
            dg = np.concatenate([dr, dz, dc * r], axis=1)
            self.dW_x += da.T @ x
            self.dW_h += dg.T @ h
            self.db_x += da.sum(axis=0)
            self.db_h += dg.sum(axis=0)
            dxs.insert(0, da @ self.W_x)
            dh_next = dg @ self.W_h
            dh_next += dh * z
        return np.stack(dxs, axis=1), dh_next[None]


class LSTM:
    """c' = f c + i g and h' = o tanh(c'). The rows of the weights are i, f, g, o."""

    def __init__(self, inputs, hidden):
        self.W_x = np.zeros((4 * hidden, inputs))
        self.W_h = np.zeros((4 * hidden, hidden))
        self.b_x = np.zeros(4 * hidden)
        self.b_h = np.zeros(4 * hidden)

    def sigmoid(self, x):
        small = np.exp(-np.abs(x))
        return np.where(x < 0, small, 1) / (1 + small)

    def forward(self, x, h0, c0):
        m = self.W_h.shape[1]
        h, c = h0[0], c0[0]
        self.steps, outputs = [], []
        for t in range(x.shape[1]):
            a = x[:, t] @ self.W_x.T + self.b_x + h @ self.W_h.T + self.b_h
            i = self.sigmoid(a[:, :m])
            f = self.sigmoid(a[:, m : 2 * m])
            g = np.tanh(a[:, 2 * m : 3 * m])
            o = self.sigmoid(a[:, 3 * m :])
            c_next = f * c + i * g
            self.steps.append((x[:, t], h, c, i, f, g, o, np.tanh(c_next)))
            c = c_next
            h = o * np.tanh(c)
            outputs.append(h)
        return np.stack(outputs, axis=1), (h[None].copy(), c[None].copy())

    def backward(self, dout, dh_last, dc_last):
        self.dW_x = np.zeros_like(self.W_x)
        self.dW_h = np.zeros_like(self.W_h)
        self.db_x = np.zeros_like(self.b_x)
        self.db_h = np.zeros_like(self.b_h)
        dxs = []
        dh_next, dc = dh_last[0], dc_last[0]
        for t in reversed(range(dout.shape[1])):
            x, h, c, i, f, g, o, tanh_c = self.steps[t]
            dh = dout[:, t] + dh_next
            do = dh * tanh_c * o * (1 - o)
            dc = dc + dh * o * (1 - tanh_c**2)
            di = dc * g * i * (1 - i)
            df = dc * c * f * (1 - f)
            dg = dc * i * (1 - g**2)
            da = np.concatenate([di, df, dg, do], axis=1)
            self.dW_x += da.T @ x
            self.dW_h += da.T @ h
            self.db_x += da.sum(axis=0)
            self.db_h += da.sum(axis=0)
            dxs.insert(0, da @ self.W_x)
            dh_next = da @ self.W_h
            dc = dc * f
        return np.stack(dxs, axis=1), dh_next[None], dc[None]
