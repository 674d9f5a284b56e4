"""Layers that move numbers without changing them."""

from __future__ import annotations

from scratch.layer import Array, Layer


class Flatten(Layer):
    """Turn each sample into one row: ``(batch, channels, height, width)`` to ``(batch, channels * height * width)``, channels slowest.

    This order is PyTorch's. A network with channels last flattens in the order height, width, channels: porting its weights needs a permutation
    of the rows of the next linear layer.
    """

    def __init__(self) -> None:
        super().__init__()
        self._input_shape: tuple[int, ...] | None = None

    def forward(self, x: Array) -> Array:
        """Return ``x`` with all axes but the first joined into one."""
        if x.ndim < 2:
            raise ValueError(f"Flatten: the input has shape {x.shape}, expected (batch, ...) with at least two axes")
        self._input_shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, grad_output: Array) -> Array:
        """Return ``grad_output`` in the shape of the input."""
        shape = self._input_shape
        flat = None if shape is None else (shape[0], grad_output.size // shape[0] if shape[0] else 0)
        self.check_grad_output(grad_output, flat)
        assert shape is not None
        return grad_output.reshape(shape)
