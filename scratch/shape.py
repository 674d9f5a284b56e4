"""The layer that turns images into rows."""

from __future__ import annotations

from scratch.layer import Array, Layer


class Flatten(Layer):
    """Turn each sample into one row: ``(batch, channels, height, width)`` to ``(batch, channels * height * width)``, channels slowest.

    This is PyTorch's order. A network with channels last flattens in the order height, width, channels: to copy its weights, permute the rows of the
    next linear layer's weight.
    """

    def forward(self, x: Array) -> Array:
        """Return ``x`` with all axes but the first joined into one."""
        if x.ndim < 2:
            raise ValueError(f"Flatten: the input has shape {x.shape}, expected (batch, ...) with at least two axes")
        output = x.reshape(len(x), -1)
        self._input_shape, self._output_shape = x.shape, output.shape
        return output

    def backward(self, grad_output: Array) -> Array:
        """Return ``grad_output`` in the shape of the input."""
        self.check_grad_output(grad_output)
        return grad_output.reshape(self._input_shape)
