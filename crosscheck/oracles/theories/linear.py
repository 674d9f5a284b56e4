"""Operations built from dot products: convolutions and linear layers.

Output and gradients are sums of products, linear in each factor. So the operation itself computes its own bounds: applied to absolute values it gives
the sum of the absolute terms, and applied to ones it gives n, the number of terms of each element, borders and padding included.
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
    """Sums of products of input, parameters and upstream gradient; ``additive`` parameters, such as a bias, are added instead of multiplied."""

    additive: tuple[str, ...] = ("bias",)
    _counts: dict[Any, dict[str, Array]] = field(default_factory=dict, repr=False, compare=False)

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the sum of absolute terms from absolute values and n from ones; n depends only on the shapes and is cached."""
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
        """Return how many independent roundings each parameter's gradient counts as at most, if its sums may have equal terms.

        Equal products come from equal factors: the upstream gradient repeats values, as behind a mean over an image, and so does the input, as on a
        constant background.
        """
        if call.grad_output is None or call.grad_output.ndim < 2 or not (by_cotangent := _repeats(call.grad_output, precision)):
            return {}
        by_input = _repeats(call.x, precision) if call.x.ndim > 1 else 0.0
        of_products = min(by_cotangent, by_input)
        most = {f"{name}.grad": by_cotangent if name in self.additive else of_products for name in call.params}
        return {quantity: worth for quantity, worth in most.items() if worth}

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the exact first-order effect: each result is linear in the input and in the upstream gradient."""
        sizes = call.magnitudes()
        products = {name: np.zeros_like(value) if name in self.additive else value for name, value in sizes.params.items()}
        # The batch has no errors, and the first layer is often the largest: this saves its computation.
        nothing = {quantity: np.zeros_like(value) for quantity, value in result.items()}
        through_x = oracle.vjp(replace(sizes, x=error_x, params=products)) if error_x.any() else nothing
        if error_grad_output is None:
            return {"output": through_x["output"]}
        through_cotangent = oracle.vjp(replace(sizes, grad_output=error_grad_output))
        added = {f"{name}.grad" for name in self.additive} | {"grad_input"}  # neither depends on the input
        carried = {q: value if q in added else value + through_x[q] for q, value in through_cotangent.items() if q != "output"}
        return {"output": through_x["output"], **carried}


def _repeats(array: Array, precision: Precision) -> float:
    """Return how many independent roundings a sum over all axes except the channels counts as at most; 0 if no terms are equal."""
    axes = (0, *range(2, array.ndim))
    worth = float(independent(array, axes, precision).max(initial=0.0))
    return worth if worth > array.size // array.shape[1] else 0.0


def _condensed(count: Array) -> Array:
    """Return a count with length 1 along each axis on which it is constant: always the samples, and all axes if there are no borders."""
    for axis in range(count.ndim):
        first = count[(slice(None),) * axis + (slice(0, 1),)]
        if (count == first).all():
            count = first
    return count.reshape(()) if count.size == 1 else count


@dataclass(frozen=True)
class Average:
    """Means with nonnegative weights that depend only on shapes; ``sums`` is the operation that adds up the same windows without dividing."""

    sums: Operation

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the sum of absolute terms from absolute values, and k + 1 roundings for a mean of k numbers.

        These are k - 1 additions, and two roundings if the implementation multiplies by 1 / k: of 1 / k and of the product. A mean of nothing is 0.
        """
        counts = self.sums.vjp(call.ones())
        return {q: Bound(terms, np.where(counts[q] > 0, counts[q] + 1, 0.0)) for q, terms in oracle.vjp(call.magnitudes()).items()}

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the exact effect: the output is linear in the input, and the input gradient in the upstream gradient."""
        return oracle.vjp(replace(call, x=error_x, grad_output=error_grad_output))
