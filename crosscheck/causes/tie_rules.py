"""Who wins when a maximum ties: the gradient of max pooling under every rule in use, and the experiment that tells them apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from crosscheck.causes.candidate import Candidate
from crosscheck.core.check_layer import Failure, check_layer
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import Arrays, Call, Oracle, Rounding
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.network import Architecture

OTHER_RULES = {
    "all": "every pixel that equals its window's maximum gets the whole gradient, where the reference gives it to the first one",
    "split": "the pixels that tie for a window's maximum share its gradient, where the reference gives it to the first one",
    "last": "the last pixel that equals its window's maximum gets the gradient, where the reference gives it to the first one",
}
"""Every rule in use but the frameworks' own, in words."""


def tie_rule(failure: Failure) -> Iterator[Candidate]:
    """Another pixel wins, or several, where a maximum ties."""
    settings, grad_output = failure.oracle.settings, failure.call.grad_output
    if failure.quantity != "grad_input" or grad_output is None or not chooses(failure.oracle, failure.call.x):
        return
    tied, windows = _ties(failure)
    if not tied:
        return
    agrees = _agrees_without_ties(failure)
    experiment = "; with the ties broken towards the first winner the same layer matches" if agrees else ""
    for rule, words in OTHER_RULES.items():
        message = f"tie rule: {words}; {tied:,} of {windows:,} windows tie{experiment}"
        yield Candidate(f"tie rule: {rule}", message, *pooled_gradient(failure.call.x, grad_output, settings, rule))


def chooses(layer: Oracle, x: Array) -> bool:
    """Return whether a layer has windows with winners: max pooling does, average pooling and convolution do not."""
    return "kernel" in layer.settings and layer.decisions(x) is not None


@dataclass(frozen=True)
class _Ruled:
    """Max pooling with another tie rule, as an oracle."""

    right: Oracle
    rule: str

    @property
    def rounding(self) -> Rounding:
        return _RuledRounding(self)

    @property
    def settings(self) -> Mapping[str, tuple[int, ...]]:
        return self.right.settings

    def decisions(self, x: Array) -> npt.NDArray[Any] | None:
        return self.right.decisions(x)

    def vjp(self, call: Call) -> dict[str, Array]:
        result = self.right.vjp(call)
        if (ruled := self.gradient(call)) is not None:
            result["grad_input"] = ruled[0]
        return result

    def gradient(self, call: Call) -> tuple[Array, Bound] | None:
        """Return the input's gradient by the rule, with its bound; None where nothing is left to the rule."""
        if call.grad_output is None or "decisions" in call.constants:
            return None
        return pooled_gradient(call.x, call.grad_output, self.right.settings, self.rule)


@dataclass(frozen=True)
class _RuledRounding:
    """The error theory of max pooling with another tie rule."""

    pool: _Ruled

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        bounds = self.pool.right.rounding.bounds(self.pool.right, call, result, precision)
        return bounds if (ruled := self.pool.gradient(call)) is None else bounds | {"grad_input": ruled[1]}

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        return self.pool.right.rounding.propagated(self.pool.right, call, result, error_x, error_grad_output)


def ruled(architecture: Architecture, inputs: Mapping[str, Array]) -> Iterator[tuple[str, str, Architecture]]:
    """Yield the network with each tie rule that is no choice of one winner: the rule's name, the rule in words, the network whose pools follow it.

    Parameters
    ----------
    architecture : Architecture
    inputs : mapping of str to array
        What each layer gets.
    """
    layers = architecture.layers
    pools = [name for name, layer in layers.items() if chooses(layer, inputs[name])]
    for rule in ("all", "split") if pools else ():
        changed = {name: _Ruled(layer, rule) if name in pools else layer for name, layer in layers.items()}
        yield f"tie rule: {rule}", f"tie rule of {', '.join(pools)}: {OTHER_RULES[rule]}", replace(architecture, layers=changed)


def _windows(x: Array, settings: Mapping[str, tuple[int, ...]]) -> Array:
    """Return the values of each window, ``(batch, channels, rows, columns, elements)``; padding is minus infinity."""
    (top, left), (down, right) = settings["padding"], settings["stride"]
    padded = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)), constant_values=-np.inf)
    view = sliding_window_view(padded, settings["kernel"], axis=(2, 3))[:, :, ::down, ::right]
    return view.reshape(*view.shape[:4], -1)


def _ties(failure: Failure) -> tuple[int, int]:
    windows = _windows(failure.call.x, failure.oracle.settings)
    winners = (windows == windows.max(axis=-1, keepdims=True)).sum(axis=-1)
    return int((winners > 1).sum()), winners.size


def pooled_gradient(x: Array, grad_output: Array, settings: Mapping[str, tuple[int, ...]], rule: str) -> tuple[Array, Bound]:
    """Return the input's gradient of max pooling under a tie rule, ``"all"``, ``"split"`` or ``"last"``, and what limits its rounding error.

    A pixel that wins k windows gets a sum of k numbers, k - 1 roundings. A share is rounded once, and once more where it is made by multiplying by
    1 / m.
    """
    shares = _shares(x, settings, rule)
    won = _scattered(x.shape, (shares > 0).astype(np.float64), settings)
    roundings = np.maximum(won - 1, 0) + (2.0 if rule == "split" else 0.0)
    along = grad_output[..., None]
    return _scattered(x.shape, shares * along, settings), Bound(_scattered(x.shape, shares * np.abs(along), settings), roundings)


def _shares(x: Array, settings: Mapping[str, tuple[int, ...]], rule: str) -> Array:
    """Return which part of its window's gradient each pixel of a window gets, ``(batch, channels, rows, columns, elements)``."""
    windows = _windows(x, settings)
    tied = windows == windows.max(axis=-1, keepdims=True)
    if rule == "last":
        last = windows.shape[-1] - 1 - tied[..., ::-1].argmax(axis=-1)
        return np.asarray(np.arange(windows.shape[-1]) == last[..., None], dtype=np.float64)
    return np.asarray(tied / (tied.sum(axis=-1, keepdims=True) if rule == "split" else 1.0))


def _scattered(shape: tuple[int, ...], parts: Array, settings: Mapping[str, tuple[int, ...]]) -> Array:
    """Return numbers of each window's pixels added up where they belong in the input."""
    (top, left), (down, right) = settings["padding"], settings["stride"]
    height, width = shape[2:]
    grad = np.zeros((*shape[:2], height + 2 * top, width + 2 * left))
    rows, columns = parts.shape[2:4]
    for element, (u, v) in enumerate(np.ndindex(*settings["kernel"])):
        grad[:, :, u : u + down * rows : down, v : v + right * columns : right] += parts[..., element]
    return grad[:, :, top : top + height, left : left + width]


def _agrees_without_ties(failure: Failure) -> bool:
    """Return whether the layer is right on an input of the same order in which the first of equal values is the largest.

    Pooling depends on the order of the values alone, so each is replaced by its rank, ties counted from the last one to the first.
    """
    flat = failure.call.x.ravel()
    order = np.lexsort((-np.arange(flat.size), flat))
    ranks = np.empty(flat.size)
    ranks[order] = np.arange(flat.size)
    call = replace(failure.call, x=ranks.reshape(failure.call.x.shape)).astype(failure.precision.dtype)
    check = check_layer(failure.subject, failure.oracle, call, failure.precision, failure.judgement.place.layer, only=["grad_input"])
    return check.judgements[0].verdict is Verdict.MATCH
