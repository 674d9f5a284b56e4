"""An LSTM over a sequence whose last hidden state gives the class scores; one class with its own backpropagation through time."""

import numpy as np
import torch
from torch import nn

D, H, C = 5, 7, 3  # input size, hidden size, classes
BATCH = {
    "xs": {"shape": (6, 4, D), "dtype": "float", "low": -1.5, "high": 1.5},  # time first: T, N, D
    "targets": {"shape": (4,), "dtype": "int64", "low": 0, "high": C},
}
FAULT = "LSTM backward: the cell gradient goes to the step before without being multiplied by the forget gate (dc_next = dc)"


def sigmoid(x: np.ndarray) -> np.ndarray:
    """The logistic function."""
    return 1 / (1 + np.exp(-x))


class LSTMClassifier:
    """Gates in the order i, f, g, o in one matrix each for input and state, and one bias."""

    def __init__(self, input_size: int, hidden_size: int, num_classes: int, learning_rate: float = 1e-2, seed: int = 4) -> None:
        np_rng = np.random.RandomState(seed)
        self.hidden_size = hidden_size
        self.Wx = np_rng.randn(input_size, 4 * hidden_size) / np.sqrt(input_size)
        self.Wh = np_rng.randn(hidden_size, 4 * hidden_size) / np.sqrt(hidden_size)
        self.b = np.zeros(4 * hidden_size)
        self.b[hidden_size : 2 * hidden_size] = 1.0  # remember at the start
        self.Why = np_rng.randn(hidden_size, num_classes) * 0.3
        self.by = np.zeros(num_classes)
        self.learning_rate = learning_rate
        self.mem = dict.fromkeys(("Wx", "Wh", "b", "Why", "by"), 0.0)

    def forward(self, xs: np.ndarray) -> tuple[np.ndarray, list]:
        """Run over the time steps; returns the scores and what the backward pass needs."""
        n = xs.shape[1]
        h, c, tape = np.zeros((n, self.hidden_size)), np.zeros((n, self.hidden_size)), []
        for x in xs:
            a = x @ self.Wx + h @ self.Wh + self.b
            ai, af, ag, ao = np.split(a, 4, axis=1)
            i, f, o, g = sigmoid(ai), sigmoid(af), sigmoid(ao), np.tanh(ag)
            c_next = f * c + i * g
            tape.append((x, h, c, i, f, o, g, np.tanh(c_next)))
            h, c = o * tape[-1][-1], c_next
        tape.append(h)
        return h @ self.Why + self.by, tape

    def cell_backward(self, dc: np.ndarray, f: np.ndarray) -> np.ndarray:
        """Carry the cell gradient to the step before."""
        return dc * f

    def bptt(self, tape: list, dscores: np.ndarray) -> dict[str, np.ndarray]:
        """Backpropagate through time."""
        h_last = tape[-1]
        dWx, dWh, db = np.zeros_like(self.Wx), np.zeros_like(self.Wh), np.zeros_like(self.b)
        dWhy, dby = h_last.T @ dscores, dscores.sum(axis=0)
        dh, dc = dscores @ self.Why.T, np.zeros_like(h_last)
        for x, h_prev, c_prev, i, f, o, g, tanh_c in reversed(tape[:-1]):
            do = dh * tanh_c
            dc = dc + dh * o * (1 - tanh_c**2)
            di, df, dg = dc * g, dc * c_prev, dc * i
            da = np.hstack([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)])
            dWx += x.T @ da
            dWh += h_prev.T @ da
            db += da.sum(axis=0)
            dh = da @ self.Wh.T
            dc = self.cell_backward(dc, f)
        return {"Wx": dWx, "Wh": dWh, "b": db, "Why": dWhy, "by": dby}

    def train(self, xs: np.ndarray, targets: np.ndarray) -> float:
        """One RMSprop step on a batch; returns the loss before the update."""
        scores, tape = self.forward(xs)
        n = len(targets)
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        loss = -np.mean(np.log(p[np.arange(n), targets]))
        p[np.arange(n), targets] -= 1
        grads = self.bptt(tape, p / n)
        for name, grad in grads.items():
            self.mem[name] = 0.99 * self.mem[name] + 0.01 * grad * grad
            param = getattr(self, name)
            param += -self.learning_rate * grad / (np.sqrt(self.mem[name]) + 1e-8)
        return loss


class LSTMClassifierForgetful(LSTMClassifier):
    """The wrong one (see FAULT)."""

    def cell_backward(self, dc: np.ndarray, f: np.ndarray) -> np.ndarray:
        """Carry the cell gradient to the step before."""
        return dc


class TorchLSTM(nn.Module):
    """The twin: nn.LSTM (gates i, f, g, o) and a linear layer; its second bias, bias_hh_l0, is held at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(D, H)
        self.fc = nn.Linear(H, C)

    def forward(self, xs: torch.Tensor) -> torch.Tensor:
        """Return the class scores of the last step."""
        return self.fc(self.lstm(xs)[0][-1])


def torch_model() -> torch.nn.Module:
    """Return the twin."""
    return TorchLSTM()


def torch_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy."""
    return nn.functional.cross_entropy(output, target)


def torch_optimizer(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Return RMSprop for the parameters that are trained."""
    return torch.optim.RMSprop([p for p in params if p.requires_grad], lr=1e-2, alpha=0.99, eps=1e-8)


def make(dtype: str = "float64") -> LSTMClassifier:
    """Return a fresh right network (always float64)."""
    return LSTMClassifier(D, H, C)


def make_wrong(dtype: str = "float64") -> LSTMClassifier:
    """Return a fresh network with the planted fault."""
    return LSTMClassifierForgetful(D, H, C)
