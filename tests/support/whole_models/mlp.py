"""A two-layer perceptron with parameters and gradients in two dicts; SGD is part of the training step."""

import numpy as np
import torch
from torch import nn

N_IN, N_HIDDEN, N_OUT, LR = 6, 9, 4, 0.2

# One batch: x features, y class labels.
BATCH = {
    "x": {"shape": (8, N_IN), "dtype": "float", "low": -2.0, "high": 2.0},
    "y": {"shape": (8,), "dtype": "int64", "low": 0, "high": N_OUT},  # high is exclusive
}
FAULT = "layer 1, backward: W2 is updated before dh = dlogits @ W2.T is taken, so W1 and b1 get gradients through the new W2"


class MLP:
    """Linear, ReLU, linear, softmax cross-entropy."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int, lr: float = 0.1, seed: int = 0) -> None:
        """Draw the weights (He for the hidden layer) and set the biases to small values."""
        rng = np.random.default_rng(seed)
        self.lr = lr
        self.params = {
            "W1": rng.normal(0.0, np.sqrt(2.0 / n_in), (n_in, n_hidden)),
            "b1": rng.normal(0.0, 0.05, n_hidden),
            "W2": rng.normal(0.0, np.sqrt(1.0 / n_hidden), (n_hidden, n_out)),
            "b2": np.zeros(n_out),
        }
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the hidden activations and the logits."""
        h = np.maximum(0.0, x @ self.params["W1"] + self.params["b1"])
        return h, h @ self.params["W2"] + self.params["b2"]

    def loss(self, logits: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the mean cross-entropy and its gradient for the logits."""
        n = len(y)
        shifted = logits - logits.max(axis=1, keepdims=True)
        probs = np.exp(shifted)
        probs /= probs.sum(axis=1, keepdims=True)
        value = -np.log(probs[np.arange(n), y]).mean()
        dlogits = probs.copy()
        dlogits[np.arange(n), y] -= 1.0
        return float(value), dlogits / n

    def update(self, name: str) -> None:
        """Take one SGD step for one parameter."""
        self.params[name] -= self.lr * self.grads[name]

    def backward_and_update(self, x: np.ndarray, h: np.ndarray, dlogits: np.ndarray) -> None:
        """Fill the gradients of both layers, then update all parameters."""
        self.grads["W2"] = h.T @ dlogits
        self.grads["b2"] = dlogits.sum(axis=0)
        dh = dlogits @ self.params["W2"].T
        dh[h <= 0] = 0.0
        self.grads["W1"] = x.T @ dh
        self.grads["b1"] = dh.sum(axis=0)
        for name in self.params:
            self.update(name)

    def train_step(self, x: np.ndarray, y: np.ndarray) -> float:
        """Do one SGD step on a batch and return the loss before the update."""
        h, logits = self.forward(x)
        value, dlogits = self.loss(logits, y)
        self.backward_and_update(x, h, dlogits)
        return value

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the most likely class for each row."""
        return self.forward(x)[1].argmax(axis=1)


class EagerMLP(MLP):
    """The wrong one: it updates each layer as soon as its gradient is known (see FAULT)."""

    def backward_and_update(self, x: np.ndarray, h: np.ndarray, dlogits: np.ndarray) -> None:
        """Go backwards layer by layer, updating on the way."""
        self.grads["W2"] = h.T @ dlogits
        self.grads["b2"] = dlogits.sum(axis=0)
        self.update("W2")
        self.update("b2")
        dh = dlogits @ self.params["W2"].T
        dh[h <= 0] = 0.0
        self.grads["W1"] = x.T @ dh
        self.grads["b1"] = dh.sum(axis=0)
        self.update("W1")
        self.update("b1")


def torch_model() -> nn.Module:
    """Return the twin."""
    return nn.Sequential(nn.Linear(N_IN, N_HIDDEN), nn.ReLU(), nn.Linear(N_HIDDEN, N_OUT))


def torch_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy."""
    return nn.functional.cross_entropy(output, target)


def torch_optimizer(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Return plain SGD."""
    return torch.optim.SGD(params, lr=LR)


def make(dtype: str = "float64") -> MLP:
    """Return a fresh right network; the style has no dtype, it is always float64."""
    return MLP(N_IN, N_HIDDEN, N_OUT, lr=LR, seed=1)


def make_wrong(dtype: str = "float64") -> MLP:
    """Return a fresh network with the planted fault."""
    return EagerMLP(N_IN, N_HIDDEN, N_OUT, lr=LR, seed=1)
