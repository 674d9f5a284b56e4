"""Operations built of dot products: convolution, linear layers.

Output and gradients are sums of products, linear in each factor. So the operation itself computes its own error theory: applied to absolute values it
gives T, the sum of the absolute terms, and applied to ones it gives n, the number of terms of each single element, borders and padding included.
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
    """Sums of products of input, parameters and cotangent.

    Attributes
    ----------
    additive : tuple of str
        Parameters that are added to the output and multiply nothing, such as a bias.
    """

    additive: tuple[str, ...] = ("bias",)
    _counts: dict[Any, dict[str, Array]] = field(default_factory=dict, repr=False, compare=False)

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return T from absolute values and n from ones; n depends on the shapes alone and is kept."""
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
        """Return how many independent roundings the gradient of each parameter is worth at most, where its sums may have equal terms.

        They have where the cotangent repeats itself, as behind a mean over an image, and the input, as on a constant background: equal products are
        those of equal factors.
        """
        if call.grad_output is None or call.grad_output.ndim < 2 or not (by_cotangent := _repeats(call.grad_output, precision)):
            return {}
        by_input = _repeats(call.x, precision) if call.x.ndim > 1 else 0.0
        of_products = min(by_cotangent, by_input)
        most = {f"{name}.grad": by_cotangent if name in self.additive else of_products for name in call.params}
        return {quantity: worth for quantity, worth in most.items() if worth}

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the exact first-order effect: each result is linear in the input and in the cotangent."""
        sizes = call.magnitudes()
        products = {name: np.zeros_like(value) if name in self.additive else value for name, value in sizes.params.items()}
        # The batch itself has no errors, and its layer is often the largest.
        nothing = {quantity: np.zeros_like(value) for quantity, value in result.items()}
        through_x = oracle.vjp(replace(sizes, x=error_x, params=products)) if error_x.any() else nothing
        if error_grad_output is None:
            return {"output": through_x["output"]}
        through_cotangent = oracle.vjp(replace(sizes, grad_output=error_grad_output))
        added = {f"{name}.grad" for name in self.additive} | {"grad_input"}  # neither depends on the input
        carried = {q: value if q in added else value + through_x[q] for q, value in through_cotangent.items() if q != "output"}
        return {"output": through_x["output"], **carried}


def _repeats(array: Array, precision: Precision) -> float:
    """Return how many independent roundings a sum over all axes but the channels is worth at most; 0 where no terms are equal."""
    axes = (0, *range(2, array.ndim))
    worth = float(independent(array, axes, precision).max(initial=0.0))
    return worth if worth > array.size // array.shape[1] else 0.0


def _condensed(count: Array) -> Array:
    """Return a count with a single place on each axis along which it is the same everywhere: that of samples, or all of them where no border is."""
    for axis in range(count.ndim):
        first = count[(slice(None),) * axis + (slice(0, 1),)]
        if (count == first).all():
            count = first
    return count.reshape(()) if count.size == 1 else count


@dataclass(frozen=True)
class Average:
    """Means of an operation's inputs, with weights that are not negative and depend on nothing but shapes.

    ``sums`` is the operation that adds up the same windows and divides by nothing.
    """

    sums: Operation

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return T from absolute values, and of k numbers k + 1 roundings.

        k - 1 additions, and two where the implementation multiplies by 1 / k: that number's and the product's. What is made of nothing is exactly 0.
        """
        counts = self.sums.vjp(call.ones())
        return {q: Bound(terms, np.where(counts[q] > 0, counts[q] + 1, 0.0)) for q, terms in oracle.vjp(call.magnitudes()).items()}

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the exact effect: the output is linear in the input alone, the input's gradient in the cotangent alone."""
        return oracle.vjp(replace(call, x=error_x, grad_output=error_grad_output))
