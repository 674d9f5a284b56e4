"""Windows in the wrong places, or their parts put down instead of added up: stride, dilation and padding of convolutions and pools."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from crosscheck.arithmetic import Array, Bound
from crosscheck.causes.candidate import Candidate, as_read, recomputed
from crosscheck.causes.ties import chooses
from crosscheck.causes.windowed import Convolution, Pair, Windows, convolution
from crosscheck.failure import Failure
from crosscheck.operation import Call


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
    (down, across), (top, left) = right.stride, right.start
    for stride, which in (((1, 1), ""), ((1, across), " of the rows"), ((down, 1), " of the columns")):
        yield (
            "stride ignored",
            f"the stride{which} is ignored: windows lie one pixel apart, where {right.stride} is due",
            replace(right, stride=stride),
        )
    yield "dilation ignored", f"the dilation is ignored: kernels are not spread by {right.dilation}", replace(right, dilation=(1, 1))
    yield "transposed", f"height and width of the stride {right.stride} are exchanged", replace(right, stride=(across, down))
    yield "transposed", f"height and width of the padding {(-top, -left)} are exchanged", replace(right, start=(left, top))
    yield (
        "transposed",
        f"height and width of the dilation {right.dilation} are exchanged",
        replace(right, dilation=(right.dilation[1], right.dilation[0])),
    )
    yield "padding", "there is no padding: the first window begins at the first pixel", replace(right, start=(0, 0))
    for rows, columns in itertools.product((0, 1, -1), repeat=2):
        where = " and ".join(text for text in (_off(rows, "row", "lower", "higher"), _off(columns, "column", "to the right", "to the left")) if text)
        yield "padding", f"all windows lie {where}: the padding is wrong by one", replace(right, start=(top + rows, left + columns))


def _off(by: int, what: str, after: str, before: str) -> str:
    return f"one {what} {after if by > 0 else before}" if by else ""


def _other_borders(failure: Failure, layer: Convolution) -> Iterator[Candidate]:
    """Yield a convolution whose image is continued by something else than zeros."""
    places, call = (layer.windows.places(axis) for axis in (0, 1)), failure.call
    frame = [(max(0, -int(at.min())), max(0, int(at.max()) + 1 - size)) for at, size in zip(places, call.x.shape[2:], strict=True)]
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
    room = [larger - size for larger, size in zip(around.shape[2:], x.shape[2:], strict=True)]
    for top, left in np.ndindex(room[0] + 1, room[1] + 1):
        words = f"the image begins at row {top}, column {left}: the zeros stand on other sides"
        if failure.quantity == "output":
            output = np.zeros_like(around)
            output[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
            yield Candidate("padding", words, output, Bound.exact(output))
        elif cotangent is not None:
            kept = cotangent[:, :, top : top + x.shape[2], left : left + x.shape[3]]
            yield Candidate("padding", words, kept, Bound.exact(kept))


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
            yield Candidate(
                name, f"of several windows that a pixel wins, the last one's gradient stays: {_INSTEAD}", pool.winners_only(call), _exactly
            )
    elif (layer := convolution(failure)) is not None:
        last = np.zeros_like(call.grad_output)
        last[:, -1] = call.grad_output[:, -1]
        bound = layer.rounding.bounds(layer, call, layer.vjp(call), failure.arithmetic)["grad_input"]
        for one, which in ((call, ""), (replace(call, grad_output=last), " of the last filter")):
            yield from _put_down(failure, layer.windows, layer.parts(one), which, bound)


_INSTEAD = "overwritten where it should be added up"


def _exactly() -> Bound:
    return Bound(0.0, 0.0)


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
        won = _first_winner(seen)
        along = failure.call.grad_output[..., None, None]
        size, times = (pool.windows.added(part, failure.call.x.shape) for part in (won * np.abs(along), won))
        yield Candidate("padded with zero", words, pool.windows.added(won * along, failure.call.x.shape), Bound(size, np.maximum(times - 1, 0)))


def padding_counted(failure: Failure) -> Iterator[Candidate]:
    """Divide an average by the size of the window where the padding does not count, or by the pixels inside the image where it does."""
    pool, call = _Pool.of(failure), failure.call
    if pool is None or pool.maximum or failure.quantity not in ("output", "grad_input"):
        return
    windows, area = pool.windows, math.prod(pool.windows.kernel)
    for divisor, words in (
        (np.asarray(float(area)), "the padding is counted: each sum is divided by the size of the window, where the pixels inside the image are due"),
        (pool.inside(call), "the padding is not counted: each sum is divided by the pixels inside the image, where the size of the window is due"),
    ):
        if failure.quantity == "output":
            seen = windows.seen(call.x)
            total, size = seen.sum(axis=(-2, -1)) / divisor, np.abs(seen).sum(axis=(-2, -1)) / divisor
            yield Candidate("padding counted", words, total, Bound(size, float(area + 2)))
        elif call.grad_output is not None:
            share = np.broadcast_to((call.grad_output / divisor)[..., None, None], (*call.grad_output.shape, *windows.kernel))
            expected, size = (windows.added(part, call.x.shape) for part in (share, np.abs(share)))
            yield Candidate("padding counted", words, expected, Bound(size, float(area + 2)))


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
        (height, width), (down, across), (top, left) = settings["kernel"], settings["stride"], settings["padding"]
        sizes = zip(call.x.shape[2:], (height, width), (down, across), (top, left), strict=True)
        rows, columns = ((size + 2 * padding - kernel) // stride + 1 for size, kernel, stride, padding in sizes)
        return cls(Windows((height, width), (down, across), (-top, -left), (rows, columns)), chooses(failure.oracle, call.x))

    def inside(self, call: Call) -> Array:
        """Return how many pixels of each window lie inside the image."""
        return np.asarray(self.windows.seen(np.ones_like(call.x)).sum(axis=(-2, -1)))

    def parts(self, call: Call) -> Iterator[Array]:
        """Yield what each window hands back to its pixels, ``(batch, channels, rows, columns, kernel height, kernel width)``."""
        assert call.grad_output is not None
        if self.maximum:
            yield _first_winner(self.windows.seen(call.x, -np.inf)) * call.grad_output[..., None, None]
            return
        area = float(math.prod(self.windows.kernel))
        for divisor in (np.full(call.grad_output.shape, area), self.inside(call)):
            yield np.broadcast_to((call.grad_output / divisor)[..., None, None], (*call.grad_output.shape, *self.windows.kernel))

    def winners_only(self, call: Call) -> Array:
        """Return the input's gradient where each window puts its number down at its winner and touches no other pixel."""
        assert call.grad_output is not None
        won = _first_winner(self.windows.seen(call.x, -np.inf))
        planes = np.zeros((call.x.shape[0] * call.x.shape[1], math.prod(call.x.shape[2:])))
        u, v = np.divmod(won.reshape(*won.shape[:4], -1).argmax(axis=-1), self.windows.kernel[1])
        rows, columns = self.windows.places(0)[:, 0][:, None] + u, self.windows.places(1)[:, 0] + v
        at = (rows * call.x.shape[3] + columns).reshape(len(planes), -1)
        # Of several numbers for one place NumPy keeps the last, as a loop would.
        planes[np.arange(len(planes))[:, None], at] = call.grad_output.reshape(len(planes), -1)
        return planes.reshape(call.x.shape)


def _first_winner(seen: Array) -> Array:
    """Return 1 at the first maximum of each window, 0 elsewhere."""
    flat = seen.reshape(*seen.shape[:4], -1)
    winners = np.arange(flat.shape[-1]) == flat.argmax(axis=-1)[..., None]
    return np.asarray(winners.reshape(seen.shape), dtype=np.float64)
