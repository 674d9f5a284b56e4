"""In the style of a port of ``nn.LSTM`` and ``nn.GRU``: initial states go in, every output and the last state come out.

Run it: ``crosscheck check examples/recurrent.py``. ``backward`` takes a gradient of each result, and returns one of each input: a state that is
passed on to the next piece of a sequence has a gradient, too. What is forgotten there goes unseen as long as the state starts from zeros.
"""

import numpy as np


def sigmoid(x):
    """Return ``1 / (1 + exp(-x))`` without an exponential that overflows."""
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1) / (1 + small)


class Recurrent:
    """The parameters of one layer with so many gates, named as PyTorch names them."""

    gates = 0

    def __init__(self, inputs, hidden):
        rng, rows = np.random.default_rng(0), self.gates * hidden
        self.params = {
            "weight_ih_l0": rng.standard_normal((rows, inputs)),
            "weight_hh_l0": rng.standard_normal((rows, hidden)),
            "bias_ih_l0": np.zeros(rows),
            "bias_hh_l0": np.zeros(rows),
        }
        self.grads = {}

    def clear(self):
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}

    def add(self, x, h, d_input, d_hidden):
        """Add one step to the gradients, given those of ``x W_ih^T + b_ih`` and of ``h W_hh^T + b_hh``."""
        self.grads["weight_ih_l0"] += d_input.T @ x
        self.grads["weight_hh_l0"] += d_hidden.T @ h
        self.grads["bias_ih_l0"] += d_input.sum(axis=0)
        self.grads["bias_hh_l0"] += d_hidden.sum(axis=0)


class LSTM(Recurrent):
    """``c' = f c + i g`` and ``h' = o tanh(c')``; the gates are in the order i, f, g, o."""

    gates = 4

    def forward(self, x, h0, c0):
        p, h, c = self.params, h0[0], c0[0]
        self.steps, output = [], []
        for t in range(x.shape[1]):
            a = x[:, t] @ p["weight_ih_l0"].T + p["bias_ih_l0"] + h @ p["weight_hh_l0"].T + p["bias_hh_l0"]
            i, f, g, o = np.split(a, 4, axis=1)
            i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
            before, c = c, f * c + i * g
            self.steps.append((x[:, t], h, before, c, i, f, g, o))
            h = o * np.tanh(c)
            output.append(h)
        return np.stack(output, axis=1), (h[None].copy(), c[None].copy())

    def backward(self, d_output, d_h_n, d_c_n):
        p, dh, dc = self.params, d_h_n[0], d_c_n[0]
        self.clear()
        dx = []
        for t, (x, h, before, c, i, f, g, o) in reversed(list(enumerate(self.steps))):
            dh = dh + d_output[:, t]
            dc = dc + dh * o * (1 - np.tanh(c) ** 2)
            da = self.ordered(dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g**2), dh * np.tanh(c) * o * (1 - o))
            self.add(x, h, da, da)
            dx.append(da @ p["weight_ih_l0"])
            dh, dc = da @ p["weight_hh_l0"], dc * f
        return np.stack(dx[::-1], axis=1), dh[None], dc[None]

    def ordered(self, di, df, dg, do):
        """Return the gradients of the gates as the rows of the weights lie."""
        return np.concatenate([di, df, dg, do], axis=1)


class LSTMOtherOrder(LSTM):
    """Lays the gradients out as i, f, o, g, which is another framework's order."""

    def ordered(self, di, df, dg, do):
        return np.concatenate([di, df, do, dg], axis=1)


class LSTMFirstStateForgotten(LSTM):
    """Treats the initial state as a constant."""

    def backward(self, d_output, d_h_n, d_c_n):
        dx, dh0, dc0 = super().backward(d_output, d_h_n, d_c_n)
        return dx, np.zeros_like(dh0), np.zeros_like(dc0)


class LSTMLastCellForgotten(LSTM):
    """Lets no gradient in through the last cell."""

    def backward(self, d_output, d_h_n, d_c_n):
        return super().backward(d_output, d_h_n, np.zeros_like(d_c_n))


class GRU(Recurrent):
    """``h' = (1 - z) n + z h``; the gates are in the order r, z, n, and r acts on ``h W_hn^T + b_hn``."""

    gates = 3

    def forward(self, x, h0):
        p, h = self.params, h0[0]
        self.steps, output = [], []
        for t in range(x.shape[1]):
            from_x = np.split(x[:, t] @ p["weight_ih_l0"].T + p["bias_ih_l0"], 3, axis=1)
            from_h = np.split(h @ p["weight_hh_l0"].T + p["bias_hh_l0"], 3, axis=1)
            r, z = sigmoid(from_x[0] + from_h[0]), sigmoid(from_x[1] + from_h[1])
            n = np.tanh(from_x[2] + r * from_h[2])
            self.steps.append((x[:, t], h, from_h[2], r, z, n))
            h = (1 - z) * n + z * h
            output.append(h)
        return np.stack(output, axis=1), h[None].copy()

    def backward(self, d_output, d_h_n):
        p, dh = self.params, d_h_n[0]
        self.clear()
        dx = []
        for t, (x, h, from_h, r, z, n) in reversed(list(enumerate(self.steps))):
            dh = dh + d_output[:, t]
            dn = dh * (1 - z) * (1 - n**2)
            dr, dz = dn * from_h * r * (1 - r), dh * (h - n) * z * (1 - z)
            d_input, d_hidden = np.concatenate([dr, dz, dn], axis=1), np.concatenate([dr, dz, dn * r], axis=1)
            self.add(x, h, d_input, d_hidden)
            dx.append(d_input @ p["weight_ih_l0"])
            dh = d_hidden @ p["weight_hh_l0"] + self.carried(dh, z)
        return np.stack(dx[::-1], axis=1), dh[None]

    def carried(self, dh, z):
        """Return the gradient of the state that was kept."""
        return dh * z


class GRUResetFirst(GRU):
    """Resets the state before it is multiplied, as the first paper did."""

    def forward(self, x, h0):
        p, h = self.params, h0[0]
        self.steps, output = [], []
        w, b = np.split(p["weight_hh_l0"], 3), np.split(p["bias_hh_l0"], 3)
        for t in range(x.shape[1]):
            from_x = np.split(x[:, t] @ p["weight_ih_l0"].T + p["bias_ih_l0"], 3, axis=1)
            r, z = sigmoid(from_x[0] + h @ w[0].T + b[0]), sigmoid(from_x[1] + h @ w[1].T + b[1])
            from_h = (r * h) @ w[2].T + b[2]
            n = np.tanh(from_x[2] + from_h)
            self.steps.append((x[:, t], h, from_h, r, z, n))
            h = (1 - z) * n + z * h
            output.append(h)
        return np.stack(output, axis=1), h[None].copy()


class GRUCarriedTheOtherWay(GRU):
    """Takes z for 1 - z where the state's gradient goes on to the step before."""

    def carried(self, dh, z):
        return dh * (1 - z)


# --- adapting ---
from torch import nn

from crosscheck import Pair

LSTM_TORCH, GRU_TORCH = nn.LSTM(3, 4, batch_first=True), nn.GRU(3, 4, batch_first=True)
SAME = {"shapes": [(2, 5, 3)]}
PAIRS = [
    Pair(LSTM(3, 4), LSTM_TORCH, name="lstm", **SAME),
    Pair(LSTMOtherOrder(3, 4), LSTM_TORCH, name="lstm (wrong: gates in another order on the way back)", **SAME),
    Pair(LSTMFirstStateForgotten(3, 4), LSTM_TORCH, name="lstm (wrong: the initial state gets no gradient)", **SAME),
    Pair(LSTMLastCellForgotten(3, 4), LSTM_TORCH, name="lstm (wrong: the gradient of the last cell is ignored)", **SAME),
    Pair(GRU(3, 4), GRU_TORCH, name="gru", **SAME),
    Pair(GRUResetFirst(3, 4), GRU_TORCH, name="gru (wrong: reset before the product)", **SAME),
    Pair(GRUCarriedTheOtherWay(3, 4), GRU_TORCH, name="gru (wrong: z and 1 - z swapped on the way back)", **SAME),
]
# --- end ---
