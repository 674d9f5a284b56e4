"""What all naming styles have in common: a layer that computes with PyTorch, and keeps its parameters and gradients in a way of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from crosscheck.core.precision import Array
from tests.support.conventional import Kernel, Layer


class Style:
    """A layer without its names: a style says where parameters are held, and where gradients are stored."""

    def __init__(self, layer: Layer) -> None:
        self._kernel = Kernel(layer)
        self.hold(*layer.own().values())

    def hold(self, *arrays: Array) -> None:
        """Put the parameters where they belong, in the order of the layer's row."""
        raise NotImplementedError

    def held(self) -> Any:
        """Return the parameters, in the same order."""
        raise NotImplementedError

    def store(self, *grads: Any) -> None:
        """Put the gradients where they belong."""
        raise NotImplementedError

    def _by_name(self) -> dict[str, Array]:
        return dict(zip(self._kernel.layer.params, self.held(), strict=True))

    def forward(self, x: Array) -> Any:
        self._x = x.copy()
        return self._kernel.vjp(x, self._by_name())["output"]

    def backward(self, grad_output: Array) -> Any:
        """Return the input's gradient and store those of the parameters."""
        result = self._kernel.vjp(self._x, self._by_name(), grad_output)
        self.store(*(result[f"{name}.grad"] for name in self._kernel.layer.params))
        return result["grad_input"]


class Recurrence(nn.Module):  # type: ignore[misc]
    """A recurrent layer that returns its outputs only."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.rnn = nn.RNN(features, hidden, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.rnn(x)[0]
        return output


class Elman(nn.Module):  # type: ignore[misc]
    """A recurrent layer as its formula is written, with as many features as hidden units."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight_ih, self.weight_hh = (nn.Parameter(torch.ones(features, features)) for _ in range(2))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state, states = torch.zeros_like(x[:, 0]), []
        for at in range(x.shape[1]):
            state = torch.tanh(x[:, at] @ self.weight_ih.T + state @ self.weight_hh.T + self.bias)
            states.append(state)
        return torch.stack(states, dim=1)


class Attention(nn.Module):  # type: ignore[misc]
    """Self-attention with one head and four square matrices."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(features, features, bias=False) for _ in range(4))
        self.scale = features**-0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.q_proj(x) @ self.k_proj(x).transpose(-1, -2) * self.scale
        output: torch.Tensor = self.out_proj(torch.softmax(scores, dim=-1) @ self.v_proj(x))
        return output


LINEAR = Layer(nn.Linear(5, 3), (4, 5), {"W": "weight: i o -> o i", "b": "bias"})
SQUARE = Layer(nn.Linear(4, 4), (3, 4), {"W": "weight: i o -> o i", "b": "bias"})
SQUARE_AS_PYTORCH = Layer(nn.Linear(4, 4), (3, 4), {"W": "weight", "b": "bias"})
SQUARE_ALONE = Layer(nn.Linear(4, 4, bias=False), (3, 4), {"W": "weight"})
ALONE_TRANSPOSED = Layer(nn.Linear(4, 4, bias=False), (3, 4), {"W": "weight: i o -> o i"})
CONV = Layer(nn.Conv2d(2, 4, 3), (2, 2, 5, 4), {"W": "weight", "b": "bias"})
CONV_KERNEL_FIRST = Layer(nn.Conv2d(2, 4, 3), (2, 2, 5, 4), {"W": "weight: h w i o -> o i h w", "b": "bias"})
CONV_SQUARE = Layer(nn.Conv2d(3, 3, 3), (2, 3, 5, 4), {"W": "weight: i o h w -> o i h w", "b": "bias"})
ONE_CHANNEL = Layer(nn.Conv2d(1, 8, 3), (2, 1, 5, 4), {"W": "weight", "b": "bias"})
ONE_CHANNEL_WITHOUT_AXIS = Layer(nn.Conv2d(1, 8, 3), (2, 1, 5, 4), {"W": "weight: o h w -> o 1 h w", "b": "bias"})
LAYER_NORM = Layer(nn.LayerNorm(6), (3, 6), {"W": "weight", "b": "bias"})
RECURRENT = Layer(
    Recurrence(3, 4),
    (2, 3, 3),
    {"x": "rnn.weight_ih_l0: i o -> o i", "h": "rnn.weight_hh_l0: i o -> o i", "bx": "rnn.bias_ih_l0", "bh": "rnn.bias_hh_l0"},
)
ELMAN = Layer(Elman(4), (2, 3, 4), {"x": "weight_ih: i o -> o i", "h": "weight_hh: i o -> o i", "b": "bias"})
ATTENTION = Layer(Attention(4), (2, 3, 4), {name: f"{name}_proj.weight: i o -> o i" for name in ("q", "k", "v", "out")})
ATTENTION_AS_PYTORCH = Layer(Attention(4), (2, 3, 4), {name: f"{name}_proj.weight" for name in ("q", "k", "v", "out")})

Change = Callable[[tuple[Any, ...]], tuple[Any, ...]]

FAULTS: dict[str, Change] = {
    "doubled": lambda grads: (2 * grads[0], *grads[1:]),
    "transposed": lambda grads: (grads[0].T, *grads[1:]),
    "missing": lambda grads: (*grads[:-1], None),
}
"""What a wrong twin stores in place of its gradients."""


def twin(style: type[Style], fault: str) -> type[Style]:
    """Return a style that stores wrong gradients."""

    class Wrong(style):  # type: ignore[valid-type, misc]
        def store(self, *grads: Any) -> None:
            super().store(*FAULTS[fault](grads))

    return Wrong
