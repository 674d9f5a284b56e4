"""Two-dimensional convolution (cross-correlation, as everywhere in deep learning): every filter is applied to every window of an image."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from scratch.arguments import Pair, pair, whole
from scratch.initialisers import Initialiser, drawn, normal_over_fan_in
from scratch.layer import Array, Layer
from scratch.windows import Window, cropped, padded


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
        Height and width of the filters, distance between windows, and distance between the taps of a filter.
    padding : int, (int, int) or "same"
        Height and width of the zeros added on each side. "same" adds as many as an output of ``ceil(size / stride)`` needs; if that is an odd
        number, the bottom or right side gets one more.
    groups : int
        Number of groups of channels, each with its own filters; ``in_channels`` makes it a depthwise convolution.
    bias : bool
        Whether a number is added to each output channel.
    rng : numpy.random.Generator
        Source of the initial weights.
    dtype : dtype
        Floating-point type of the parameters and of everything that the layer computes.
    init : callable, optional
        Gets (shape, fan_in, fan_out, rng, dtype) and returns the initial weights. The default draws from N(0, 1) / fan_in, with
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
        self.params["weight"] = drawn(init, shape, shape[1] * taps, channels_out // self.groups * taps, rng, dtype)
        if bias:
            self.params["bias"] = np.zeros(channels_out, dtype)
        self._window = Window(self.kernel_size, self.stride, self.padding, self.dilation)

    def forward(self, x: Array) -> Array:
        """Return the convolution of images: (batch, in_channels, height, width) to (batch, out_channels, output_height, output_width).

        Output height and width are ``(size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1``.
        """
        self.check_input(x, "batch channels height width")
        self._fit(x.shape)
        self._images = self._grouped(padded(x, self._sides))  # a copy: x may change afterwards
        windows = self._window.over(self._images)  # [b, g, c, i, j, u, v] is pixel (s i + d u, s j + d v) of channel c in group g
        output: Array = np.einsum("bgcijuv,gocuv->bgoij", windows, self._filters(), optimize=True).reshape(self._output_shape)
        return output + self.params["bias"][:, None, None] if "bias" in self.params else output

    def _fit(self, input_shape: tuple[int, ...]) -> None:
        """Compute padding and output shape from the input's shape; raise a ValueError if the filters do not fit it."""
        weight, (batch, channels, height, width) = self.params["weight"], input_shape
        if channels != weight.shape[1] * self.groups:
            expected = f"{weight.shape[1]} in each of {self.groups} groups" if self.groups > 1 else f"{weight.shape[1]}"
            raise ValueError(f"Conv2d: the input has {channels} channels (shape {input_shape}), the filters have {expected} (shape {weight.shape})")
        self._sides, size = self._window.fitted((height, width))
        self._input_shape, self._output_shape = input_shape, (batch, len(weight), *size)

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient; store those of weight and bias in ``grads``.

        Let g be grad_output, and x and w as above. y is a sum of products w x, and the derivative of a product by one factor is the other factor.
        So dL/dw[o,c,u,v] is the sum over b, i, j of g[b,o,i,j] x[b,c_o+c,si+du-p,sj+dv-p], and dL/dbias[o] is the sum of g[b,o,i,j]. Window (i, j)
        adds the sum over o of g[b,o,i,j] w[o,c,u,v] to its pixel (u, v); the sum over all windows, without the pixels of the padding, is dL/dx.
        """
        self.backward_params(grad_output)
        grad_windows = np.einsum("bgoij,gocuv->bgcijuv", self._grouped(grad_output), self._filters(), optimize=True)
        grad_images = np.zeros_like(self._images)
        seen = self._window.over(grad_images)
        for u, v in np.ndindex(self.kernel_size):  # windows overlap, so one pixel (u, v) of all windows at a time
            seen[..., u, v] += grad_windows[..., u, v]
        return cropped(grad_images, self._sides).reshape(self._input_shape)

    def backward_params(self, grad_output: Array) -> None:
        """Store the gradients of weight and bias in ``grads``, as :meth:`backward` does."""
        self.check_grad_output(grad_output)
        grads, weight = self._grouped(grad_output), self.params["weight"]
        self.grads["weight"] = np.einsum("bgoij,bgcijuv->gocuv", grads, self._window.over(self._images), optimize=True).reshape(weight.shape)
        if "bias" in self.params:
            self.grads["bias"] = grads.sum(axis=(0, 3, 4)).ravel()

    def _filters(self) -> Array:
        """Return the weight as (groups, filters of a group, channels of a group, kernel_height, kernel_width)."""
        return self.params["weight"].reshape(self.groups, -1, *self.params["weight"].shape[1:])

    def _grouped(self, x: Array) -> Array:
        """Return images as (batch, groups, channels of a group, height, width), in C order, so that sums are always taken in the same order."""
        return np.ascontiguousarray(x).reshape(len(x), self.groups, x.shape[1] // self.groups, *x.shape[2:])
