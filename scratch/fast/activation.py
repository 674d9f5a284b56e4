"""ReLU in a single pass over memory, forward and backward, split among threads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import scratch.activation as plain
from scratch.fast.masking import masked
from scratch.fast.memory import empty
from scratch.fast.parallel import elementwise
from scratch.layer import Array


class ReLU(plain.ReLU):
    """The same as :class:`scratch.ReLU`."""

    def forward(self, x: Array) -> Array:
        """Return ``max(x, 0)``, in the shape of ``x``."""
        self.check_floats(x)
        output, self._positive = empty(x.shape, x.dtype), empty(x.shape, np.dtype(np.bool_))
        self._output_shape = x.shape
        elementwise(_rectify, np.asarray(x, order="C"), output, self._positive)
        return output

    def backward(self, grad_output: Array) -> Array:
        """Return ``grad_output`` where the input was positive and 0 elsewhere."""
        self.check_grad_output(grad_output)
        return masked(grad_output, self._positive)


def _rectify(x: Array, output: Array, positive: npt.NDArray[np.bool_]) -> None:
    np.maximum(x, 0, out=output)
    np.not_equal(output, 0, out=positive)
