r"""The error theories of softmax, of log-softmax and of the losses.

Let d be the logits minus their maximum. A probability :math:`p_i = e^{d_i} / \sum_k e^{d_k}` has a relative error of at most

.. math:: u \, \big(|d_i| + \textstyle\sum_k p_k |d_k| + K + 2E\big)

for K classes. Subtracting the maximum rounds d, and e^d turns an absolute error of d into a relative error; E is the error of the exponential itself.
If p is computed as :math:`e^{z_i - L}` with :math:`L = m + \ln \sum_k e^{d_k}`, where m is the maximum, L has a rounding error of :math:`u |L|`,
which the exponential turns into the same relative error of all probabilities in a row.
The bounds below hold for every usual order of these operations: with or without subtracting the maximum, with the logarithm of the sum or of p.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crosscheck.core.operation import Arrays, Call, Oracle
from crosscheck.core.precision import ELEMENTARY, Array, Bound, Precision
from crosscheck.oracles.running_error import Tracked, max_error
from crosscheck.oracles.theories.formulas import FormulaTheory


@dataclass(frozen=True)
class _Distribution:
    """The probabilities p of a batch of logits, and the parts of their errors; every array is ``(batch, classes)`` or ``(batch, 1)``."""

    depths: Array  # |d|
    log_sums: Array  # ln of the sum of e^d
    p: Array
    weights: Array  # relative error of p, as a multiple of ``roundings``
    shared: Array  # relative error of a whole row if the logarithm of its sum is subtracted, in multiples of the unit roundoff
    roundings: float  # the number of roundings in the longest usual computation of p

    @classmethod
    def of(cls, logits: Array) -> _Distribution:
        depths = logits.max(axis=-1, keepdims=True) - logits
        exponentials = np.exp(-depths)
        sums = exponentials.sum(axis=-1, keepdims=True)
        p = exponentials / sums
        # A masked logit, minus infinity, has a probability of exactly 0.
        depths = np.where(np.isneginf(logits), 0.0, depths)
        weights = 1 + depths + (p * depths).sum(axis=-1, keepdims=True)
        shared = np.abs(logits.max(axis=-1, keepdims=True) + np.log(sums))
        return cls(depths, np.log(sums), p, weights, shared, logits.shape[-1] + 2 * ELEMENTARY)

    def rounded(self, precision: Precision) -> Array:
        """Return the error of each probability as a multiple of ``roundings``, without the error that a row shares."""
        return self.p * self.weights + precision.underflow

    def moved(self, error_logits: Array) -> Array:
        """Return how far errors dz of the logits change the probabilities: |dp_i| <= p_i (|dz_i| + sum_k p_k |dz_k|)."""
        return np.asarray(self.p * (error_logits + (self.p * error_logits).sum(axis=-1, keepdims=True)))


@dataclass(frozen=True)
class Softmax:
    """The error theory of softmax along the last axis."""

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return bounds for the output p and for the input gradient p * (g - sum p g), in which every p is itself rounded."""
        dist = _Distribution.of(call.x)
        bounds = {"output": _both(precision, Bound(dist.p * dist.weights, dist.roundings), Bound(dist.p * dist.shared, 1.0))}
        if call.grad_output is not None:
            g = np.abs(call.grad_output)
            mean = (dist.p * g).sum(axis=-1, keepdims=True)
            rounded = dist.rounded(precision)
            rounded_mean = (rounded * g).sum(axis=-1, keepdims=True)
            within = Bound(rounded * (g + mean) + dist.p * rounded_mean, 2 * dist.roundings)
            # All p of a row have a common relative error, which affects both p and the mean.
            bounds["grad_input"] = _both(precision, within, Bound(dist.p * dist.shared * (g + 2 * mean), 1.0))
        return bounds

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the first-order errors that follow from errors of the logits, which change p, and of the upstream gradient."""
        dist = _Distribution.of(call.x)
        moved = dist.moved(error_x)
        if call.grad_output is None or error_grad_output is None:
            return {"output": moved}
        mean = (dist.p * call.grad_output).sum(axis=-1, keepdims=True)
        through_p = moved * np.abs(call.grad_output - mean) + dist.p * (moved * np.abs(call.grad_output)).sum(axis=-1, keepdims=True)
        through_g = dist.p * (error_grad_output + (dist.p * error_grad_output).sum(axis=-1, keepdims=True))
        return {"output": moved, "grad_input": through_p + through_g}


@dataclass(frozen=True)
class LogSoftmax:
    """The error theory of log-softmax along the last axis."""

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return bounds for the output, d - ln sum e^d, and for the input gradient, g - p sum g."""
        dist = _Distribution.of(call.x)
        spread = (dist.p * dist.depths).sum(axis=-1, keepdims=True)
        within = Bound(dist.depths + np.abs(dist.log_sums) + spread + 1, dist.roundings)
        # As in the cross-entropy, if the maximum is added to the logarithm, the rounding error is relative to the maximum.
        by_parts = Bound(np.abs(call.x).max(axis=-1, keepdims=True) + np.abs(call.x), 2.0)
        bounds = {"output": _both(precision, within, by_parts)}
        if call.grad_output is not None:
            g = np.abs(call.grad_output)
            total = g.sum(axis=-1, keepdims=True)
            rounded = dist.rounded(precision)
            bounds["grad_input"] = _both(precision, Bound(g + rounded * total, 2 * dist.roundings), Bound(dist.p * dist.shared * total, 1.0))
        return bounds

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the first-order errors: d(ln p) = dz - sum p dz for the output; the gradient changes with p and with the upstream gradient."""
        dist = _Distribution.of(call.x)
        carried = {"output": error_x + (dist.p * error_x).sum(axis=-1, keepdims=True)}
        if call.grad_output is not None and error_grad_output is not None:
            total = np.abs(call.grad_output.sum(axis=-1, keepdims=True))
            through_g = error_grad_output + dist.p * error_grad_output.sum(axis=-1, keepdims=True)
            carried["grad_input"] = dist.moved(error_x) * total + through_g
        return carried


@dataclass(frozen=True)
class CrossEntropy:
    """The error theory of cross-entropy: the mean or the sum of -ln softmax(logits)[label] over the batch; labels are a constant of the call."""

    reduction: Literal["mean", "sum"] = "mean"

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return bounds for the loss, ln sum e^d - d[label], and for its gradient, p - onehot."""
        dist, onehot, share = _Distribution.of(call.x), _onehot(call), self._share(call)
        own_depth = (dist.depths * onehot).sum(axis=-1, keepdims=True)
        spread = (dist.p * dist.depths).sum(axis=-1, keepdims=True)
        terms = own_depth + np.abs(dist.log_sums) + spread + 1
        # Code may compute m + ln sum e^(x - m) - x[label] with the maximum m. Then the rounding error is relative to m, also in means of these parts.
        by_parts = Bound(np.abs(call.x).max(axis=-1).sum() * share, 2.0 + len(call.x))
        within = Bound(np.asarray(terms.sum() * share), dist.roundings + len(call.x))
        bounds = {"output": _both(precision, within, by_parts)}
        if call.grad_output is not None:
            rounded, scale = dist.rounded(precision), share * np.abs(call.grad_output)
            through_sum = Bound(dist.p * dist.shared * scale, 1.0)
            bounds["grad_input"] = _both(precision, Bound((rounded + onehot) * scale, 2 * dist.roundings), through_sum)
        return bounds

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the first-order errors of the loss and its gradient; errors of the logits change the gradient through p."""
        dist, onehot, share = _Distribution.of(call.x), _onehot(call), self._share(call)
        slope = np.abs(dist.p - onehot) * share
        carried = {"output": np.asarray((slope * error_x).sum())}
        if call.grad_output is not None and error_grad_output is not None:
            carried["grad_input"] = dist.moved(error_x) * share * np.abs(call.grad_output) + slope * error_grad_output
        return carried

    def _share(self, call: Call) -> float:
        return 1 / len(call.x) if self.reduction == "mean" else 1.0


@dataclass(frozen=True)
class LogLikelihood:
    """The error theory of the mean of -ln p[label] over a batch of probabilities p."""

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return bounds for the logarithm and for its derivative, -1 / p."""
        own = self._own(call)
        bounds = {"output": Bound(np.asarray(np.abs(np.log(own)).mean()), ELEMENTARY + len(own))}
        if call.grad_output is not None:
            bounds["grad_input"] = Bound(np.abs(result["grad_input"]), 3.0)
        return bounds

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the first-order errors: d(-ln p) = dp / p for the loss, d(1/p) = dp / p^2 for the gradient."""
        onehot, own, batch = _onehot(call), self._own(call)[:, None], len(call.x)
        carried = {"output": np.asarray((onehot * error_x / own).sum() / batch)}
        if call.grad_output is not None and error_grad_output is not None:
            carried["grad_input"] = onehot * (error_x * np.abs(call.grad_output) / own**2 + error_grad_output / own) / batch
        return carried

    @staticmethod
    def _own(call: Call) -> Array:
        return np.asarray(call.x[np.arange(len(call.x)), call.target])


def _both(precision: Precision, one: Bound, other: Bound) -> Bound:
    """Return a bound for the sum of two errors."""
    return Bound(precision.error(one) + precision.error(other), 1.0)


def _onehot(call: Call) -> npt.NDArray[np.float64]:
    labels: npt.NDArray[Any] = call.target
    return np.asarray(np.arange(call.x.shape[-1]) == labels[:, None], dtype=np.float64)


@dataclass(frozen=True)
class NegativeLogLikelihood(FormulaTheory):
    """The error theory of the mean of -x[label] over log-probabilities x, ``(batch, classes)``; labels are a constant of the call."""

    def results(self, call: Call, x: Tracked, g: Tracked | None) -> dict[str, Tracked]:
        """Return the loss and its gradient: at each label, minus the upstream gradient divided by the batch size. It does not depend on x."""
        own = np.arange(len(call.x)), call.target
        output = -x.like(x.value[own], x.error[own]).mean()
        return {"output": output} if g is None else {"output": output, "grad_input": -(_onehot(call) * (g * (1 / len(call.x))))}


@dataclass(frozen=True)
class SquaredError(FormulaTheory):
    """The error theory of the mean of (x - y)² over all elements; the targets y are a constant of the call."""

    def results(self, call: Call, x: Tracked, g: Tracked | None) -> dict[str, Tracked]:
        """Return the loss, and its gradient g * 2 (x - y) / n. Code may multiply by 1 / n first or divide by n last; the larger error counts."""
        distance, count = x - call.target.astype(np.float64), call.x.size
        output: Tracked = np.square(distance).mean()
        # If the division by n comes last, the product may be out of range.
        return {"output": output} | ({} if g is None else {"grad_input": max_error(2 * distance * (g * (1 / count)), 2 * distance * g / count)})
