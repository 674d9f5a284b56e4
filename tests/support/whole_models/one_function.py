"""Two layers without any class: loss_and_grads(params, x, y), a functional sgd, and a small function that trains."""

from collections.abc import Callable, Iterable

import numpy as np
import torch

SIZES = {"in": 8, "hidden": 12, "out": 5}
LR = 0.3
BATCH = {
    "x": {"shape": (6, 8), "dtype": "float", "low": -1.0, "high": 1.0},
    "y": {"shape": (6,), "dtype": "int64", "low": 0, "high": 5},
}
FAULT = "loss gradient: the division by the batch size is missing (the loss itself is a mean)"

Params = dict[str, np.ndarray]
StepFunction = Callable[[Params, np.ndarray, np.ndarray], tuple[float, Params]]


def init_params(seed: int = 12, dtype: str = "float64") -> Params:
    """Draw the parameters."""
    rng = np.random.default_rng(seed)
    return {
        "hidden_w": rng.normal(0, 0.4, (SIZES["in"], SIZES["hidden"])).astype(dtype),
        "hidden_b": np.zeros(SIZES["hidden"], dtype),
        "out_w": rng.normal(0, 0.4, (SIZES["hidden"], SIZES["out"])).astype(dtype),
        "out_b": np.zeros(SIZES["out"], dtype),
    }


def loss_and_grads(params: Params, x: np.ndarray, y: np.ndarray) -> tuple[float, Params]:
    """Return the cross-entropy (mean over the batch) of a tanh network and its gradients under the parameters' names."""
    batch = x.shape[0]
    # forward
    hidden = np.tanh(x @ params["hidden_w"] + params["hidden_b"])
    logits = hidden @ params["out_w"] + params["out_b"]
    top = logits.max(axis=1, keepdims=True)
    log_z = top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    log_probs = logits - log_z
    loss = -log_probs[np.arange(batch), y].sum() / batch
    # backward
    d_logits = np.exp(log_probs)
    d_logits[np.arange(batch), y] -= 1
    d_logits /= batch
    d_hidden = d_logits @ params["out_w"].T * (1 - hidden**2)
    grads = {
        "out_w": hidden.T @ d_logits,
        "out_b": d_logits.sum(axis=0),
        "hidden_w": x.T @ d_hidden,
        "hidden_b": d_hidden.sum(axis=0),
    }
    return float(loss), grads


def sgd(params: Params, grads: Params, lr: float) -> Params:
    """Return the parameters after one step; the old ones stay as they are."""
    return {name: value - lr * grads[name] for name, value in params.items()}


def train_step(params: Params, x: np.ndarray, y: np.ndarray) -> tuple[float, Params]:
    """Return the loss before the step and the new parameters."""
    loss, grads = loss_and_grads(params, x, y)
    return loss, sgd(params, grads, LR)


def train(params: Params, batches: Iterable[tuple[np.ndarray, np.ndarray]], step: StepFunction = train_step) -> tuple[list[float], Params]:
    """Go over the batches once; returns the losses and the trained parameters."""
    losses = []
    for x, y in batches:
        loss, params = step(params, x, y)
        losses.append(loss)
    return losses, params


def wrong_loss_and_grads(params: Params, x: np.ndarray, y: np.ndarray) -> tuple[float, Params]:
    """The wrong one: its gradients are those of the sum over the batch (see FAULT)."""
    batch = x.shape[0]
    hidden = np.tanh(x @ params["hidden_w"] + params["hidden_b"])
    logits = hidden @ params["out_w"] + params["out_b"]
    top = logits.max(axis=1, keepdims=True)
    log_probs = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    loss = -log_probs[np.arange(batch), y].sum() / batch
    d_logits = np.exp(log_probs)
    d_logits[np.arange(batch), y] -= 1
    d_hidden = d_logits @ params["out_w"].T * (1 - hidden**2)
    grads = {"out_w": hidden.T @ d_logits, "out_b": d_logits.sum(axis=0), "hidden_w": x.T @ d_hidden, "hidden_b": d_hidden.sum(axis=0)}
    return float(loss), grads


def wrong_train_step(params: Params, x: np.ndarray, y: np.ndarray) -> tuple[float, Params]:
    """Return the loss before the step and the new parameters."""
    loss, grads = wrong_loss_and_grads(params, x, y)
    return loss, sgd(params, grads, LR)


def torch_model() -> torch.nn.Module:
    """Return the twin."""
    return torch.nn.Sequential(torch.nn.Linear(SIZES["in"], SIZES["hidden"]), torch.nn.Tanh(), torch.nn.Linear(SIZES["hidden"], SIZES["out"]))


def torch_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy."""
    return torch.nn.functional.cross_entropy(output, target)


def torch_optimizer(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Return plain SGD."""
    return torch.optim.SGD(params, lr=LR)


def make(dtype: str = "float64") -> tuple[Params, StepFunction]:
    """Return fresh parameters and the right step function, step(params, x, y) -> (loss, new params)."""
    return init_params(dtype=dtype), train_step


def make_wrong(dtype: str = "float64") -> tuple[Params, StepFunction]:
    """Return fresh parameters and the step function with the planted fault."""
    return init_params(dtype=dtype), wrong_train_step
