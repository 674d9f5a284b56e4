"""Functions of several inputs or outputs, of ids, masks and targets, in right and wrong versions, for the ways into the harness other than check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from crosscheck import Forward, Functions, Mask, Pair
from crosscheck.checks import checks_of
from crosscheck.core.precision import Array
from crosscheck.pairs.prepare import prepare
from crosscheck.run.select import Selection
from tests.support.several_inputs import CASES


class Attention:
    """Scaled dot-product attention with a mask, as two functions."""

    key_factor = 1.0

    def forward(self, query: Array, key: Array, value: Array, mask: Array) -> tuple[Array, Any]:
        scale = query.dtype.type(query.shape[-1] ** -0.5)
        scores = np.where(mask, query @ key.swapaxes(-1, -2) * scale, query.dtype.type(-np.inf))
        weights = np.exp(scores - np.maximum(scores.max(axis=-1, keepdims=True), np.finfo(query.dtype).min))
        weights /= np.maximum(weights.sum(axis=-1, keepdims=True), np.finfo(query.dtype).tiny)  # 0 if all keys are hidden
        return weights @ value, (query, key, value, weights, scale)

    def backward(self, grad: Array, cache: Any) -> tuple[Array, Array, Array]:
        query, key, value, weights, scale = cache
        of_weights = grad @ value.swapaxes(-1, -2)
        scores = weights * (of_weights - (of_weights * weights).sum(axis=-1, keepdims=True)) * scale
        return scores @ key, scores.swapaxes(-1, -2) @ query * query.dtype.type(self.key_factor), weights.swapaxes(-1, -2) @ grad


class KeysTwice(Attention):
    """The gradient of the keys is twice what it should be."""

    key_factor = 2.0


class Recurrence:
    """A recurrent layer that returns all states and the last one."""

    last_counts = True

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.weight_ih_l0, self.weight_hh_l0 = rng.standard_normal((3, 4)), rng.standard_normal((3, 3))
        self.bias_ih_l0, self.bias_hh_l0 = np.zeros(3), np.zeros(3)

    def forward(self, x: Array, h_0: Array) -> tuple[Array, Array]:
        self.x, self.states = x, [h_0[0]]
        for step in range(x.shape[1]):
            given = x[:, step] @ self.weight_ih_l0.T + self.states[-1] @ self.weight_hh_l0.T
            self.states.append(np.tanh(given + self.bias_ih_l0 + self.bias_hh_l0))
        return np.stack(self.states[1:], axis=1), self.states[-1][None].copy()

    def backward(self, grad: Array, grad_last: Array) -> tuple[Array, Array]:
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            setattr(self, f"d{name}", np.zeros_like(getattr(self, name)))
        grad_x, below = np.zeros_like(self.x), grad_last[0] * self.last_counts
        for step in reversed(range(self.x.shape[1])):
            own = (grad[:, step] + below) * (1 - self.states[step + 1] ** 2)
            self.dweight_ih_l0 += own.T @ self.x[:, step]  # type: ignore[attr-defined]
            self.dweight_hh_l0 += own.T @ self.states[step]  # type: ignore[attr-defined]
            self.dbias_ih_l0 += own.sum(axis=0)  # type: ignore[attr-defined]
            self.dbias_hh_l0 += own.sum(axis=0)  # type: ignore[attr-defined]
            grad_x[:, step], below = own @ self.weight_ih_l0, own @ self.weight_hh_l0
        return grad_x, below[None]


class LastStateLeftOut(Recurrence):
    """The gradient of the second output is not used."""

    last_counts = False


def largest(x: Array) -> Array:
    return np.asarray(x.argmax(axis=-1))


def smallest(x: Array) -> Array:
    return np.asarray(x.argmin(axis=-1))


def positive(x: Array) -> Array:
    return np.asarray(x > 0)


def negative(x: Array) -> Array:
    return np.asarray(x < 0)


def _attention(kind: type[Attention]) -> Pair:
    inputs: dict[str, Any] = {"query": "batch q_len dim", "key": "batch k_len dim", "value": "batch k_len dim", "mask": Mask("q_len k_len")}
    own, sizes = kind(), {"batch": 2, "q_len": 3, "k_len": 5, "dim": 4}
    return Pair(Functions(own.forward, own.backward), functional.scaled_dot_product_attention, inputs=inputs, sizes=sizes, name="attention")


def _recurrence(kind: type[Recurrence]) -> Pair:
    return Pair(kind(), nn.RNN(4, 3, batch_first=True), [(2, 5, 4)], name="recurrence")


def _largest(kind: Callable[[Array], Array]) -> Pair:
    return Pair(Forward(kind), lambda x: torch.argmax(x, dim=-1), [(3, 5)], name="largest")


def _positive(kind: Callable[[Array], Array]) -> Pair:
    return Pair(Forward(kind), lambda x: torch.gt(x, 0), [(3, 5)], name="positive")


@dataclass(frozen=True)
class Kind:
    """A kind of function.

    Attributes
    ----------
    pair : callable
        Returns the pair of an implementation.
    right, wrong
        Implementations.
    at : tuple of str
        The quantities in which the wrong one is wrong first.
    special : bool
        Whether the fault shows only on special values, such as ignored labels.
    most : int
        The most numbers that the inputs of its small case have.
    """

    pair: Callable[[Any], Pair]
    right: Any
    wrong: Any
    at: tuple[str, ...]
    special: bool = False
    most: int = 16


def _known(name: str, special: bool = False) -> Kind:
    case = CASES[name]
    return Kind(case.pair, case.right, case.wrong[0].kind, case.wrong[0].at, special)


KINDS: dict[str, Kind] = {
    "attention": Kind(_attention, Attention, KeysTwice, ("grad_input.key",)),
    "recurrence": Kind(_recurrence, Recurrence, LastStateLeftOut, ("grad_input",)),
    "largest": Kind(_largest, largest, smallest, ("output",)),
    "positive": Kind(_positive, positive, negative, ("output",)),
    "embedding": _known("embedding"),
    "embedding with padding": _known("embedding with padding"),
    "squared error": _known("squared error"),
    "ranking": _known("ranking"),
    "divergence": _known("divergence"),
    "masked mean": _known("masked mean"),
    "batched product": _known("batched product"),
    "cross-entropy": _known("cross-entropy", special=True),
    "cross-entropy by name": _known("cross-entropy by name", special=True),
    "cross-entropy, summed": _known("cross-entropy, summed", special=True),
}
"""By name."""

CHECKS = ("values-float64-normal", "values-float32-digits")
"""The checks of values that the ways are tried with, beside all checks of special values in double precision."""


def selection(pair: Pair) -> Selection:
    """Return the checks that the ways are tried with."""
    return Selection(pair, [check for check in checks_of(pair) if check.name in CHECKS or check.name.startswith("special-float64")], 0)


def by_shape(pair: Pair, reference: Any) -> Pair:
    """Return the pair beside another reference, declared by nothing but the shape of its first input."""
    first = next(iter(prepare(pair).cases[0].shapes.values()))
    return replace(pair, reference=reference, inputs={}, sizes={}, shapes=[first], name=pair.title)


def in_file(pair: Pair, path: Path) -> Pair:
    """Return the pair as if a file had declared it."""
    object.__setattr__(pair, "origin", path)
    return pair


def few() -> list[Pair]:
    """Return right and wrong pairs of some kinds, for ways that take long to start."""
    chosen = {name: KINDS[name] for name in ("attention", "recurrence", "largest", "embedding", "ranking", "cross-entropy by name")}
    return [
        replace(kind.pair(one), name=f"{name}, {which}")
        for name, kind in chosen.items()
        for which, one in (("right", kind.right), ("wrong", kind.wrong))
    ]
