"""What every layer is: a function, its derivative, the parameters of both, and the mode that it runs in.

``forward`` remembers in a private cache whatever ``backward`` needs; ``backward`` receives the gradient of the loss with respect to the output
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
        What ``forward`` itself keeps up to date in training and no optimizer touches, such as running statistics.
    training : bool
        Whether ``forward`` computes what training needs, or what predictions do. Most layers compute the same in both modes.
    """

    def __init__(self) -> None:
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.buffers: dict[str, Array] = {}
        self.training = True

    def forward(self, x: Array) -> Array:
        """Return the layer's output for a batch ``x`` and remember what ``backward`` needs."""
        raise NotImplementedError

    def backward(self, grad_output: Array) -> Array:
        """Return the gradient for the input of the last ``forward``, given the gradient for its output."""
        raise NotImplementedError

    def backward_params(self, grad_output: Array) -> None:
        """Leave the gradients of the parameters in ``grads``, as :meth:`backward` does.

        The first layer of a network needs no gradient for its input, the images. A layer that saves work by leaving it out overrides this method.
        """
        self.backward(grad_output)

    def check_input(self, x: Array, axes: str) -> None:
        """Raise unless ``x`` is a floating-point array with these axes, of the dtype of the parameters.

        Parameters
        ----------
        x : array
            What ``forward`` received.
        axes : str
            The names of the expected axes, such as ``"batch channels height width"``.

        Raises
        ------
        TypeError
            If ``x`` does not hold floats, or not of the parameters' dtype: NumPy would silently compute in the wider one.
        ValueError
            If the number of axes is another one.
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

    def check_grad_output(self, grad_output: Array, shape: tuple[int, ...] | None) -> None:
        """Raise unless a ``forward`` came before (``shape`` is then the shape of its output) and ``grad_output`` has that shape."""
        if shape is None:
            raise RuntimeError(f"{type(self).__name__}: backward was called before forward; there is no input to differentiate at")
        if grad_output.shape != shape:
            raise ValueError(f"{type(self).__name__}: grad_output has shape {grad_output.shape}, expected {shape}, the shape of the last output")
