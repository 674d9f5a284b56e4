"""Losses that are means of simple terms: the negative log-likelihood of log-probabilities, and the squared error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crosscheck.arithmetic import Arithmetic, Array, Bound
from crosscheck.operation import Arrays, Call, Oracle
from crosscheck.tracked import Operand, Tracked, widest


@dataclass(frozen=True)
class NegativeLogLikelihood:
    """-x[label] for log-probabilities x, ``(batch, classes)``, the mean over the batch; the labels are a constant of the call."""

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, arithmetic: Arithmetic) -> dict[str, Bound]:
        """Return the errors of the mean, and of the cotangent's share."""
        return {name: value.bound for name, value in self._tracked(call, np.zeros_like(call.x), None, arithmetic).items()}

    def carried(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the mean of the errors at the labels; no gradient depends on the input."""
        return {name: value.error for name, value in self._tracked(call, error_x, error_grad_output, None).items()}

    @staticmethod
    def _tracked(call: Call, error_x: Array, error_grad_output: Array | None, arithmetic: Arithmetic | None) -> dict[str, Tracked]:
        own = np.arange(len(call.x)), call.constants["labels"]
        results = {"output": -Tracked(call.x[own], error_x[own], arithmetic).mean()}
        if call.grad_output is not None:
            onehot = np.arange(call.x.shape[-1]) == call.constants["labels"][:, None]
            results["grad_input"] = -(onehot * _shared(call.grad_output, error_grad_output, len(call.x), arithmetic))
        return results


@dataclass(frozen=True)
class SquaredError:
    """The mean of (x - y)² over all numbers; the targets y are the constant ``"labels"`` of the call."""

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, arithmetic: Arithmetic) -> dict[str, Bound]:
        """Return the errors of the mean of squares, and of 2 (x - y) / n."""
        return {name: value.bound for name, value in self._tracked(call, np.zeros_like(call.x), None, arithmetic).items()}

    def carried(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the first-order effect of errors of the input, and of the cotangent."""
        return {name: value.error for name, value in self._tracked(call, error_x, error_grad_output, None).items()}

    @staticmethod
    def _tracked(call: Call, error_x: Array, error_grad_output: Array | None, arithmetic: Arithmetic | None) -> dict[str, Tracked]:
        distance = Tracked(call.x, error_x, arithmetic) - call.constants["labels"].astype(np.float64)
        results = {"output": np.square(distance).mean()}
        if call.grad_output is not None:
            shared = 2 * distance * _shared(call.grad_output, error_grad_output, call.x.size, arithmetic)
            # Divided at the end, the product may leave the range.
            results["grad_input"] = widest(shared, 2 * distance * _shared(call.grad_output, error_grad_output, 1, arithmetic) / call.x.size)
        return results


def _shared(grad_output: Array, error: Array | None, count: int, arithmetic: Arithmetic | None) -> Operand:
    """Return a cotangent divided by the number of terms of a mean, or multiplied by its reciprocal."""
    return Tracked(grad_output, np.zeros_like(grad_output) if error is None else error, arithmetic) * (1 / count)
