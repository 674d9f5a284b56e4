"""Operations built from dot products: convolutions and linear layers.

The output and the gradients are sums of products, linear in each factor. So the operation itself can compute its bounds. Applied to absolute values,
it returns the sum of the absolute terms; applied to ones, it returns the number of terms n of each element, which is smaller at borders.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from crosscheck.core.operation import Arrays, Call, Operation, Oracle
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.running_error import independent


@dataclass(frozen=True)
class Multilinear:
    """The error theory of sums of products. Parameters in ``additive``, such as a bias, are added to the sums instead of multiplied."""

    additive: tuple[str, ...] = ("bias",)
    _counts: dict[Any, dict[str, Array]] = field(default_factory=dict, repr=False, compare=False)

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return bounds with the sum of absolute terms, computed from absolute values, and the number of terms, computed from ones and cached."""
        key = call.shapes()
        if key not in self._counts:
            self._counts[key] = {quantity: _condensed(count) for quantity, count in oracle.vjp(call.ones()).items()}
        counts, repeated = self._counts[key], self._repeated(call, precision)
        bounds = {quantity: Bound(terms, counts[quantity]) for quantity, terms in oracle.vjp(call.magnitudes()).items()}
        for quantity, most in repeated.items():
            count = bounds[quantity].n_roundings
            bounds[quantity] = replace(bounds[quantity], n_roundings=np.maximum(count, np.minimum(most, (count / precision.confidence) ** 2)))
        return bounds

    def _repeated(self, call: Call, precision: Precision) -> dict[str, float]:
        """Return the largest number of independent roundings in each parameter's gradient whose sums may have equal terms.

        Products are equal if both factors are equal: the upstream gradient repeats values, as after a mean over an image, and the input does, as on
        a constant background.
        """
        if call.grad_output is None or call.grad_output.ndim < 2 or not (by_cotangent := _repeats(call.grad_output, precision)):
            return {}
        by_input = _repeats(call.x, precision) if call.x.ndim > 1 else 0.0
        of_products = min(by_cotangent, by_input)
        most = {f"{name}.grad": by_cotangent if name in self.additive else of_products for name in call.params}
        return {quantity: worth for quantity, worth in most.items() if worth}

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the exact first-order errors of the results, each of which is linear in the input and linear in the upstream gradient."""
        sizes = call.magnitudes()
        products = {name: np.zeros_like(value) if name in self.additive else value for name, value in sizes.params.items()}
        # The batch has no errors, so nothing is computed for the first layer, which is often the largest.
        nothing = {quantity: np.zeros_like(value) for quantity, value in result.items()}
        through_x = oracle.vjp(replace(sizes, params=products).with_x(error_x)) if error_x.any() else nothing
        if error_grad_output is None:
            return {"output": through_x["output"]}
        through_cotangent = oracle.vjp(sizes.with_grad_output(error_grad_output))
        added = {f"{name}.grad" for name in self.additive} | {"grad_input"}  # neither depends on the input
        carried = {q: value if q in added else value + through_x[q] for q, value in through_cotangent.items() if q != "output"}
        return {"output": through_x["output"], **carried}


def _repeats(array: Array, precision: Precision) -> float:
    """Return the largest number of independent roundings in a sum over all axes except the channels; 0 if no terms are equal."""
    axes = (0, *range(2, array.ndim))
    worth = float(independent(array, axes, precision).max(initial=0.0))
    return worth if worth > array.size // array.shape[1] else 0.0


def _condensed(count: Array) -> Array:
    """Reduce a count to length 1 along each axis on which it is constant: the samples, and all axes if there are no borders."""
    for axis in range(count.ndim):
        first = count[(slice(None),) * axis + (slice(0, 1),)]
        if (count == first).all():
            count = first
    return count.reshape(()) if count.size == 1 else count


@dataclass(frozen=True)
class Average:
    """The error theory of means over windows. ``sums`` is the operation that computes the sums of the same windows, without the division."""

    sums: Operation

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return bounds with the mean of the absolute terms, and k + 1 roundings for a mean of k numbers.

        These are k - 1 additions and, if code multiplies by 1 / k, the roundings of 1 / k and of the product. An empty mean is exactly 0.
        """
        counts = self.sums.vjp(call.ones())
        return {q: Bound(terms, np.where(counts[q] > 0, counts[q] + 1, 0.0)) for q, terms in oracle.vjp(call.magnitudes()).items()}

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the exact errors of the results: the output is linear in the input, the input gradient is linear in the upstream gradient."""
        return oracle.vjp(call.with_x(error_x).with_grad_output(error_grad_output))
