"""Two-dimensional convolution (cross-correlation, as everywhere in deep learning) as matrix products.

Each window of the padded image becomes a column of ``channels * kernel_height * kernel_width`` numbers, its taps; the filters, flattened to rows,
multiply all columns at once. The backward pass is two products with the roles exchanged.
"""

from __future__ import annotations

from functools import reduce
from typing import Literal

import numpy as np
import numpy.typing as npt

from scratch.fast.col2im import add_back, phases
from scratch.fast.im2col import Columns
from scratch.fast.memory import clear, empty
from scratch.fast.parallel import in_parallel, multiplied, multiply
from scratch.initialisers import Initialiser, normal_over_fan_in
from scratch.layer import Array, Layer
from scratch.windows import Pair, Window, cropped, padded, padded_shape, pair, whole


class Conv2d(Layer):
    r"""Convolve a batch of images with ``out_channels`` filters.

    .. math:: y_{b,o,i,j} = \beta_o + \sum_{c,u,v} w_{o,c,u,v} \; x_{b,\,c_o+c,\,s i+d u-p,\,s j+d v-p}

    with stride s, dilation d, padding p at the top and left, and x zero outside the image. With groups, c runs over the ``in_channels / groups``
    channels of the group that filter o belongs to, of which :math:`c_o` is the first.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and number of filters.
    kernel_size, stride, dilation : int or (int, int)
        Height and width of the filters, of the steps between windows, and of the steps between the taps of a filter.
    padding : int, (int, int) or "same"
        Height and width of the zeros added on each side; "same" adds what it takes for an output of ``ceil(size / stride)``, of an odd number one
        more at the bottom and right.
    groups : int
        Into how many groups the channels are divided, each with filters of its own; ``in_channels`` makes it a depthwise convolution.
    bias : bool
        Whether a number is added to each output channel.
    rng : numpy.random.Generator
        Source of the initial weights.
    dtype : dtype
        Floating-point type of the parameters, and so of everything that the layer computes.
    init : callable, optional
        Gets (shape, fan_in, fan_out, rng, dtype) and returns the initial weights; N(0, 1) / fan_in if left out, with
        ``fan_in = in_channels / groups * kernel_height * kernel_width``. The bias starts at zero.
    """

    def __init__(  # noqa: PLR0913 - PyTorch's arguments
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | Literal["same"] = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: np.random.Generator,
        dtype: npt.DTypeLike = np.float64,
        init: Initialiser = normal_over_fan_in,
    ) -> None:
        super().__init__()
        channels_in, channels_out = whole(in_channels, "in_channels", least=1), whole(out_channels, "out_channels", least=1)
        self.kernel_size = pair(kernel_size, "kernel_size", least=1)
        self.stride = pair(stride, "stride", least=1)
        if isinstance(padding, str) and padding != "same":
            raise ValueError(f'padding={padding!r}: expected "same", or whole numbers of at least 0')
        self.padding: Pair | Literal["same"] = padding if isinstance(padding, str) else pair(padding, "padding", least=0)
        self.dilation = pair(dilation, "dilation", least=1)
        self.groups = whole(groups, "groups", least=1)
        if channels_in % self.groups or channels_out % self.groups:
            raise ValueError(f"groups={groups}: expected a divisor of in_channels={in_channels} and of out_channels={out_channels}")
        shape = (channels_out, channels_in // self.groups, *self.kernel_size)
        taps = self.kernel_size[0] * self.kernel_size[1]
        fan_in, fan_out = shape[1] * taps, channels_out // self.groups * taps
        self.params["weight"] = _checked(init(shape, fan_in, fan_out, rng, dtype), shape, dtype)
        if bias:
            self.params["bias"] = np.zeros(channels_out, dtype)
        self._window = Window(self.kernel_size, self.stride, self.padding, self.dilation)
        self._columns = Columns(self._window, self.groups, ones=bias)
        self._input_shape: tuple[int, ...] | None = None

    def forward(self, x: Array) -> Array:
        """Return the convolution of ``x``.

        Parameters
        ----------
        x : array of shape (batch, in_channels, height, width)

        Returns
        -------
        array of shape (batch, out_channels, output_height, output_width)
            With ``output = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1`` for height and width.
        """
        self.check_input(x, "batch channels height width")
        if x.shape != self._input_shape:
            self._fit(x.shape)
        self._columns.turn_to(padded(x, self._sides), self._output_shape[2:])  # a copy: x may change afterwards
        output, filters = empty(self._output_shape, x.dtype), self._filters()
        self._columns.each(lambda columns, rows: multiply(filters, columns, rows), self._by_group(output))
        return output

    def _fit(self, input_shape: tuple[int, ...]) -> None:
        """Work out what depends on the shape of the input alone, which is nearly always that of the input before."""
        weight, (batch, channels, height, width) = self.params["weight"], input_shape
        if channels != weight.shape[1] * self.groups:
            of_groups = "" if self.groups == 1 else f" in each of {self.groups} groups"
            found = f"the input has {channels} channels (shape {input_shape})"
            raise ValueError(f"Conv2d: {found}, the filters have {weight.shape[1]}{of_groups} (shape {weight.shape})")
        self._sides, size = self._window.fitted((height, width))
        self._padded_shape = padded_shape(input_shape, self._sides)
        self._input_shape, self._output_shape = input_shape, (batch, len(weight), *size)

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient; leave those of weight and bias in ``grads``.

        With g for grad_output, and x and w as above: dL/dw[o,c,u,v] = sum over b,i,j of g[b,o,i,j] x[b,c_o+c,si+du-p,sj+dv-p], which is g times the
        transposed columns; dL/dbias[o] = sum over b,i,j of g[b,o,i,j], which is g times their row of ones; and dL/dx is the transposed filters times
        g, the gradient of each column, every number of it added to the pixel that it was taken from.

        Parameters
        ----------
        grad_output : array of shape (batch, out_channels, output_height, output_width)

        Returns
        -------
        array of shape (batch, in_channels, height, width)
        """
        grad_output = np.ascontiguousarray(grad_output)
        self.backward_params(grad_output)
        weight, batch = self.params["weight"], len(grad_output)
        seen = phases(self._window, weight.reshape(self.groups, -1, *weight.shape[1:]))
        own = grad_output.reshape(batch, self.groups, len(weight) // self.groups, *grad_output.shape[2:])
        grad_padded: Array = empty(self._padded_shape, grad_output.dtype)
        grad_images = grad_padded.reshape(batch, self.groups, weight.shape[1], *self._padded_shape[2:])

        def on_part(thread: int, part: slice) -> None:
            clear(grad_images[part])
            add_back(grad_images[part], own[part], self._window, seen)

        in_parallel(on_part, self._columns.parts)
        return cropped(grad_padded, self._sides)

    def backward_params(self, grad_output: Array) -> None:
        """Leave the gradients of weight and bias in ``grads``, as :meth:`backward` does."""
        self.check_grad_output(grad_output, None if self._input_shape is None else self._output_shape)
        rows = self._by_group(np.ascontiguousarray(grad_output))  # sums are taken in one order, however it lies in memory
        # The transpose of the filters' gradient: to read the columns as they lie in memory is faster.
        products = self._columns.each(lambda columns, own: multiplied(columns, own.transpose(0, 1, 3, 2)), rows)
        grad = reduce(np.add, [product[0] if len(product) == 1 else product.sum(axis=0) for product in products])
        weight = self.params["weight"]
        self.grads["weight"] = grad[:, : weight[0].size].transpose(0, 2, 1).reshape(weight.shape)
        if "bias" in self.params:
            self.grads["bias"] = grad[:, -1].ravel()

    def _taps(self) -> Array:
        """Return the weights as matrices, ``(groups, filters of a group, taps)``."""
        weight = self.params["weight"]
        return weight.reshape(self.groups, len(weight) // self.groups, -1)

    def _filters(self) -> Array:
        """Return weights and bias as matrices, ``(groups, filters of a group, taps + 1)``: the bias is one more tap, which always sees a 1."""
        if "bias" not in self.params:
            return self._taps()
        return np.concatenate([self._taps(), self.params["bias"].reshape(self.groups, -1, 1)], axis=2)

    def _by_group(self, output: Array) -> Array:
        """Return an output, or its gradient, as matrices, ``(batch, groups, filters of a group, positions)``."""
        batch, channels, height, width = output.shape
        return output.reshape(batch, self.groups, channels // self.groups, height * width)


def _checked(weight: Array, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    weight = np.asarray(weight)
    if weight.shape != shape or weight.dtype != dtype:
        raise ValueError(f"init returned {weight.dtype} of shape {weight.shape}, expected {np.dtype(dtype).name} of shape {shape}")
    return weight
