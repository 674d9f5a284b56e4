"""The base of all layers: a function, its derivative, its parameters, and a training or evaluation mode.

``forward`` stores what ``backward`` needs in private attributes. ``backward`` receives the gradient of the loss with respect to the output
(``grad_output``), stores the gradients of the parameters in ``grads`` and returns the gradient with respect to the input (``grad_input``).
A second ``backward`` overwrites ``grads``: gradients never accumulate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


class Layer:
    """One layer without parameters; layers with parameters fill ``params`` in their constructor.

    Attributes
    ----------
    params : dict of str to array
        The parameters by name, ``"weight"`` and ``"bias"`` where the layer has them. An optimizer changes these arrays in place.
    grads : dict of str to array
        After ``backward``: the gradient of the loss for each name in ``params``, in the same shape.
    buffers : dict of str to array
        Arrays that ``forward`` updates in training and no optimizer changes, such as running statistics.
    training : bool
        Training or evaluation mode. Most layers compute the same in both modes.
    """

    _output_shape: tuple[int, ...]
    """The shape of the last output; ``forward`` sets it."""

    def __init__(self) -> None:
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.buffers: dict[str, Array] = {}
        self.training = True

    def forward(self, x: Array) -> Array:
        """Return the layer's output for a batch ``x`` and store what ``backward`` needs."""
        raise NotImplementedError

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient with respect to the input of the last ``forward``, given that with respect to its output."""
        raise NotImplementedError

    def backward_params(self, grad_output: Array) -> None:
        """Store the gradients of the parameters in ``grads``, as :meth:`backward` does, and return nothing.

        The first layer of a network needs no gradient of its input, the images. A layer that saves work without it overrides this method.
        """
        self.backward(grad_output)

    def check_input(self, x: Array, axes: str) -> None:
        """Raise a TypeError unless ``x`` has the parameters' floating-point dtype, and a ValueError if it has the wrong number of axes.

        ``axes`` names the expected ones, such as ``"batch channels height width"``. With two dtypes NumPy would silently compute in the wider one.
        """
        self.check_floats(x)
        for parameter, value in self.params.items():
            if value.dtype != x.dtype:
                raise TypeError(
                    f"{type(self).__name__}: the input is {x.dtype}, {parameter} is {value.dtype}; "
                    f"build the layer with dtype={x.dtype.name!r} or convert the input"
                )
        if x.ndim != axes.count(" ") + 1:
            raise ValueError(f"{type(self).__name__}: the input has shape {x.shape}, expected ({', '.join(axes.split())})")

    def check_floats(self, x: Array) -> None:
        """Raise a TypeError unless ``x`` holds floats."""
        if x.dtype.kind != "f":
            raise TypeError(f"{type(self).__name__}: the input is {x.dtype}, expected floats; convert it with x.astype(numpy.float64)")

    def check_grad_output(self, grad_output: Array) -> None:
        """Raise a RuntimeError if there was no ``forward``, and a ValueError unless ``grad_output`` has the shape of the last output."""
        kind = type(self).__name__
        if not hasattr(self, "_output_shape"):
            raise RuntimeError(f"{kind}: backward was called before forward; there is no input to differentiate at")
        if grad_output.shape != self._output_shape:
            raise ValueError(f"{kind}: grad_output has shape {grad_output.shape}, expected {self._output_shape}, the shape of the last output")
