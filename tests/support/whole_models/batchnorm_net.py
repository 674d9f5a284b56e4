"""Linear, batch normalisation, ReLU, linear for regression; everything spelled out in one class, gradients as grad_* attributes."""

import numpy as np
import torch
from torch import nn

FEATURES, HIDDEN, TARGETS, LR = 7, 11, 2, 0.1
BATCH = {
    "x": {"shape": (6, FEATURES), "dtype": "float", "low": -2.0, "high": 2.0},
    "t": {"shape": (6, TARGETS), "dtype": "float", "low": -1.0, "high": 1.0},
}
FAULT = "batch norm, running statistics: running_var takes the biased batch variance (shows only in running_var and predict)"
OTHER_FAULTS = {"evaluation": "predict: normalises with the statistics of the batch at hand instead of the running ones (shows only in predict)"}


class BatchNormNet:
    """Weights as (in, out); running statistics as in PyTorch."""

    names = ("w1", "b1", "gamma", "beta", "w2", "b2")

    def __init__(self, n_in: int, n_hidden: int, n_out: int, lr: float, momentum: float = 0.1, eps: float = 1e-5, dtype: type = np.float64) -> None:
        rng = np.random.default_rng(10)
        self.w1 = (rng.standard_normal((n_in, n_hidden)) / np.sqrt(n_in)).astype(dtype)
        self.b1 = np.zeros(n_hidden, dtype)
        self.gamma = rng.uniform(0.5, 1.5, n_hidden).astype(dtype)
        self.beta = rng.uniform(-0.5, 0.5, n_hidden).astype(dtype)
        self.w2 = (rng.standard_normal((n_hidden, n_out)) / np.sqrt(n_hidden)).astype(dtype)
        self.b2 = np.zeros(n_out, dtype)
        self.running_mean = np.zeros(n_hidden, dtype)
        self.running_var = np.ones(n_hidden, dtype)
        self.lr, self.momentum, self.eps = lr, momentum, eps

    def track(self, mean: np.ndarray, var: np.ndarray, n: int) -> None:
        """Move the running statistics; the variance they see is the unbiased one."""
        self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean
        self.running_var = (1 - self.momentum) * self.running_var + self.momentum * var * (n / (n - 1))

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Training mode."""
        self.x = x
        self.z = x @ self.w1 + self.b1
        mean, var = self.z.mean(axis=0), self.z.var(axis=0)
        self.track(mean, var, len(x))
        self.inv_std = 1 / np.sqrt(var + self.eps)
        self.z_hat = (self.z - mean) * self.inv_std
        self.a = self.gamma * self.z_hat + self.beta
        self.h = np.maximum(self.a, 0)
        return self.h @ self.w2 + self.b2

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Evaluation mode."""
        z_hat = (x @ self.w1 + self.b1 - self.running_mean) / np.sqrt(self.running_var + self.eps)
        return np.maximum(self.gamma * z_hat + self.beta, 0) @ self.w2 + self.b2

    def backward(self, dy: np.ndarray) -> None:
        """Set all gradients."""
        n = len(dy)
        self.grad_w2, self.grad_b2 = self.h.T @ dy, dy.sum(axis=0)
        da = (dy @ self.w2.T) * (self.a > 0)
        self.grad_gamma, self.grad_beta = (da * self.z_hat).sum(axis=0), da.sum(axis=0)
        dz_hat = da * self.gamma
        dz = self.inv_std / n * (n * dz_hat - dz_hat.sum(axis=0) - self.z_hat * (dz_hat * self.z_hat).sum(axis=0))
        self.grad_w1, self.grad_b1 = self.x.T @ dz, dz.sum(axis=0)

    def train_one_batch(self, x: np.ndarray, t: np.ndarray) -> float:
        """One SGD step on the mean squared error; returns the loss before it."""
        y = self.forward(x)
        loss = np.mean((y - t) ** 2)
        self.backward(2 * (y - t) / y.size)
        for name in self.names:
            setattr(self, name, getattr(self, name) - self.lr * getattr(self, "grad_" + name))
        return float(loss)


class BiasedBatchNormNet(BatchNormNet):
    """The wrong one (see FAULT)."""

    def track(self, mean: np.ndarray, var: np.ndarray, n: int) -> None:
        """Move the running statistics."""
        self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean
        self.running_var = (1 - self.momentum) * self.running_var + self.momentum * var


class BatchStatisticsNet(BatchNormNet):
    """OTHER_FAULTS['evaluation']."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Evaluation mode."""
        z = x @ self.w1 + self.b1
        z_hat = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + self.eps)
        return np.maximum(self.gamma * z_hat + self.beta, 0) @ self.w2 + self.b2


def torch_model() -> torch.nn.Module:
    """Return the twin; .eval() makes it comparable with predict."""
    return nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, TARGETS))


def torch_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error."""
    return nn.functional.mse_loss(output, target)


def torch_optimizer(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Return plain SGD."""
    return torch.optim.SGD(params, lr=LR)


def make(dtype: str = "float64") -> BatchNormNet:
    """Return a fresh right network."""
    return BatchNormNet(FEATURES, HIDDEN, TARGETS, LR, dtype=np.dtype(dtype).type)


def make_wrong(dtype: str = "float64", fault: str = "running") -> BatchNormNet:
    """Return a fresh network with the planted fault, or with one of OTHER_FAULTS."""
    kind = {"running": BiasedBatchNormNet, "evaluation": BatchStatisticsNet}[fault]
    return kind(FEATURES, HIDDEN, TARGETS, LR, dtype=np.dtype(dtype).type)
