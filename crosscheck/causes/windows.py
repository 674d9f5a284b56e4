"""Windows in the wrong places, or their parts put down instead of added up: stride, dilation and padding of convolutions and pools."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from crosscheck.causes.candidate import Candidate, as_read, recomputed
from crosscheck.core.check_layer import Failure
from crosscheck.core.operation import Call, RefusedError, Rounding
from crosscheck.core.precision import Array, Bound
from crosscheck.oracles.theories import Multilinear


def windows_misplaced(failure: Failure) -> Iterator[Candidate]:
    """Leave out a convolution's stride or dilation, exchange height and width in them, or begin its windows elsewhere."""
    layer = convolution(failure)
    if layer is None:
        return
    for name, words, windows in _others(layer.windows):
        if windows != layer.windows:
            yield recomputed(failure, name, words, failure.call, replace(layer, windows=windows))
    yield from _other_borders(failure, layer)


def _others(right: Windows) -> Iterator[tuple[str, str, Windows]]:
    """Yield name, words and windows of one mistake each; they may be the right ones."""
    (down, across), (top, left) = right.stride, right.start
    for stride, which in (((1, 1), ""), ((1, across), " of the rows"), ((down, 1), " of the columns")):
        words = f"the stride{which} is ignored: windows lie one pixel apart, where {right.stride} is due"
        yield "stride ignored", words, replace(right, stride=stride)
    yield "dilation ignored", f"the dilation is ignored: kernels are not spread by {right.dilation}", replace(right, dilation=(1, 1))
    exchanged = "height and width of the {} {} are exchanged".format
    yield "transposed", exchanged("stride", right.stride), replace(right, stride=(across, down))
    yield "transposed", exchanged("padding", (-top, -left)), replace(right, start=(left, top))
    yield "transposed", exchanged("dilation", right.dilation), replace(right, dilation=(right.dilation[1], right.dilation[0]))
    yield "padding", "there is no padding: the first window begins at the first pixel", replace(right, start=(0, 0))
    for rows, columns in itertools.product((0, 1, -1), repeat=2):
        where = " and ".join(filter(None, (_off(rows, "row", "lower", "higher"), _off(columns, "column", "to the right", "to the left"))))
        yield "padding", f"all windows lie {where}: the padding is wrong by one", replace(right, start=(top + rows, left + columns))


def _off(by: int, what: str, after: str, before: str) -> str:
    return f"one {what} {after if by > 0 else before}" if by else ""


def _other_borders(failure: Failure, layer: Convolution) -> Iterator[Candidate]:
    """Yield a convolution whose image is continued by something else than zeros."""
    call = failure.call
    frame, *_ = layer.windows.frame(call.x.shape)
    if failure.quantity == "grad_input" or not any(map(sum, frame)):
        return
    for mode, words in (("edge", "the outermost pixels, repeated"), ("reflect", "the image reflected"), ("wrap", "the image's other side")):
        if mode == "reflect" and any(max(sides) >= size for sides, size in zip(frame, call.x.shape[2:], strict=True)):
            continue
        padded = np.pad(call.x, ((0, 0), (0, 0), *frame), mode=mode)  # type: ignore[call-overload]
        start: Pair = (layer.windows.start[0] + frame[0][0], layer.windows.start[1] + frame[1][0])
        other = replace(layer, windows=replace(layer.windows, start=start))
        yield recomputed(failure, "padding", f"around the image stand {words}, where zeros are due", replace(call, x=padded), other)


def image_misplaced(failure: Failure) -> Iterator[Candidate]:
    """Put the right number of zeros around an image, but on the wrong sides."""
    call, cotangent, x = failure.call, failure.call.grad_output, failure.call.x
    if call.params or call.constants or x.ndim != 4 or failure.quantity not in ("output", "grad_input"):
        return
    around = failure.oracle.vjp(Call(np.ones_like(x)))["output"]
    if around.ndim != 4 or around.shape[:2] != x.shape[:2] or around.size <= x.size or np.count_nonzero(around) != x.size or not around.size:
        return
    height, width = x.shape[2:]
    for top, left in np.ndindex(around.shape[2] - height + 1, around.shape[3] - width + 1):
        words = f"the image begins at row {top}, column {left}: the zeros stand on other sides"
        inside = np.s_[:, :, top : top + height, left : left + width]
        if failure.quantity == "output":
            output = np.zeros_like(around)
            output[inside] = x
            yield Candidate("padding", words, output, Bound.exact(output))
        elif cotangent is not None:
            yield Candidate("padding", words, cotangent[inside], Bound.exact(cotangent[inside]))


def overwritten(failure: Failure) -> Iterator[Candidate]:
    """Put the parts of overlapping windows down instead of adding them up, or keep the last position alone of a sum over positions."""
    call, name = failure.call, "overwritten"
    if call.grad_output is None or call.grad_output.ndim != 4:
        return
    if failure.quantity.endswith(".grad"):
        last = np.zeros_like(call.grad_output)
        last[..., -1, -1] = call.grad_output[..., -1, -1]
        words = "only the last position contributes: overwritten where it should be added up"
        yield recomputed(failure, name, words, replace(call, grad_output=last))
    if failure.quantity != "grad_input":
        return
    if (pool := _Pool.of(failure)) is not None:
        for parts in pool.parts(call):
            yield from _put_down(failure, pool.windows, parts, "")
        if pool.maximum:
            words = f"of several windows that a pixel wins, the last one's gradient stays: {_INSTEAD}"
            yield Candidate(name, words, pool.winners_only(call), Bound(0.0, 0.0))
    elif (layer := convolution(failure)) is not None:
        last = np.zeros_like(call.grad_output)
        last[:, -1] = call.grad_output[:, -1]
        bound = layer.rounding.bounds(layer, call, layer.vjp(call), failure.precision)["grad_input"]
        for one, which in ((call, ""), (replace(call, grad_output=last), " of the last filter")):
            yield from _put_down(failure, layer.windows, layer.parts(one), which, bound)


_INSTEAD = "overwritten where it should be added up"


def _put_down(failure: Failure, windows: Windows, parts: Array, which: str, bound: Bound | None = None) -> Iterator[Candidate]:
    for by_window, order in ((True, "window after window"), (False, "kernel pixel after kernel pixel")):
        expected = windows.overwritten(parts, failure.call.x.shape, by_window)
        limits = as_read(failure, bound or Bound(np.abs(expected), 2.0))
        yield Candidate("overwritten", f"where windows overlap, the last one{which} stays, {order}: {_INSTEAD}", expected, limits)


def padded_with_zero(failure: Failure) -> Iterator[Candidate]:
    """Let the padding of a maximum be 0, where nothing may win against the image."""
    pool = _Pool.of(failure)
    if pool is None or not pool.maximum or failure.quantity not in ("output", "grad_input"):
        return
    words = "the padding is 0 and wins against negative pixels, where it has to be minus infinity"
    seen = pool.windows.seen(failure.call.x)
    if failure.quantity == "output":
        output = seen.max(axis=(-2, -1))
        yield Candidate("padded with zero", words, output, Bound.exact(output))
    elif failure.call.grad_output is not None:
        yield Candidate("padded with zero", words, *pool.windows.shared(first_winner(seen), failure.call.grad_output, failure.call.x.shape))


def padding_counted(failure: Failure) -> Iterator[Candidate]:
    """Divide an average by the size of the window where the padding does not count, or by the pixels inside the image where it does."""
    pool, call = _Pool.of(failure), failure.call
    if pool is None or pool.maximum or failure.quantity not in ("output", "grad_input"):
        return
    if failure.quantity == "output":
        seen = pool.windows.seen(call.x)
        sums = [(seen.sum(axis=(-2, -1)) / divisor, np.abs(seen).sum(axis=(-2, -1)) / divisor) for divisor in pool.divisors(call)]
    else:
        sums = [(pool.windows.added(parts, call.x.shape), pool.windows.added(np.abs(parts), call.x.shape)) for parts in pool.parts(call)]
    words = (
        "the padding is counted: each sum is divided by the size of the window, where the pixels inside the image are due",
        "the padding is not counted: each sum is divided by the pixels inside the image, where the size of the window is due",
    )
    for (expected, size), way in zip(sums, words, strict=True):
        yield Candidate("padding counted", way, expected, Bound(size, float(math.prod(pool.windows.kernel) + 2)))


@dataclass(frozen=True)
class _Pool:
    """A pooling: its windows, and whether it takes their maximum or their mean."""

    windows: Windows
    maximum: bool

    @classmethod
    def of(cls, failure: Failure) -> _Pool | None:
        """Return the pooling that the reference says that it is; None where it is something else."""
        settings, call = failure.oracle.settings, failure.call
        if call.params or call.x.ndim != 4 or not {"kernel", "stride", "padding"} <= settings.keys():
            return None
        return cls(Windows.of_pool(settings, call.x.shape), failure.oracle.decisions(call.x) is not None)

    def divisors(self, call: Call) -> tuple[Array, Array]:
        """Return what an average may divide each window's sum by: the size of the window, or how many of its pixels lie inside the image."""
        inside = np.asarray(self.windows.seen(np.ones_like(call.x)).sum(axis=(-2, -1)))
        return np.full_like(inside, math.prod(self.windows.kernel)), inside

    def parts(self, call: Call) -> Iterator[Array]:
        """Yield what each window hands back to its pixels, in the shape of :meth:`Windows.seen`; of an average, for each divisor."""
        assert call.grad_output is not None
        along = call.grad_output[..., None, None]
        if self.maximum:
            yield first_winner(self.windows.seen(call.x, -np.inf)) * along
            return
        for divisor in self.divisors(call):
            yield np.broadcast_to(along / divisor[..., None, None], (*call.grad_output.shape, *self.windows.kernel))

    def winners_only(self, call: Call) -> Array:
        """Return the input's gradient where each window puts its number down at its winner and touches no other pixel."""
        assert call.grad_output is not None
        won = first_winner(self.windows.seen(call.x, -np.inf))
        planes = np.zeros((call.x.shape[0] * call.x.shape[1], math.prod(call.x.shape[2:])))
        u, v = np.divmod(won.reshape(*won.shape[:4], -1).argmax(axis=-1), self.windows.kernel[1])
        rows, columns = self.windows.places(0)[:, 0][:, None] + u, self.windows.places(1)[:, 0] + v
        at = (rows * call.x.shape[3] + columns).reshape(len(planes), -1)
        # Of several numbers for one place NumPy keeps the last, as a loop would.
        planes[np.arange(len(planes))[:, None], at] = call.grad_output.reshape(len(planes), -1)
        return planes.reshape(call.x.shape)


def first_winner(seen: Array) -> Array:
    """Return 1 at the first maximum of each window, 0 elsewhere."""
    flat = seen.reshape(*seen.shape[:4], -1)
    winners = np.arange(flat.shape[-1]) == flat.argmax(axis=-1)[..., None]
    return np.asarray(winners.reshape(seen.shape), dtype=np.float64)


Pair = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """One window for each output pixel.

    Attributes
    ----------
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

    @classmethod
    def of_pool(cls, settings: Mapping[str, tuple[int, ...]], shape: tuple[int, ...]) -> Windows:
        """Return the windows of a pooling of images of a shape."""
        (height, width), (down, across), (top, left) = settings["kernel"], settings["stride"], settings["padding"]
        counts = (shape[2] + 2 * top - height) // down + 1, (shape[3] + 2 * left - width) // across + 1
        return cls((height, width), (down, across), (-top, -left), counts)

    def places(self, axis: int) -> npt.NDArray[np.int_]:
        """Return which rows (axis 0) or columns (axis 1) each window sees, ``(windows, kernel)``."""
        first = self.start[axis] + self.stride[axis] * np.arange(self.counts[axis])
        return np.asarray(first[:, None] + self.dilation[axis] * np.arange(self.kernel[axis]))

    def seen(self, x: Array, outside: float = 0.0) -> Array:
        """Return what each window sees of images, ``(batch, channels, rows, columns, kernel height, kernel width)``."""
        frame, rows, columns = self.frame(x.shape)
        padded = np.pad(x, ((0, 0), (0, 0), *frame), constant_values=outside)
        return np.asarray(padded[:, :, rows[:, None, :, None], columns[None, :, None, :]])

    def added(self, parts: Array, shape: tuple[int, ...]) -> Array:
        """Return images of a shape to whose pixels each window's part was added."""
        frame, rows, columns = self.frame(shape)
        result = np.pad(np.zeros(shape), ((0, 0), (0, 0), *frame))
        for u, v in np.ndindex(*self.kernel):
            # One pixel of each window: the same pixel of two windows is never the same one of the image, unless the stride is 0.
            result[:, :, rows[:, u][:, None], columns[:, v]] += parts[..., u, v]
        return self._cropped(result, frame)

    def overwritten(self, parts: Array, shape: tuple[int, ...], by_window: bool) -> Array:
        """Return images on which each window's part was put in place of what was there: window by window, or kernel pixel by kernel pixel."""
        frame, rows, columns = self.frame(shape)
        result = np.pad(np.zeros(shape), ((0, 0), (0, 0), *frame))
        if by_window:
            for i, j in np.ndindex(*self.counts):
                result[:, :, rows[i][:, None], columns[j]] = parts[:, :, i, j]
        else:
            for u, v in np.ndindex(*self.kernel):
                result[:, :, rows[:, u][:, None], columns[:, v]] = parts[..., u, v]
        return self._cropped(result, frame)

    def shared(self, shares: Array, grad_output: Array, shape: tuple[int, ...]) -> tuple[Array, Bound]:
        """Return the gradient of images whose pixels get shares of their windows' gradients, with its bound: a sum of k numbers, k - 1 roundings."""
        along, times = grad_output[..., None, None], self.added((shares > 0).astype(np.float64), shape)
        return self.added(shares * along, shape), Bound(self.added(shares * np.abs(along), shape), np.maximum(times - 1, 0))

    def frame(self, shape: tuple[int, ...]) -> tuple[list[Pair], npt.NDArray[np.int_], npt.NDArray[np.int_]]:
        """Return how many pixels have to be put around images, and where each window's rows and columns then lie."""
        rows, columns = self.places(0), self.places(1)
        frame = [(max(0, -int(at.min())), max(0, int(at.max()) + 1 - length)) for at, length in zip((rows, columns), shape[2:], strict=True)]
        return frame, rows + frame[0][0], columns + frame[1][0]

    @staticmethod
    def _cropped(images: Array, frame: list[Pair]) -> Array:
        (top, bottom), (left, right) = frame
        return images[:, :, top : images.shape[2] - bottom, left : images.shape[3] - right]


@dataclass(frozen=True)
class Convolution:
    """Cross-correlation over given windows, as an oracle; ``weight`` is the name of the kernels, any other parameter a bias."""

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
        for name in call.params.keys() - {self.weight}:
            result["output"] = result["output"] + call.params[name][:, None, None]
        if call.grad_output is None:
            return result
        if call.grad_output.shape != result["output"].shape:
            raise RefusedError(f"the cotangent has the shape {call.grad_output.shape}, expected {result['output'].shape}")
        result["grad_input"] = self.windows.added(self.parts(call), call.x.shape)
        for name in call.params:
            result[f"{name}.grad"] = self.weight_gradient(call, seen) if name == self.weight else call.grad_output.sum(axis=(0, 2, 3))
        return result

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
    cotangent = np.ones(output[1:]) * np.eye(count).reshape((count, 1, count, 1) if axis == 0 else (count, 1, 1, count))
    ones = {name: np.ones_like(value) for name, value in call.params.items()}
    gradient = failure.oracle.vjp(Call(np.ones((count, *call.x.shape[1:])), ones, cotangent))["grad_input"]
    seen = [np.flatnonzero(line) for line in np.abs(gradient).sum(axis=(1, 3 - axis))]
    return next(_fitting(seen, size, length), None)


def _fitting(seen: list[npt.NDArray[np.int_]], size: int, length: int) -> Iterator[tuple[int, int, int]]:
    """Yield first pixel, stride and dilation of windows that see just these pixels of a line, the smallest first."""
    for dilation in range(1, size + 1):
        for stride in range(1, size + 1):
            for start in range(0, -dilation * length - 1, -1):
                places = (start + stride * window + dilation * np.arange(length) for window in range(len(seen)))
                if all(np.array_equal(at[(at >= 0) & (at < size)], line) for at, line in zip(places, seen, strict=True)):
                    yield start, stride, dilation
