"""A binary classifier that adds up the gradients of four micro-batches before each update; params list and grads list in the same order."""

import numpy as np
import torch
from torch import nn

N_IN, N_H1, N_H2 = 5, 10, 6
ACCUMULATE, LR = 4, 0.5
# One micro-batch; the optimizer steps after every fourth. y is 0.0 or 1.0.
BATCH = {
    "x": {"shape": (4, N_IN), "dtype": "float", "low": -2.0, "high": 2.0},
    "y": {"shape": (4, 1), "dtype": "float", "values": (0.0, 1.0)},
}
FAULT = "update: the sums of the gradients are not cleared after the optimizer's step, so they go on growing"


def sigmoid(x: np.ndarray) -> np.ndarray:
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-x))


class SGD:
    """params[i] -= lr * grads[i]."""

    def __init__(self, lr: float) -> None:
        self.lr = lr

    def step(self, params: list[np.ndarray], grads: list[np.ndarray]) -> None:
        """Update the parameters in place."""
        for i in range(len(params)):
            params[i] -= self.lr * grads[i]


class AccumulatingMLP:
    """Sigmoid hidden layers and one logit; params are W, b, W, b, W, b."""

    def __init__(self, sizes: list[int], optimizer: SGD, seed: int = 11) -> None:
        rng = np.random.default_rng(seed)
        self.params: list[np.ndarray] = []
        for fan_in, fan_out in zip(sizes, sizes[1:]):
            limit = np.sqrt(6 / (fan_in + fan_out))
            self.params += [rng.uniform(-limit, limit, (fan_in, fan_out)), rng.uniform(-0.1, 0.1, (fan_out,))]
        self.optimizer = optimizer
        self.calls = 0
        self.clear()

    def clear(self) -> None:
        """Set the sums of the gradients to zero."""
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, x: np.ndarray) -> list[np.ndarray]:
        """Return the layers' inputs and, last, the logit."""
        acts = [x]
        depth = len(self.params) // 2
        for k in range(depth):
            z = acts[-1] @ self.params[2 * k] + self.params[2 * k + 1]
            acts.append(z if k == depth - 1 else sigmoid(z))
        return acts

    def backward(self, acts: list[np.ndarray], delta: np.ndarray) -> None:
        """Add this micro-batch's gradients."""
        for k in reversed(range(len(self.params) // 2)):
            self.grads[2 * k] += acts[k].T @ delta
            self.grads[2 * k + 1] += delta.sum(axis=0)
            if k > 0:
                delta = (delta @ self.params[2 * k].T) * acts[k] * (1 - acts[k])

    def after_step(self) -> None:
        """Get ready for the next four micro-batches."""
        self.clear()

    def micro_step(self, x: np.ndarray, y: np.ndarray) -> float:
        """Add the gradients of a micro-batch, update after every fourth; returns this micro-batch's loss divided by 4."""
        acts = self.forward(x)
        logit = acts[-1]
        # stable binary cross-entropy with logits
        loss = np.mean(np.maximum(logit, 0) - logit * y + np.log1p(np.exp(-np.abs(logit)))) / ACCUMULATE
        self.backward(acts, (sigmoid(logit) - y) / y.size / ACCUMULATE)
        self.calls += 1
        if self.calls % ACCUMULATE == 0:
            self.optimizer.step(self.params, self.grads)
            self.after_step()
        return loss


class NeverClearingMLP(AccumulatingMLP):
    """The wrong one (see FAULT)."""

    def after_step(self) -> None:
        """Get ready for the next four micro-batches."""


def torch_model() -> torch.nn.Module:
    """Return the twin."""
    return nn.Sequential(nn.Linear(N_IN, N_H1), nn.Sigmoid(), nn.Linear(N_H1, N_H2), nn.Sigmoid(), nn.Linear(N_H2, 1))


def torch_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return a micro-batch's part of the loss: binary cross-entropy divided by 4."""
    return nn.functional.binary_cross_entropy_with_logits(output, target) / ACCUMULATE


def torch_optimizer(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Return plain SGD; it steps (and the gradients are cleared) after every fourth micro-batch."""
    return torch.optim.SGD(params, lr=LR)


def make(dtype: str = "float64") -> AccumulatingMLP:
    """Return a fresh right network (always float64)."""
    return AccumulatingMLP([N_IN, N_H1, N_H2, 1], SGD(LR))


def make_wrong(dtype: str = "float64") -> AccumulatingMLP:
    """Return a fresh network with the planted fault."""
    return NeverClearingMLP([N_IN, N_H1, N_H2, 1], SGD(LR))
