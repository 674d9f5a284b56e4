"""Ties in max pooling: the gradient under each common tie rule, and an experiment that shows whether only the ties cause a mismatch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from crosscheck.causes.candidate import Candidate
from crosscheck.causes.windows import Windows, first_winner
from crosscheck.core.check_layer import Failure, check_layer
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import Arrays, Call, Oracle
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.network import Architecture
from crosscheck.oracles.wrapped import WrappedOracle

OTHER_RULES = {
    "all": "every pixel that equals its window's maximum gets the whole gradient; expected only the first one to get it",
    "split": "the pixels that equal their window's maximum share its gradient; expected the first one to get all of it",
    "last": "the last pixel that equals its window's maximum gets the gradient; expected the first one to get it",
}
"""Common tie rules other than the frameworks' rule, each with its message."""


def tie_rule(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: if several pixels equal a window's maximum, a pixel other than the first gets the gradient, or several pixels do."""
    settings, grad_output = failure.oracle.settings, failure.call.grad_output
    if failure.quantity != "grad_input" or grad_output is None or not chooses(failure.oracle, failure.call.x):
        return
    winners = _tied(Windows.of_pool(settings, failure.call.x.shape).seen(failure.call.x, -np.inf)).sum(axis=(-2, -1))
    if not (tied := int((winners > 1).sum())):
        return
    agrees = _agrees_without_ties(failure)
    experiment = "; on the same input without ties the layer matches" if agrees else ""
    for rule, words in OTHER_RULES.items():
        note = f"; {tied:,} of {winners.size:,} windows have a tie{experiment}"
        yield Candidate(f"tie rule: {rule}", f"tie rule: {words}", *pooled_gradient(failure.call.x, grad_output, settings, rule), note=note)


def chooses(layer: Oracle, x: Array) -> bool:
    """Return whether a layer picks one element of each window: max pooling does, average pooling and convolution do not."""
    return "kernel" in layer.settings and layer.decisions(x) is not None


@dataclass(frozen=True)
class _Ruled(WrappedOracle):
    """An oracle for max pooling with another tie rule."""

    rule: str

    def vjp(self, call: Call) -> dict[str, Array]:
        return super().vjp(call) | {name: gradient for name, (gradient, _) in self._by_rule(call).items()}

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        return super().bounds(oracle, call, result, precision) | {name: bound for name, (_, bound) in self._by_rule(call).items()}

    def _by_rule(self, call: Call) -> dict[str, tuple[Array, Bound]]:
        """Return the input gradient under the tie rule, with its bound; empty if the call fixes the winners or has no upstream gradient."""
        if call.grad_output is None or "decisions" in call.constants:
            return {}
        return {"grad_input": pooled_gradient(call.x, call.grad_output, self.settings, self.rule)}


def ruled(architecture: Architecture, inputs: Mapping[str, Array]) -> Iterator[tuple[str, str, Architecture]]:
    """For each tie rule with several winners, yield the cause's name, its message, and the network with max pooling under this rule.

    ``inputs`` are the inputs of each layer.
    """
    layers = architecture.layers
    pools = [name for name, layer in layers.items() if chooses(layer, inputs[name])]
    for rule in ("all", "split") if pools else ():
        changed = {name: _Ruled(layer, rule) if name in pools else layer for name, layer in layers.items()}
        yield f"tie rule: {rule}", f"tie rule of {', '.join(pools)}: {OTHER_RULES[rule]}", replace(architecture, layers=changed)


def pooled_gradient(x: Array, grad_output: Array, settings: Mapping[str, tuple[int, ...]], rule: str) -> tuple[Array, Bound]:
    """Return the input gradient of max pooling under a tie rule, ``"all"``, ``"split"`` or ``"last"``, and its rounding error bound.

    Under ``"split"``, a share is rounded once if the gradient is divided by m, and twice if it is multiplied by 1 / m.
    """
    windows = Windows.of_pool(settings, x.shape)
    gradient, bound = windows.shared(_shares(windows.seen(x, -np.inf), rule), grad_output, x.shape)
    return gradient, replace(bound, n_roundings=bound.n_roundings + 2.0) if rule == "split" else bound


def _shares(seen: Array, rule: str) -> Array:
    """Return the fraction of the window's gradient that each pixel of the window gets."""
    if rule == "last":
        return first_winner(seen[..., ::-1, ::-1])[..., ::-1, ::-1]
    tied = _tied(seen)
    return np.asarray(tied / (tied.sum(axis=(-2, -1), keepdims=True) if rule == "split" else 1.0))


def _tied(seen: Array) -> npt.NDArray[np.bool_]:
    """Return a mask of the pixels that equal their window's maximum."""
    return np.asarray(seen == seen.max(axis=(-2, -1), keepdims=True))


def _agrees_without_ties(failure: Failure) -> bool:
    """Return whether the layer is correct on an input with the same order of values but without ties.

    Pooling depends only on the order of the values, so each value is replaced by its rank. Among equal values, the first gets the highest rank.
    """
    flat = failure.call.x.ravel()
    order = np.lexsort((-np.arange(flat.size), flat))
    ranks = np.empty(flat.size)
    ranks[order] = np.arange(flat.size)
    call = failure.call.with_x(ranks.reshape(failure.call.x.shape)).astype(failure.precision.dtype)
    check = check_layer(failure.subject, failure.oracle, call, failure.precision, failure.judgement.place.layer, only=["grad_input"])
    return check.judgements[0].verdict is Verdict.MATCH
