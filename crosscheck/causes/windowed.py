"""Windows that slide over images, with any offset, stride and dilation: what a wrong convolution or pooling computes that the right one cannot.

Pixels outside the image are read as a constant and written nowhere, so that every setting gives windows for every output pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from crosscheck.arithmetic import Array
from crosscheck.failure import Failure
from crosscheck.operation import Call, RefusedError, Rounding
from crosscheck.rounding import Multilinear

Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """One window for each output pixel.

    Attributes
    ----------
    kernel, stride, dilation : (int, int)
    start : (int, int)
        Row and column of the first window's first pixel: minus the padding above and to the left.
    counts : (int, int)
        How many windows there are, one below the other and side by side.
    """

    kernel: Pair
    stride: Pair
    start: Pair
    counts: Pair
    dilation: Pair = (1, 1)

    def places(self, axis: int) -> npt.NDArray[np.int_]:
        """Return which rows (axis 0) or columns (axis 1) each window sees, ``(windows, kernel)``."""
        first = self.start[axis] + self.stride[axis] * np.arange(self.counts[axis])
        return np.asarray(first[:, None] + self.dilation[axis] * np.arange(self.kernel[axis]))

    def seen(self, x: Array, outside: float = 0.0) -> Array:
        """Return what each window sees of images, ``(batch, channels, rows, columns, kernel height, kernel width)``."""
        frame, rows, columns = self._frame(x.shape[2:])
        padded = np.pad(x, ((0, 0), (0, 0), *frame), constant_values=outside)
        return np.asarray(padded[:, :, rows[:, None, :, None], columns[None, :, None, :]])

    def added(self, parts: Array, shape: tuple[int, ...]) -> Array:
        """Return images of a shape to whose pixels each window's part was added."""
        frame, rows, columns = self._frame(shape[2:])
        result = self._blank(shape, frame)
        for u, v in np.ndindex(*self.kernel):
            # One pixel of each window: the same pixel of two windows is never the same one of the image, unless the stride is 0.
            result[:, :, rows[:, u][:, None], columns[:, v]] += parts[..., u, v]
        return self._cropped(result, frame)

    def overwritten(self, parts: Array, shape: tuple[int, ...], by_window: bool) -> Array:
        """Return images on which each window's part was put in place of what was there: window by window, or kernel pixel by kernel pixel."""
        frame, rows, columns = self._frame(shape[2:])
        result = self._blank(shape, frame)
        if by_window:
            for i, j in np.ndindex(*self.counts):
                result[:, :, rows[i][:, None], columns[j]] = parts[:, :, i, j]
        else:
            for u, v in np.ndindex(*self.kernel):
                result[:, :, rows[:, u][:, None], columns[:, v]] = parts[..., u, v]
        return self._cropped(result, frame)

    def _frame(self, size: tuple[int, ...]) -> tuple[list[Pair], npt.NDArray[np.int_], npt.NDArray[np.int_]]:
        """Return how many pixels have to be put around images, and where each window's rows and columns then lie."""
        rows, columns = self.places(0), self.places(1)
        frame = [(max(0, -int(at.min())), max(0, int(at.max()) + 1 - length)) for at, length in zip((rows, columns), size, strict=True)]
        return frame, rows + frame[0][0], columns + frame[1][0]

    @staticmethod
    def _blank(shape: tuple[int, ...], frame: list[Pair]) -> Array:
        height, width = (length + sum(sides) for length, sides in zip(shape[2:], frame, strict=True))
        return np.zeros((*shape[:2], height, width))

    @staticmethod
    def _cropped(images: Array, frame: list[Pair]) -> Array:
        (top, bottom), (left, right) = frame
        return images[:, :, top : images.shape[2] - bottom, left : images.shape[3] - right]


@dataclass(frozen=True)
class Convolution:
    """Cross-correlation over given windows, as an oracle.

    Attributes
    ----------
    windows : Windows
    weight : str
        The name of the kernels; whatever other parameter there is, is a bias.
    groups : int
    """

    windows: Windows
    weight: str = "weight"
    groups: int = 1
    settings: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def rounding(self) -> Rounding:
        """Sums of products."""
        return Multilinear(additive=("bias",))

    def decisions(self, x: Array) -> None:
        """Return None: it decides nothing."""

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return output and gradients.

        Raises
        ------
        RefusedError
            If the cotangent has not one element for each window.
        """
        seen, weight = self._grouped(self.windows.seen(call.x)), self._kernels(call)
        output = np.einsum("ngcijuv,gocuv->ngoij", seen, weight, optimize=True)
        result = {"output": output.reshape(len(call.x), -1, *self.windows.counts)}
        biases = [name for name in call.params if name != self.weight]
        for name in biases:
            result["output"] = result["output"] + call.params[name][:, None, None]
        if call.grad_output is None:
            return result
        if call.grad_output.shape != result["output"].shape:
            raise RefusedError(f"the cotangent has the shape {call.grad_output.shape}, expected {result['output'].shape}")
        grads = {f"{self.weight}.grad": self.weight_gradient(call, seen), **{f"{name}.grad": call.grad_output.sum(axis=(0, 2, 3)) for name in biases}}
        return (
            result
            | {"grad_input": self.windows.added(self.parts(call), call.x.shape)}
            | {f"{name}.grad": grads[f"{name}.grad"] for name in call.params}
        )

    def parts(self, call: Call) -> Array:
        """Return what each window hands back to its pixels, ``(batch, channels, rows, columns, kernel height, kernel width)``."""
        parts = np.einsum("ngoij,gocuv->ngcijuv", self._cotangent(call), self._kernels(call), optimize=True)
        return np.asarray(parts.reshape(call.x.shape[:2] + parts.shape[3:]))

    def weight_gradient(self, call: Call, seen: Array) -> Array:
        """Return the gradient of the kernels."""
        gradient = np.einsum("ngcijuv,ngoij->gocuv", seen, self._cotangent(call), optimize=True)
        return np.asarray(gradient.reshape(call.params[self.weight].shape))

    def _grouped(self, array: Array) -> Array:
        return array.reshape(len(array), self.groups, -1, *array.shape[2:])

    def _cotangent(self, call: Call) -> Array:
        assert call.grad_output is not None
        return self._grouped(call.grad_output)

    def _kernels(self, call: Call) -> Array:
        weight = call.params[self.weight]
        return weight.reshape(self.groups, -1, *weight.shape[1:])


def convolution(failure: Failure) -> Convolution | None:
    """Return the convolution that the reference is, its windows as its own gradients show them; None where it is something else."""
    call, kernels = failure.call, [name for name, value in failure.call.params.items() if value.ndim == 4]
    if len(kernels) != 1 or len(call.params) > 2 or call.x.ndim != 4:
        return None
    weight = call.params[kernels[0]]
    output = failure.oracle.vjp(Call(call.x, call.params))["output"]
    if output.ndim != 4 or output.shape[1] != weight.shape[0] or call.x.shape[1] % weight.shape[1]:
        return None
    groups = call.x.shape[1] // weight.shape[1]
    along = [_along(failure, kernels[0], axis, output.shape) for axis in (0, 1)]
    if weight.shape[0] % groups or None in along:
        return None
    (top, down, rows), (left, right, columns) = (one for one in along if one is not None)
    counts = (output.shape[2], output.shape[3])
    found = Convolution(Windows((weight.shape[2], weight.shape[3]), (down, right), (top, left), counts, (rows, columns)), kernels[0], groups)
    scale = float(np.abs(output).max(initial=0.0))
    agrees = np.abs(found.vjp(Call(call.x, call.params))["output"] - output).max(initial=0.0) <= scale * float(np.sqrt(np.finfo(np.float64).eps))
    return found if agrees else None


def _along(failure: Failure, weight: str, axis: int, output: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Return first pixel, stride and dilation along an axis: the pixels that get a gradient from one output pixel alone show them.

    All kernels are 1, and each sample of a batch has its cotangent at another place along the axis.
    """
    call, size, count, length = failure.call, failure.call.x.shape[2 + axis], output[2 + axis], failure.call.params[weight].shape[2 + axis]
    other = 3 - axis
    cotangent = np.zeros((count, *output[1:]))
    for place in range(count):
        np.moveaxis(cotangent[place], 1 + axis, 0)[place] = 1.0
    ones = {name: np.ones_like(value) for name, value in call.params.items()}
    gradient = failure.oracle.vjp(Call(np.ones((count, *call.x.shape[1:])), ones, cotangent))["grad_input"]
    seen = [np.flatnonzero(line) for line in np.abs(gradient).sum(axis=(1, other))]
    return next(_fitting(seen, size, length), None)


def _fitting(seen: list[npt.NDArray[np.int_]], size: int, length: int) -> Iterator[tuple[int, int, int]]:
    """Yield first pixel, stride and dilation of windows that see just these pixels of a line, the smallest first."""
    for dilation in range(1, size + 1):
        for stride in range(1, size + 1):
            for start in range(0, -dilation * length - 1, -1):
                places = (start + stride * window + dilation * np.arange(length) for window in range(len(seen)))
                if all(np.array_equal(at[(at >= 0) & (at < size)], line) for at, line in zip(places, seen, strict=True)):
                    yield start, stride, dilation
