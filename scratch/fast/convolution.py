"""Convolution as matrix products.

Each window of the padded image becomes a column of ``channels * kernel_height * kernel_width`` numbers, its taps; the filters, flattened to rows,
multiply all columns at once. The backward pass is two products: the gradient of the filters is the gradient of the output times the transposed
columns, and the gradient of the columns is the transposed filters times the gradient of the output.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

import scratch.convolution as plain
from scratch.fast.col2im import add_back, phases
from scratch.fast.im2col import Columns
from scratch.fast.memory import clear, empty
from scratch.fast.parallel import in_parallel, multiplied, multiply
from scratch.fast.windows import padded, padded_shape
from scratch.layer import Array
from scratch.windows import cropped


class Conv2d(plain.Conv2d):
    """The same as :class:`scratch.Conv2d`, which describes parameters and derivatives."""

    _fitted: tuple[int, ...] = ()
    """The shape of the last input, for which everything in :meth:`_fit` was computed."""

    def forward(self, x: Array) -> Array:
        """Return the filters times the columns, plus the bias."""
        self.check_input(x, "batch channels height width")
        if x.shape != self._fitted:
            self._fit(x.shape)
        self._columns.turn_to(padded(x, self._sides), self._output_shape[2:])  # a copy: x may change afterwards
        output, filters = empty(self._output_shape, x.dtype), self._rows_of_taps()
        self._columns.each(lambda columns, rows: multiply(filters, columns, rows), self._by_group(output))
        return output

    def _fit(self, input_shape: tuple[int, ...]) -> None:
        super()._fit(input_shape)
        self._padded_shape = padded_shape(input_shape, self._sides)
        self._columns = Columns(self._window, self.groups, ones="bias" in self.params)
        self._fitted = input_shape

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: the gradient of each number in a column is added to that of the pixel which it was copied from."""
        grad_output = np.ascontiguousarray(grad_output)
        self.backward_params(grad_output)
        seen, own = phases(self._window, self._filters()), self._grouped(grad_output)
        grad_padded: Array = empty(self._padded_shape, grad_output.dtype)
        grad_images = self._grouped(grad_padded)

        def on_part(thread: int, part: slice) -> None:
            clear(grad_images[part])
            add_back(grad_images[part], own[part], self._window, seen)

        in_parallel(on_part, self._columns.parts)
        return cropped(grad_padded, self._sides)

    def backward_params(self, grad_output: Array) -> None:
        """Store the gradients of weight and bias in ``grads``, as :meth:`backward` does."""
        self.check_grad_output(grad_output)
        rows = self._by_group(np.ascontiguousarray(grad_output))  # in C order, so that sums are always taken in the same order
        # The transpose of the filters' gradient, because it is faster to read the columns in their order in memory.
        products = self._columns.each(lambda columns, own: multiplied(columns, own.transpose(0, 1, 3, 2)), rows)
        grad = reduce(np.add, [product[0] if len(product) == 1 else product.sum(axis=0) for product in products])
        weight = self.params["weight"]
        self.grads["weight"] = grad[:, : weight[0].size].transpose(0, 2, 1).reshape(weight.shape)
        if "bias" in self.params:
            self.grads["bias"] = grad[:, -1].ravel()

    def _rows_of_taps(self) -> Array:
        """Return weights and bias as matrices, ``(groups, filters of a group, taps + 1)``: the bias is one more tap, whose input is always 1."""
        weight = self.params["weight"]
        taps = weight.reshape(self.groups, len(weight) // self.groups, -1)
        return np.concatenate([taps, self.params["bias"].reshape(self.groups, -1, 1)], axis=2) if "bias" in self.params else taps

    def _by_group(self, output: Array) -> Array:
        """Return an output, or its gradient, as matrices, ``(batch, groups, filters of a group, positions)``."""
        batch, channels, height, width = output.shape
        return output.reshape(batch, self.groups, channels // self.groups, height * width)
