"""A tanh autoencoder in functions: parameters are a list of {"w", "b"} dicts, Adam's state is a dict, every update returns new arrays."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

SIZES = (10, 7, 3, 7, 10)
HYPER = {"lr": 0.01, "b1": 0.9, "b2": 0.999, "eps": 1e-8}
# One batch: x, which is also the target.
BATCH = {"x": {"shape": (6, SIZES[0]), "dtype": "float", "low": -1.0, "high": 1.0}}
FAULT = "Adam update: the second moment is not bias-corrected (the first one is)"

Params = list[dict[str, np.ndarray]]


def init_params(sizes: tuple[int, ...], seed: int, dtype: str) -> Params:
    """Xavier weights as (in, out) and small biases."""
    rng = np.random.default_rng(seed)
    return [
        {"w": (rng.normal(size=(a, b)) * (2 / (a + b)) ** 0.5).astype(dtype), "b": (0.1 * rng.normal(size=b)).astype(dtype)}
        for a, b in zip(sizes[:-1], sizes[1:])
    ]


def forward(params: Params, x: np.ndarray) -> list[np.ndarray]:
    """Return the activations of all layers, the input first; tanh everywhere but at the end."""
    activations = [x]
    for i, layer in enumerate(params):
        z = activations[-1] @ layer["w"] + layer["b"]
        activations.append(np.tanh(z) if i < len(params) - 1 else z)
    return activations


def mse(output: np.ndarray, target: np.ndarray) -> float:
    """Mean squared error over all elements."""
    return float(np.mean((output - target) ** 2))


def backward(params: Params, activations: list[np.ndarray]) -> Params:
    """Return the gradients of the reconstruction error."""
    x, output = activations[0], activations[-1]
    delta = 2 * (output - x) / output.size
    grads: Params = []
    for i in reversed(range(len(params))):
        grads.insert(0, {"w": activations[i].T @ delta, "b": delta.sum(axis=0)})
        if i > 0:
            delta = (delta @ params[i]["w"].T) * (1 - activations[i] ** 2)
    return grads


def adam_init(params: Params) -> dict:
    """Return the empty state."""
    zeros = [{k: np.zeros_like(v) for k, v in layer.items()} for layer in params]
    return {"t": 0, "m": zeros, "v": [{k: np.zeros_like(v) for k, v in layer.items()} for layer in params]}


def adam_update(params: Params, grads: Params, state: dict, correct_v: bool = True) -> tuple[Params, dict]:
    """Return new parameters and the new state."""
    lr, b1, b2, eps = HYPER["lr"], HYPER["b1"], HYPER["b2"], HYPER["eps"]
    t = state["t"] + 1
    new_params, new_m, new_v = [], [], []
    for layer, grad, m_old, v_old in zip(params, grads, state["m"], state["v"]):
        m = {k: b1 * m_old[k] + (1 - b1) * grad[k] for k in layer}
        v = {k: b2 * v_old[k] + (1 - b2) * grad[k] ** 2 for k in layer}
        v_hat = {k: v[k] / (1 - b2**t) if correct_v else v[k] for k in layer}
        new_params.append({k: layer[k] - lr * (m[k] / (1 - b1**t)) / (np.sqrt(v_hat[k]) + eps) for k in layer})
        new_m.append(m)
        new_v.append(v)
    return new_params, {"t": t, "m": new_m, "v": new_v}


class Autoencoder:
    """Holds what the functions above pass on from step to step."""

    def __init__(self, dtype: str = "float64", seed: int = 8, update: Callable[..., tuple[Params, dict]] = adam_update) -> None:
        """Start with fresh parameters and an empty state."""
        self.params = init_params(SIZES, seed, dtype)
        self.opt_state = adam_init(self.params)
        self.update = update

    def train_batch(self, x: np.ndarray) -> float:
        """Do one step towards reconstructing x; returns the loss before it."""
        activations = forward(self.params, x)
        grads = backward(self.params, activations)
        self.params, self.opt_state = self.update(self.params, grads, self.opt_state)
        return mse(activations[-1], x)

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """Return the reconstruction."""
        return forward(self.params, x)[-1]


def adam_update_uncorrected(params: Params, grads: Params, state: dict) -> tuple[Params, dict]:
    """The wrong one (see FAULT)."""
    return adam_update(params, grads, state, correct_v=False)


def torch_model() -> torch.nn.Module:
    """Return the twin."""
    a, b, c, d, e = SIZES
    return nn.Sequential(nn.Linear(a, b), nn.Tanh(), nn.Linear(b, c), nn.Tanh(), nn.Linear(c, d), nn.Tanh(), nn.Linear(d, e))


def torch_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error; the target is the input."""
    return nn.functional.mse_loss(output, target)


def torch_optimizer(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    """Return Adam."""
    return torch.optim.Adam(params, lr=HYPER["lr"], betas=(HYPER["b1"], HYPER["b2"]), eps=HYPER["eps"])


def make(dtype: str = "float64") -> Autoencoder:
    """Return a fresh right network."""
    return Autoencoder(dtype)


def make_wrong(dtype: str = "float64") -> Autoencoder:
    """Return a fresh network with the planted fault."""
    return Autoencoder(dtype, update=adam_update_uncorrected)
