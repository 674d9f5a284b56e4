"""A tagger ported from PyTorch: embedding, GRU, a score for each tag at each time step; Parameter objects with .data and .grad."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

VOCAB, EMB, HID, TAGS, LR = 13, 5, 8, 4, 0.02
BATCH = {
    "ids": {"shape": (4, 6), "dtype": "int64", "low": 0, "high": VOCAB},  # batch, time
    "tags": {"shape": (4, 6), "dtype": "int64", "low": 0, "high": TAGS},
}
FAULT = "GRU backward: the gradient of the square recurrent matrix U_n is transposed (h.T @ d instead of d.T @ h)"


class Parameter:
    """An array with its gradient."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = data
        self.grad = np.zeros_like(data)

    def zero_grad(self) -> None:
        """Set the gradient to zero."""
        self.grad.fill(0)


class Adam:
    """Adam over a list of parameters."""

    def __init__(self, params: list[Parameter], lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        self.params, self.lr, self.betas, self.eps, self.t = params, lr, betas, eps, 0
        self.m = [np.zeros_like(p.data) for p in params]
        self.v = [np.zeros_like(p.data) for p in params]

    def zero_grad(self) -> None:
        """Clear all gradients."""
        for p in self.params:
            p.zero_grad()

    def step(self) -> None:
        """Update all parameters."""
        self.t += 1
        b1, b2 = self.betas
        for p, m, v in zip(self.params, self.m, self.v):
            m[:] = b1 * m + (1 - b1) * p.grad
            v[:] = b2 * v + (1 - b2) * p.grad**2
            p.data -= self.lr * (m / (1 - b1**self.t)) / (np.sqrt(v / (1 - b2**self.t)) + self.eps)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """The logistic function."""
    return 1 / (1 + np.exp(-x))


class GRUTagger:
    """h' = (1 - z) n + z h with n = tanh(W_n x + b_n + r (U_n h + c_n)), matrices as (out, in)."""

    def __init__(self, dtype: str = "float64", seed: int = 5) -> None:
        rng = np.random.default_rng(seed)

        def uniform(*shape: int) -> Parameter:
            """PyTorch's initial range of recurrent layers."""
            k = HID**-0.5
            return Parameter(rng.uniform(-k, k, shape).astype(dtype))

        self.embedding = Parameter(rng.standard_normal((VOCAB, EMB)).astype(dtype))
        self.W_r, self.W_z, self.W_n = uniform(HID, EMB), uniform(HID, EMB), uniform(HID, EMB)
        self.U_r, self.U_z, self.U_n = uniform(HID, HID), uniform(HID, HID), uniform(HID, HID)
        self.b_r, self.b_z, self.b_n = uniform(HID), uniform(HID), uniform(HID)
        self.c_r, self.c_z, self.c_n = uniform(HID), uniform(HID), uniform(HID)
        self.W_out, self.b_out = uniform(TAGS, HID), uniform(TAGS)
        self.optimizer = Adam(self.parameters(), LR)

    def parameters(self) -> list[Parameter]:
        """All parameters."""
        return [value for value in vars(self).values() if isinstance(value, Parameter)]

    def forward(self, ids: np.ndarray) -> np.ndarray:
        """Return the tag scores (batch, time, tags)."""
        self.ids, self.tape = ids, []
        x_all = self.embedding.data[ids]
        h = np.zeros((len(ids), HID), dtype=x_all.dtype)
        states = []
        for t in range(ids.shape[1]):
            x = x_all[:, t]
            r = sigmoid(x @ self.W_r.data.T + self.b_r.data + h @ self.U_r.data.T + self.c_r.data)
            z = sigmoid(x @ self.W_z.data.T + self.b_z.data + h @ self.U_z.data.T + self.c_z.data)
            hn = h @ self.U_n.data.T + self.c_n.data
            n = np.tanh(x @ self.W_n.data.T + self.b_n.data + r * hn)
            self.tape.append((x, h, r, z, n, hn))
            h = (1 - z) * n + z * h
            states.append(h)
        self.states = np.stack(states, axis=1)
        return self.states @ self.W_out.data.T + self.b_out.data

    def add_candidate_grad(self, d_hn: np.ndarray, h: np.ndarray) -> None:
        """Add to the gradient of U_n."""
        self.U_n.grad += d_hn.T @ h

    def backward(self, d_scores: np.ndarray) -> None:
        """Add to all gradients."""
        self.W_out.grad += np.einsum("btk,bth->kh", d_scores, self.states)
        self.b_out.grad += d_scores.sum((0, 1))
        d_states = d_scores @ self.W_out.data
        dh = np.zeros_like(d_states[:, 0])
        for t in reversed(range(len(self.tape))):
            x, h, r, z, n, hn = self.tape[t]
            dh = dh + d_states[:, t]
            d_n = dh * (1 - z) * (1 - n * n)
            d_z = dh * (h - n) * z * (1 - z)
            d_r = d_n * hn * r * (1 - r)
            d_hn = d_n * r
            dx = d_r @ self.W_r.data + d_z @ self.W_z.data + d_n @ self.W_n.data
            dh = dh * z + d_r @ self.U_r.data + d_z @ self.U_z.data + d_hn @ self.U_n.data
            for d, W, b in ((d_r, self.W_r, self.b_r), (d_z, self.W_z, self.b_z), (d_n, self.W_n, self.b_n)):
                W.grad += d.T @ x
                b.grad += d.sum(0)
            for d, c in ((d_r, self.c_r), (d_z, self.c_z), (d_hn, self.c_n)):
                c.grad += d.sum(0)
            self.U_r.grad += d_r.T @ h
            self.U_z.grad += d_z.T @ h
            self.add_candidate_grad(d_hn, h)
            np.add.at(self.embedding.grad, self.ids[:, t], dx)

    def training_step(self, ids: np.ndarray, tags: np.ndarray) -> float:
        """One Adam step; returns the loss before it, the mean over all time steps."""
        self.optimizer.zero_grad()
        scores = self.forward(ids)
        probs = np.exp(scores - scores.max(-1, keepdims=True))
        probs /= probs.sum(-1, keepdims=True)
        picked = np.take_along_axis(probs, tags[..., None], axis=-1)
        np.put_along_axis(probs, tags[..., None], picked - 1, axis=-1)
        self.backward(probs / tags.size)
        self.optimizer.step()
        return float(-np.log(picked).mean())


class GRUTaggerTransposed(GRUTagger):
    """The wrong one (see FAULT)."""

    def add_candidate_grad(self, d_hn: np.ndarray, h: np.ndarray) -> None:
        """Add to the gradient of U_n."""
        self.U_n.grad += h.T @ d_hn


class TorchTagger(nn.Module):
    """The twin."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(VOCAB, EMB), nn.Linear(HID, TAGS)
        self.of_input = nn.ModuleDict({gate: nn.Linear(EMB, HID) for gate in "rzn"})
        self.of_state = nn.ModuleDict({gate: nn.Linear(HID, HID) for gate in "rzn"})

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the tag scores (batch, time, tags)."""
        h, states = torch.zeros(len(ids), HID, dtype=self.out.weight.dtype), []
        for x in self.embedding(ids).unbind(1):
            r, z = (torch.sigmoid(self.of_input[gate](x) + self.of_state[gate](h)) for gate in "rz")
            n = torch.tanh(self.of_input["n"](x) + r * self.of_state["n"](h))
            h = (1 - z) * n + z * h
            states.append(h)
        return self.out(torch.stack(states, 1))


def torch_model() -> torch.nn.Module:
    """Return the twin."""
    return TorchTagger()


def torch_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy over batch and time."""
    return nn.functional.cross_entropy(output.flatten(0, 1), target.flatten())


def torch_optimizer(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Return Adam."""
    return torch.optim.Adam(params, lr=LR)


def make(dtype: str = "float64") -> GRUTagger:
    """Return a fresh right network."""
    return GRUTagger(dtype)


def make_wrong(dtype: str = "float64") -> GRUTagger:
    """Return a fresh network with the planted fault."""
    return GRUTaggerTransposed(dtype)
