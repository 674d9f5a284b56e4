"""A siamese network: one encoder for both inputs, contrastive loss, SGD with momentum and weight decay; lists of weights and gradients."""

import numpy as np
import torch
from torch import nn

N_IN, N_HID, N_EMB = 9, 8, 5
MARGIN, LR, MOMENTUM, WEIGHT_DECAY = 1.5, 0.05, 0.9, 0.01
BATCH = {
    "left": {"shape": (8, N_IN), "dtype": "float", "low": -1.0, "high": 1.0},
    "right": {"shape": (8, N_IN), "dtype": "float", "low": -1.0, "high": 1.0},
    "same": {"shape": (8,), "dtype": "int64", "low": 0, "high": 2},  # 1 for a pair of the same kind
}
FAULT = "second branch, backward: nothing flows into the encoder from the right input (as if its embedding were a constant)"


class Encoder:
    """Three linear layers (the middle one square) with ReLU between; weights[i] is (out, in)."""

    def __init__(self, sizes: list[int], rng: np.random.Generator) -> None:
        """Draw weights and biases."""
        self.weights = [rng.normal(0, (2 / m) ** 0.5, (n, m)) for m, n in zip(sizes[:-1], sizes[1:])]
        self.biases = [rng.normal(0, 0.1, n) for n in sizes[1:]]
        self.zero_grads()

    def zero_grads(self) -> None:
        """Start the sums of the gradients afresh."""
        self.weight_grads = [np.zeros_like(w) for w in self.weights]
        self.bias_grads = [np.zeros_like(b) for b in self.biases]

    def encode(self, x: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the embedding and the inputs of all layers (so that the encoder can be used twice)."""
        inputs = []
        for i, (w, b) in enumerate(zip(self.weights, self.biases)):
            if i:
                x = np.where(x > 0, x, 0.0)
            inputs.append(x)
            x = x @ w.T + b
        return x, inputs

    def accumulate(self, grad: np.ndarray, inputs: list[np.ndarray]) -> None:
        """Add one branch's gradients."""
        for i in range(len(self.weights) - 1, -1, -1):
            self.weight_grads[i] += grad.T @ inputs[i]
            self.bias_grads[i] += grad.sum(axis=0)
            if i:
                grad = (grad @ self.weights[i]) * (inputs[i] > 0)


class Siamese:
    """Encoder, distance, contrastive loss and update."""

    def __init__(self, seed: int = 9) -> None:
        """Build the encoder and the velocities."""
        self.encoder = Encoder([N_IN, N_HID, N_HID, N_EMB], np.random.default_rng(seed))
        self.velocity = [np.zeros_like(p) for p in self.encoder.weights + self.encoder.biases]

    def contrastive(self, a: np.ndarray, b: np.ndarray, same: np.ndarray) -> tuple[float, np.ndarray]:
        """Return mean(same d^2 + (1 - same) max(0, margin - d)^2) and its gradient for a (that for b is its negative)."""
        diff = a - b
        dist = np.sqrt((diff**2).sum(axis=1))
        gap = np.maximum(MARGIN - dist, 0)
        loss = np.mean(same * dist**2 + (1 - same) * gap**2)
        d_dist = 2 * (same * dist - (1 - same) * gap) / len(same)
        return loss, (d_dist / dist)[:, None] * diff

    def backward(self, grad: np.ndarray, left_inputs: list[np.ndarray], right_inputs: list[np.ndarray]) -> None:
        """Go back through both uses of the encoder."""
        self.encoder.accumulate(grad, left_inputs)
        self.encoder.accumulate(-grad, right_inputs)

    def update(self) -> None:
        """SGD with momentum; the decay belongs to the gradient."""
        params = self.encoder.weights + self.encoder.biases
        grads = self.encoder.weight_grads + self.encoder.bias_grads
        for p, g, v in zip(params, grads, self.velocity):
            v *= MOMENTUM
            v += g + WEIGHT_DECAY * p
            p -= LR * v

    def learn(self, left: np.ndarray, right: np.ndarray, same: np.ndarray) -> float:
        """Do one step on a batch of pairs, clear the gradients and return the loss before the step."""
        a, left_inputs = self.encoder.encode(left)
        b, right_inputs = self.encoder.encode(right)
        loss, grad = self.contrastive(a, b, same)
        self.backward(grad, left_inputs, right_inputs)
        self.update()
        self.encoder.zero_grads()
        return float(loss)


class OneSidedSiamese(Siamese):
    """The wrong one (see FAULT)."""

    def backward(self, grad: np.ndarray, left_inputs: list[np.ndarray], right_inputs: list[np.ndarray]) -> None:
        """Go back through the left use of the encoder."""
        self.encoder.accumulate(grad, left_inputs)


class TorchSiamese(nn.Module):
    """The twin; its output is the pair of embeddings."""

    def __init__(self) -> None:
        """Build the encoder."""
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(N_IN, N_HID), nn.ReLU(), nn.Linear(N_HID, N_HID), nn.ReLU(), nn.Linear(N_HID, N_EMB))

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode both inputs."""
        return self.encoder(left), self.encoder(right)


def torch_model() -> torch.nn.Module:
    """Return the twin."""
    return TorchSiamese()


def torch_loss(output: tuple[torch.Tensor, torch.Tensor], target: torch.Tensor) -> torch.Tensor:
    """Return the contrastive loss."""
    dist = torch.linalg.vector_norm(output[0] - output[1], dim=1)
    return (target * dist**2 + (1 - target) * torch.relu(MARGIN - dist) ** 2).mean()


def torch_optimizer(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Return SGD with momentum and weight decay."""
    return torch.optim.SGD(params, lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)


def make(dtype: str = "float64") -> Siamese:
    """Return a fresh right network (always float64)."""
    return Siamese()


def make_wrong(dtype: str = "float64") -> Siamese:
    """Return a fresh network with the planted fault."""
    return OneSidedSiamese()
