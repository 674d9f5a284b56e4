"""Layers of several parts: each part is an object with parameters of its own, and the whole is compared with one module."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from crosscheck.core.precision import Array


class Dense:
    """A linear part: attributes ``W``, ``b``, ``dW`` and ``db``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.W, self.b = np.ones((inputs, outputs)), np.zeros(outputs)
        self.dW: Any = None
        self.db: Any = None

    def forward(self, x: Array) -> Array:
        self.x = x.copy()
        return np.asarray(x @ self.W + self.b)

    def backward(self, grad_output: Array) -> Array:
        self.keep(np.tensordot(self.x, grad_output, (range(self.x.ndim - 1),) * 2), grad_output.sum(axis=tuple(range(grad_output.ndim - 1))))
        return np.asarray(grad_output @ self.W.T)

    def keep(self, dW: Any, db: Any) -> None:  # noqa: N803
        """Store the gradients."""
        self.dW, self.db = dW, db


class DenseOfDicts(Dense):
    """The same with the dicts ``params`` and ``grads``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.params = {"W": np.ones((inputs, outputs)), "b": np.zeros(outputs)}
        self.grads: dict[str, Any] = {}

    W = property(lambda self: self.params["W"])
    b = property(lambda self: self.params["b"])

    def keep(self, dW: Any, db: Any) -> None:  # noqa: N803
        self.grads = {"W": dW, "b": db}


class Adding(Dense):
    """The same, but gradients of several calls of one backward pass add up."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.inputs: list[Array] = []

    def forward(self, x: Array) -> Array:
        self.inputs.append(x.copy())
        return np.asarray(x @ self.W + self.b)

    def backward(self, grad_output: Array) -> Array:
        self.x, before = self.inputs.pop(), (self.dW, self.db)
        grad_input = super().backward(grad_output)
        if before[0] is not None:
            self.dW, self.db = before[0] + self.dW, before[1] + self.db
        return grad_input


class Wrong(Dense):
    """Its weight's gradient is doubled."""

    def keep(self, dW: Any, db: Any) -> None:  # noqa: N803
        super().keep(2 * dW, db)


class Tanh:
    """A part without parameters."""

    def forward(self, x: Array) -> Array:
        self.out = np.tanh(x)
        return self.out

    def backward(self, grad_output: Array) -> Array:
        return np.asarray(grad_output * (1 - self.out**2))


class Whole:
    """Parts that are called one after another."""

    def parts(self) -> list[Any]:
        """Return the parts in order."""
        raise NotImplementedError

    def forward(self, x: Array) -> Array:
        for part in self.parts():
            x = part.forward(x)
        return x

    def backward(self, grad_output: Array) -> Array:
        for part in reversed(self.parts()):
            grad_output = part.backward(grad_output)
        return grad_output


class InList(Whole):
    """A list of layers."""

    def __init__(self, kind: type[Dense] = Dense, second: type[Dense] | None = None) -> None:
        self.layers: list[Any] = [kind(5, 4), Tanh(), (second or kind)(4, 3)]

    def parts(self) -> list[Any]:
        return self.layers


class InDict(Whole):
    """A dict of layers."""

    def __init__(self) -> None:
        self.layers = {"hidden": Dense(5, 4), "act": Tanh(), "last": Dense(4, 3)}

    def parts(self) -> list[Any]:
        return [*self.layers.values()]


class InAttributes(Whole):
    """Attributes that are layers."""

    def __init__(self, last: type[Dense] = Dense) -> None:
        self.fc1, self.act, self.fc2 = Dense(5, 4), Tanh(), last(4, 3)

    def parts(self) -> list[Any]:
        return [self.fc1, self.act, self.fc2]


class Deep(Whole):
    """A network in an object in an object."""

    def __init__(self, kind: type[Dense] = Dense) -> None:
        self.model = SimpleNamespace(body=InList(kind))

    def parts(self) -> list[Any]:
        return [self.model.body]


class Collected(InList):
    """A network that also shows the arrays of its layers in two dicts, as two-layer nets of courses do."""

    def __init__(self) -> None:
        super().__init__()
        one, _, two = self.layers
        self.params = {"W1": one.W, "b1": one.b, "W2": two.W, "b2": two.b}
        self.grads: dict[str, Any] = {}

    def backward(self, grad_output: Array) -> Array:
        grad_input = super().backward(grad_output)
        one, _, two = self.layers
        self.grads = {"W1": one.dW, "b1": one.db, "W2": two.dW, "b2": two.db}
        return grad_input


class Shared(Whole):
    """One layer object that is used twice: its parameters are there once."""

    def __init__(self) -> None:
        self.first = self.second = Adding(4, 4)
        self.act = Tanh()

    def parts(self) -> list[Any]:
        return [self.first, self.act, self.second]

    def backward(self, grad_output: Array) -> Array:
        self.first.dW = self.first.db = None
        return super().backward(grad_output)


class SharedModule(nn.Module):  # type: ignore[misc]
    """What it is compared with."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.linear(torch.tanh(self.linear(x)))
        return output


class SelfAttention:
    """Four linear parts with names of their own."""

    def __init__(self, features: int, last: type[Dense] = Dense) -> None:
        self.W_q, self.W_k, self.W_v = (Dense(features, features) for _ in range(3))
        self.W_o = last(features, features)

    def forward(self, x: Array) -> Array:
        self.q, self.k, self.v = (part.forward(x) for part in (self.W_q, self.W_k, self.W_v))
        scores = self.q @ self.k.swapaxes(-1, -2) * x.shape[-1] ** -0.5
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        self.weights = weights / weights.sum(axis=-1, keepdims=True)
        return self.W_o.forward(self.weights @ self.v)

    def backward(self, grad_output: Array) -> Array:
        grad = self.W_o.backward(grad_output)
        of_weights = grad @ self.v.swapaxes(-1, -2)
        of_scores = self.weights * (of_weights - (of_weights * self.weights).sum(axis=-1, keepdims=True)) * grad.shape[-1] ** -0.5
        of_k, of_v = of_scores.swapaxes(-1, -2) @ self.q, self.weights.swapaxes(-1, -2) @ grad
        return self.W_q.backward(of_scores @ self.k) + self.W_k.backward(of_k) + self.W_v.backward(of_v)


class Block:
    """Attention in an attribute, and a residual connection."""

    def __init__(self, last: type[Dense] = Dense) -> None:
        self.attention = SelfAttention(4, last)

    def forward(self, x: Array) -> Array:
        return x + self.attention.forward(x)

    def backward(self, grad_output: Array) -> Array:
        return grad_output + self.attention.backward(grad_output)


class BlockModule(nn.Module):  # type: ignore[misc]
    """What it is compared with."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(4, 4) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.q_proj(x) @ self.k_proj(x).transpose(-1, -2) * x.shape[-1] ** -0.5
        output: torch.Tensor = x + self.out_proj(torch.softmax(scores, dim=-1) @ self.v_proj(x))
        return output


class BatchNorm:
    """Running statistics in the dict of the parameters."""

    def __init__(self, features: int) -> None:
        self.params = {"gamma": np.ones(features), "beta": np.zeros(features), "running_mean": np.zeros(features), "running_var": np.ones(features)}
        self.grads: dict[str, Any] = {}
        self.training = True

    def forward(self, x: Array) -> Array:
        params = self.params
        mean, var = (x.mean(axis=0), x.var(axis=0)) if self.training else (params["running_mean"], params["running_var"])
        if self.training:
            params["running_mean"] = 0.9 * params["running_mean"] + 0.1 * mean
            params["running_var"] = 0.9 * params["running_var"] + 0.1 * var * len(x) / (len(x) - 1)
        self.inverse, self.trained = 1 / np.sqrt(var + 1e-5), self.training
        self.normed = (x - mean) * self.inverse
        return np.asarray(params["gamma"] * self.normed + params["beta"])

    def backward(self, grad_output: Array) -> Array:
        self.grads = {"gamma": (grad_output * self.normed).sum(axis=0), "beta": grad_output.sum(axis=0)}
        grad = grad_output * self.params["gamma"] * self.inverse
        if not self.trained:
            return np.asarray(grad)
        return np.asarray(grad - grad.mean(axis=0) - self.normed * (grad * self.normed).mean(axis=0))
