"""Recurrent layers over ``(batch, time, features)``, unrolled, back-propagated through time; they return all outputs, then the last states."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from crosscheck.core.precision import Array
from tests.textbook.curves import sigmoid


class Recurrent:
    """A cell that is applied to one step after another.

    Parameters
    ----------
    inputs, hidden : int
    """

    gates = 1
    states = 1

    def __init__(self, inputs: int, hidden: int) -> None:
        self.hidden = hidden
        rows = self.gates * hidden
        sizes = {"weight_ih_l0": (rows, inputs), "weight_hh_l0": (rows, hidden), "bias_ih_l0": (rows,), "bias_hh_l0": (rows,)}
        self.params = {name: np.zeros(size) for name, size in sizes.items()}
        self.grads: dict[str, Array] = {}

    def step(self, x: Array, states: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Return the states after a step, the output first, and what the way back needs."""
        raise NotImplementedError

    def back(self, grads: tuple[Array, ...], kept: tuple[Array, ...]) -> tuple[Array, Array, tuple[Array, ...]]:
        """Return the gradients of both products of a step, and those of the states before it but for their part through the second product."""
        raise NotImplementedError

    def by_input(self, x: Array) -> Array:
        """Return the input's product and bias."""
        return np.asarray(x @ self.params["weight_ih_l0"].T + self.params["bias_ih_l0"])

    def by_state(self, h: Array) -> Array:
        """Return the state's product and bias."""
        return np.asarray(h @ self.params["weight_hh_l0"].T + self.params["bias_hh_l0"])

    def way_back(self, time: int) -> Iterable[int]:
        """Return the steps in the order in which the gradient goes through them."""
        return reversed(range(time))

    def forward(self, x: Array) -> Array:
        """Return ``(batch, time * hidden + states * hidden)``."""
        self._x, self._before, self._kept = x, [], []
        states = tuple(np.zeros((len(x), self.hidden), x.dtype) for _ in range(self.states))
        outputs = []
        for time in range(x.shape[1]):
            self._before.append(states[0])
            states, kept = self.step(x[:, time], states)
            self._kept.append(kept)
            outputs.append(states[0])
        return np.concatenate([*outputs, *states], axis=1)

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient, from the last step to the first."""
        time = self._x.shape[1]
        columns = np.split(grad_output, time + self.states, axis=1)
        outputs, grads = columns[:time], tuple(columns[time:])
        grad_input = np.zeros_like(self._x)
        self.grads = {name: np.zeros_like(value) for name, value in self.params.items()}
        for now in self.way_back(time):
            first, second, before = self.back((grads[0] + outputs[now], *grads[1:]), self._kept[now])
            self.grads["weight_ih_l0"] += first.T @ self._x[:, now]
            self.grads["weight_hh_l0"] += second.T @ self._before[now]
            self.grads["bias_ih_l0"] += first.sum(axis=0)
            self.grads["bias_hh_l0"] += second.sum(axis=0)
            grad_input[:, now] = first @ self.params["weight_ih_l0"]
            grads = (before[0] + second @ self.params["weight_hh_l0"], *before[1:])
        return grad_input


class RNN(Recurrent):
    """h' = tanh(W x + U h + b) (Elman, 1990)."""

    def step(self, x: Array, states: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Return h'."""
        after = np.tanh(self.by_input(x) + self.by_state(states[0]))
        return (after,), (after,)

    def back(self, grads: tuple[Array, ...], kept: tuple[Array, ...]) -> tuple[Array, Array, tuple[Array, ...]]:
        """Return g (1 - h'**2) for both products."""
        through = grads[0] * (1 - kept[0]) * (1 + kept[0])
        return through, through, (np.zeros_like(through),)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997): c' = f c + i g, h' = o tanh(c'); gates in the order i, f, g, o."""

    gates = 4
    states = 2

    def step(self, x: Array, states: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Return h' and c'."""
        h, c = states
        sums = np.split(self.by_input(x) + self.by_state(h), 4, axis=1)
        i, f, o = (sigmoid(sums[gate]) for gate in (0, 1, 3))
        g = np.tanh(sums[2])
        after = f * c + i * g
        t = np.tanh(after)
        return (o * t, after), (i, f, g, o, c, t, *(sigmoid(-sums[gate]) for gate in (0, 1, 3)))

    def back(self, grads: tuple[Array, ...], kept: tuple[Array, ...]) -> tuple[Array, Array, tuple[Array, ...]]:
        """Return the gradients of the four sums, and that of c."""
        i, f, g, o, c, t, not_i, not_f, not_o = kept
        grad_h, grad_c = grads
        grad_c = grad_c + grad_h * o * (1 - t) * (1 + t)
        sums = [grad_c * g * i * not_i, grad_c * c * f * not_f, grad_c * i * (1 - g) * (1 + g), grad_h * t * o * not_o]
        through = np.concatenate(sums, axis=1)
        return through, through, (np.zeros_like(grad_h), grad_c * f)


class GRU(Recurrent):
    """Gated recurrent units (Cho et al., 2014): h' = (1 - z) n + z h, n = tanh(W x + r (U h)); gates in the order r, z, n."""

    gates = 3

    def step(self, x: Array, states: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Return h'."""
        (h,) = states
        by_input, by_state = (np.split(sums, 3, axis=1) for sums in (self.by_input(x), self.by_state(h)))
        r, z = (sigmoid(by_input[gate] + by_state[gate]) for gate in (0, 1))
        not_r, not_z = (sigmoid(-(by_input[gate] + by_state[gate])) for gate in (0, 1))
        n = np.tanh(by_input[2] + r * by_state[2])
        return (not_z * n + z * h,), (h, r, z, n, by_state[2], not_r, not_z)

    def back(self, grads: tuple[Array, ...], kept: tuple[Array, ...]) -> tuple[Array, Array, tuple[Array, ...]]:
        """Return the gradients of the three sums, that of the state's third product being r times the input's."""
        h, r, z, n, product, not_r, not_z = kept
        (grad,) = grads
        grad_n = grad * not_z * (1 - n) * (1 + n)
        grad_r, grad_z = grad_n * product * r * not_r, grad * (h - n) * z * not_z
        first, second = (np.concatenate([grad_r, grad_z, last], axis=1) for last in (grad_n, grad_n * r))
        return first, second, (grad * z,)
