"""Mistakes in the windows of convolutions and pools: wrong stride, dilation or padding, and overlapping windows that overwrite each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from crosscheck.causes.candidate import Candidate, as_read, recomputed
from crosscheck.causes.misplaced import OVERWRITTEN
from crosscheck.core.check_layer import Failure
from crosscheck.core.operation import Call, RefusedError
from crosscheck.core.precision import Array, Bound
from crosscheck.oracles.theories import Multilinear


def windows_misplaced(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: a convolution ignores its stride or dilation, exchanges their height and width, or pads the image wrongly."""
    layer = convolution(failure)
    if layer is None:
        return
    for name, words, windows in _others(layer.windows):
        if windows != layer.windows:
            yield recomputed(failure, name, words, failure.call, replace(layer, windows=windows))
    yield from _other_borders(failure, layer)


def _others(right: Windows) -> Iterator[tuple[str, str, Windows]]:
    """For each mistake, yield its name, its message and the resulting windows, which may equal the correct ones."""
    (down, across), (top, left) = right.stride, right.start
    for stride, which in (((1, 1), ""), ((1, across), " of the rows"), ((down, 1), " of the columns")):
        words = f"the stride{which} is ignored: windows are one pixel apart instead of {right.stride}"
        yield "stride ignored", words, replace(right, stride=stride)
    yield "dilation ignored", f"the dilation {right.dilation} is ignored", replace(right, dilation=(1, 1))
    exchanged = "height and width of the {} {} are exchanged".format
    yield "transposed", exchanged("stride", right.stride), replace(right, stride=(across, down))
    yield "transposed", exchanged("padding", (-top, -left)), replace(right, start=(left, top))
    yield "transposed", exchanged("dilation", right.dilation), replace(right, dilation=(right.dilation[1], right.dilation[0]))
    yield "padding", "there is no padding: the first window starts at the first pixel", replace(right, start=(0, 0))
    for rows, columns in itertools.product((0, 1, -1), repeat=2):
        where = " and ".join(filter(None, (_off(rows, "row", "too low", "too high"), _off(columns, "column", "too far right", "too far left"))))
        yield "padding", f"all windows are {where}: the padding is wrong by one", replace(right, start=(top + rows, left + columns))


def _off(by: int, what: str, after: str, before: str) -> str:
    return f"one {what} {after if by > 0 else before}" if by else ""


def _other_borders(failure: Failure, layer: Convolution) -> Iterator[Candidate]:
    """Simulate a fault: the image is padded with something other than zeros."""
    call = failure.call
    frame, *_ = layer.windows.frame(call.x.shape)
    if failure.quantity == "grad_input" or not any(map(sum, frame)):
        return
    for mode, words in (("edge", "the border pixels, repeated"), ("reflect", "the reflected image"), ("wrap", "the opposite side of the image")):
        if mode == "reflect" and any(max(sides) >= size for sides, size in zip(frame, call.x.shape[2:], strict=True)):
            continue
        padded = np.pad(call.x, ((0, 0), (0, 0), *frame), mode=mode)  # type: ignore[call-overload]
        start: Pair = (layer.windows.start[0] + frame[0][0], layer.windows.start[1] + frame[1][0])
        other = replace(layer, windows=replace(layer.windows, start=start))
        yield recomputed(failure, "padding", f"the image is padded with {words} instead of zeros", call.with_x(padded), other)


def image_misplaced(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the right number of zeros is put around an image, but on the wrong sides."""
    call, cotangent, x = failure.call, failure.call.grad_output, failure.call.x
    if call.params or call.constants or x.ndim != 4 or failure.quantity not in ("output", "grad_input"):
        return
    around = failure.oracle.vjp(Call(np.ones_like(x)))["output"]
    if around.ndim != 4 or around.shape[:2] != x.shape[:2] or around.size <= x.size or np.count_nonzero(around) != x.size or not around.size:
        return
    height, width = x.shape[2:]
    for top, left in np.ndindex(around.shape[2] - height + 1, around.shape[3] - width + 1):
        words = f"the image starts at row {top}, column {left}: the zeros are added on the wrong sides"
        inside = np.s_[:, :, top : top + height, left : left + width]
        if failure.quantity == "output":
            output = np.zeros_like(around)
            output[inside] = x
            yield Candidate("padding", words, output, Bound.exact(output))
        elif cotangent is not None:
            yield Candidate("padding", words, cotangent[inside], Bound.exact(cotangent[inside]))


def overwritten(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: overlapping windows overwrite one another instead of adding up, or a sum over positions keeps only its last term."""
    call, name = failure.call, "overwritten"
    if call.grad_output is None or call.grad_output.ndim != 4:
        return
    if failure.quantity.endswith(".grad"):
        last = np.zeros_like(call.grad_output)
        last[..., -1, -1] = call.grad_output[..., -1, -1]
        yield recomputed(failure, name, f"only the last position contributes: {OVERWRITTEN}", call.with_grad_output(last))
    if failure.quantity != "grad_input":
        return
    if (pool := _Pool.of(failure)) is not None:
        for parts in pool.parts(call):
            yield from _overwriting(failure, pool.windows, parts, "")
            if pool.maximum:
                words = f"a pixel that wins several windows keeps only the last one's gradient: {OVERWRITTEN}"
                winners = first_winner(pool.windows.seen(call.x, -np.inf))
                yield Candidate(name, words, pool.windows.overwritten(parts, call.x.shape, written=winners > 0), Bound(0.0, 0.0))
    elif (layer := convolution(failure)) is not None:
        last = np.zeros_like(call.grad_output)
        last[:, -1] = call.grad_output[:, -1]
        bound = layer.rounding.bounds(layer, call, layer.vjp(call), failure.precision)["grad_input"]
        for one, which in ((call, ""), (call.with_grad_output(last), " of the last filter")):
            yield from _overwriting(failure, layer.windows, layer.parts(one), which, bound)


def _overwriting(failure: Failure, windows: Windows, parts: Array, which: str, bound: Bound | None = None) -> Iterator[Candidate]:
    for by_window, order in ((True, "one window at a time"), (False, "one kernel position at a time")):
        expected = windows.overwritten(parts, failure.call.x.shape, by_window)
        limits = as_read(failure, bound or Bound(np.abs(expected), 2.0))
        yield Candidate("overwritten", f"where windows overlap, only the last one{which} counts, {order}: {OVERWRITTEN}", expected, limits)


def padded_with_zero(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: max pooling pads the image with 0, which wins against negative pixels."""
    pool = _Pool.of(failure)
    if pool is None or not pool.maximum or failure.quantity not in ("output", "grad_input"):
        return
    words = "the padding is 0, which wins against negative pixels, instead of minus infinity"
    seen = pool.windows.seen(failure.call.x)
    if failure.quantity == "output":
        output = seen.max(axis=(-2, -1))
        yield Candidate("padded with zero", words, output, Bound.exact(output))
    elif failure.call.grad_output is not None:
        yield Candidate("padded with zero", words, *pool.windows.shared(first_winner(seen), failure.call.grad_output, failure.call.x.shape))


def padding_counted(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: average pooling counts the padding although it must not, or the reverse."""
    pool, call = _Pool.of(failure), failure.call
    if pool is None or pool.maximum or failure.quantity not in ("output", "grad_input"):
        return
    if failure.quantity == "output":
        seen = pool.windows.seen(call.x)
        sums = [(seen.sum(axis=(-2, -1)) / divisor, np.abs(seen).sum(axis=(-2, -1)) / divisor) for divisor in pool.divisors(call)]
    else:
        sums = [(pool.windows.added(parts, call.x.shape), pool.windows.added(np.abs(parts), call.x.shape)) for parts in pool.parts(call)]
    words = (
        "the padding is counted: each sum is divided by the size of the window instead of the number of pixels inside the image",
        "the padding is not counted: each sum is divided by the number of pixels inside the image instead of the size of the window",
    )
    for (expected, size), way in zip(sums, words, strict=True):
        yield Candidate("padding counted", way, expected, Bound(size, float(math.prod(pool.windows.kernel) + 2)))


@dataclass(frozen=True)
class _Pool:
    """A pooling operation: its windows, and whether it takes the maximum or the mean of each window."""

    windows: Windows
    maximum: bool

    @classmethod
    def of(cls, failure: Failure) -> _Pool | None:
        """Return the pooling operation that the reference's settings describe; None if the reference is not a pooling layer."""
        settings, call = failure.oracle.settings, failure.call
        if call.params or call.x.ndim != 4 or not {"kernel", "stride", "padding"} <= settings.keys():
            return None
        return cls(Windows.of_pool(settings, call.x.shape), failure.oracle.decisions(call.x) is not None)

    def divisors(self, call: Call) -> tuple[Array, Array]:
        """Return two divisors for each window's sum: the size of the window, and the number of its pixels that are inside the image."""
        inside = np.asarray(self.windows.seen(np.ones_like(call.x)).sum(axis=(-2, -1)))
        return np.full_like(inside, math.prod(self.windows.kernel)), inside

    def parts(self, call: Call) -> Iterator[Array]:
        """Yield the gradient that each window passes to its pixels, shaped like :meth:`Windows.seen`; average pooling yields one for each divisor."""
        assert call.grad_output is not None
        along = call.grad_output[..., None, None]
        if self.maximum:
            yield first_winner(self.windows.seen(call.x, -np.inf)) * along
            return
        for divisor in self.divisors(call):
            yield np.broadcast_to(along / divisor[..., None, None], (*call.grad_output.shape, *self.windows.kernel))


def first_winner(seen: Array) -> Array:
    """Return an array that is 1 at the first maximum of each window and 0 elsewhere."""
    flat = seen.reshape(*seen.shape[:4], -1)
    winners = np.arange(flat.shape[-1]) == flat.argmax(axis=-1)[..., None]
    return np.asarray(winners.reshape(seen.shape), dtype=np.float64)


Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """The windows of a convolution or pooling operation, one for each output pixel; ``counts`` is their number along height and width.

    ``start`` is the row and the column of the first window's first pixel, which is minus the padding at the top and on the left.
    """

    kernel: Pair
    stride: Pair
    start: Pair
    counts: Pair
    dilation: Pair = (1, 1)

    @classmethod
    def of_pool(cls, settings: Mapping[str, tuple[int, ...]], shape: tuple[int, ...]) -> Windows:
        """Return the windows of a pooling operation on images of the given shape."""
        (height, width), (down, across), (top, left) = settings["kernel"], settings["stride"], settings["padding"]
        counts = (shape[2] + 2 * top - height) // down + 1, (shape[3] + 2 * left - width) // across + 1
        return cls((height, width), (down, across), (-top, -left), counts)

    def places(self, axis: int) -> npt.NDArray[np.int_]:
        """Return the rows (``axis`` 0) or columns (``axis`` 1) that each window covers, ``(windows, kernel)``."""
        first = self.start[axis] + self.stride[axis] * np.arange(self.counts[axis])
        return np.asarray(first[:, None] + self.dilation[axis] * np.arange(self.kernel[axis]))

    def seen(self, x: Array, outside: float = 0.0) -> Array:
        """Return each window's pixels, ``outside`` in the padding: ``(batch, channels, rows, columns, kernel height, kernel width)``."""
        frame, rows, columns = self.frame(x.shape)
        padded = np.pad(x, ((0, 0), (0, 0), *frame), constant_values=outside)
        return np.asarray(padded[:, :, rows[:, None, :, None], columns[None, :, None, :]])

    def added(self, parts: Array, shape: tuple[int, ...]) -> Array:
        """Return images of the given shape; each pixel is the sum of the parts that windows pass to it."""
        frame, rows, columns = self.frame(shape)
        result = np.pad(np.zeros(shape), ((0, 0), (0, 0), *frame))
        for u, v in np.ndindex(*self.kernel):
            # This adds pixel (u, v) of each window. Unless the stride is 0, these are different pixels of the image.
            result[:, :, rows[:, u][:, None], columns[:, v]] += parts[..., u, v]
        return self._cropped(result, frame)

    def overwritten(self, parts: Array, shape: tuple[int, ...], by_window: bool = True, written: npt.NDArray[np.bool_] | None = None) -> Array:
        """Return images in which each part that is ``written`` overwrites earlier parts: window by window, or kernel pixel by kernel pixel."""
        frame, rows, columns = self.frame(shape)
        result, mask = np.pad(np.zeros(shape), ((0, 0), (0, 0), *frame)), np.ones(parts.shape, np.bool_) if written is None else written
        if not by_window:
            rows, columns, parts, mask = rows.T, columns.T, np.moveaxis(parts, (4, 5), (2, 3)), np.moveaxis(mask, (4, 5), (2, 3))
        for i, j in np.ndindex(*parts.shape[2:4]):
            at = np.s_[:, :, rows[i][:, None], columns[j]]
            result[at] = np.where(mask[:, :, i, j], parts[:, :, i, j], result[at])
        return self._cropped(result, frame)

    def shared(self, shares: Array, grad_output: Array, shape: tuple[int, ...]) -> tuple[Array, Bound]:
        """Return the input gradient if each pixel gets a share of its windows' gradients, with its bound: a sum of k terms is rounded k - 1 times."""
        along, times = grad_output[..., None, None], self.added((shares > 0).astype(np.float64), shape)
        return self.added(shares * along, shape), Bound(self.added(shares * np.abs(along), shape), np.maximum(times - 1, 0))

    def frame(self, shape: tuple[int, ...]) -> tuple[list[Pair], npt.NDArray[np.int_], npt.NDArray[np.int_]]:
        """Return the padding that the windows need, and each window's rows and columns in the padded image."""
        rows, columns = self.places(0), self.places(1)
        frame = [(max(0, -int(at.min())), max(0, int(at.max()) + 1 - length)) for at, length in zip((rows, columns), shape[2:], strict=True)]
        return frame, rows + frame[0][0], columns + frame[1][0]

    @staticmethod
    def _cropped(images: Array, frame: list[Pair]) -> Array:
        (top, bottom), (left, right) = frame
        return images[:, :, top : images.shape[2] - bottom, left : images.shape[3] - right]


@dataclass(frozen=True)
class Convolution:
    """An oracle for cross-correlation over given windows. ``weight`` is the name of the kernel parameter; any other parameter is a bias."""

    windows: Windows
    weight: str = "weight"
    groups: int = 1
    settings: dict[str, tuple[int, ...]] = field(default_factory=dict)
    rounding: Multilinear = field(default_factory=Multilinear, init=False)

    def decisions(self, x: Array) -> None:
        """Return None: a convolution has no kinks."""

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the output and the gradients; raise :class:`RefusedError` if the upstream gradient does not have the output's shape."""
        seen, weight = self._grouped(self.windows.seen(call.x)), self._kernels(call)
        output = np.einsum("ngcijuv,gocuv->ngoij", seen, weight, optimize=True)
        result = {"output": output.reshape(len(call.x), -1, *self.windows.counts)}
        for name in call.params.keys() - {self.weight}:
            result["output"] = result["output"] + call.params[name][:, None, None]
        if call.grad_output is None:
            return result
        if call.grad_output.shape != result["output"].shape:
            raise RefusedError(f"the upstream gradient has the shape {call.grad_output.shape}, expected {result['output'].shape}")
        result["grad_input"] = self.windows.added(self.parts(call), call.x.shape)
        kernels = np.einsum("ngcijuv,ngoij->gocuv", seen, self._cotangent(call), optimize=True)
        for name, value in call.params.items():
            result[f"{name}.grad"] = kernels.reshape(value.shape) if name == self.weight else call.grad_output.sum(axis=(0, 2, 3))
        return result

    def parts(self, call: Call) -> Array:
        """Return the gradient that each window passes to its pixels, ``(batch, channels, rows, columns, kernel height, kernel width)``."""
        parts = np.einsum("ngoij,gocuv->ngcijuv", self._cotangent(call), self._kernels(call), optimize=True)
        return np.asarray(parts.reshape(call.x.shape[:2] + parts.shape[3:]))

    def _grouped(self, array: Array) -> Array:
        return array.reshape(len(array), self.groups, -1, *array.shape[2:])

    def _cotangent(self, call: Call) -> Array:
        assert call.grad_output is not None
        return self._grouped(call.grad_output)

    def _kernels(self, call: Call) -> Array:
        weight = call.params[self.weight]
        return weight.reshape(self.groups, -1, *weight.shape[1:])


def convolution(failure: Failure) -> Convolution | None:
    """Return the reference as a convolution, with windows inferred from its gradients; None if the reference is not a convolution."""
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
    """Return the start, stride and dilation of the windows along an axis, inferred from the input pixels that influence each output pixel.

    All kernels are 1. In each sample of a batch, the upstream gradient is 1 at one position along the axis, and 0 elsewhere.
    """
    call, size, count, length = failure.call, failure.call.x.shape[2 + axis], output[2 + axis], failure.call.params[weight].shape[2 + axis]
    cotangent = np.ones(output[1:]) * np.eye(count).reshape((count, 1, count, 1) if axis == 0 else (count, 1, 1, count))
    ones = {name: np.ones_like(value) for name, value in call.params.items()}
    gradient = failure.oracle.vjp(Call(np.ones((count, *call.x.shape[1:])), ones, cotangent))["grad_input"]
    seen = [np.flatnonzero(line) for line in np.abs(gradient).sum(axis=(1, 3 - axis))]
    return next(_fitting(seen, size, length), None)


def _fitting(seen: list[npt.NDArray[np.int_]], size: int, length: int) -> Iterator[tuple[int, int, int]]:
    """Yield the start, stride and dilation of windows that cover exactly the given pixels of a line, the smallest dilation and stride first."""
    for dilation in range(1, size + 1):
        for stride in range(1, size + 1):
            for start in range(0, -dilation * length - 1, -1):
                places = (start + stride * window + dilation * np.arange(length) for window in range(len(seen)))
                if all(np.array_equal(at[(at >= 0) & (at < size)], line) for at, line in zip(places, seen, strict=True)):
                    yield start, stride, dilation
