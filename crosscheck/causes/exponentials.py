"""Exponentials that overflow, and logarithms of probabilities that underflow to 0: results that are not finite although the right ones are.

The evidence is which elements are not finite: exactly those for which the exponential, computed here in the same precision, leaves the range. An
operation on single numbers shows this by each number, softmax and its relatives by each row; an experiment with the reference tells which numbers
belong together. Further calls, whose numbers stay within the range or leave it to one side, tell exp(x) from exp(-x) and from other overflows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.causes.candidate import Candidate, bound_of_size
from crosscheck.core.check_layer import Failure
from crosscheck.core.inputs import arranged, memory_of
from crosscheck.core.operation import Call
from crosscheck.core.precision import ELEMENTARY, Array, Bound

Mask = npt.NDArray[np.bool_]

_OVERFLOW, _UNDERFLOW = "exponential overflows", "logarithm of an underflow"

_ORDINARY, _INSIDE, _ABOVE, _BEYOND = 0.01, 0.9, 1.03, 2.0
"""Numbers of further calls reach up to these multiples of the largest argument of exp. Numbers that are nearer to it than the first, and as far above
it, are moved away: there x exp(x) overflows and exp(x) does not, or exp(x) overflows and cosh(x) does not."""

_SIGNS = ((1, "exp(x)", "x above "), (-1, "exp(-x)", "x below -"))


def exponential_overflows(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: exp is taken of numbers that are too large for it."""
    values = _Exponentials.of(failure)
    if values is None:
        return
    axes = values.coupled_axes
    for axis in axes:
        for shift, words in _SHIFTS.items():
            for mask in values.of_rows(axis, _shifted(shift, values.x, axis)):
                yield values.candidate(_OVERFLOW, words.format(axis=axis), *mask)
    if axes:
        return
    for times in (1, 2):
        largest, single = values.largest / times, list[Mask]()
        for sign, _, where in _SIGNS:
            overflows = np.isinf(values.exp(sign * times))
            single.append(overflows)
            yield values.candidate(_OVERFLOW, values.in_words(sign, times, f"{where}{largest:.3g}"), overflows, times=times)
        words = f"exp(x) and exp(-x) overflow for abs(x) above {largest:.3g}: use one exponential that cannot, exp(-abs(x))"
        yield values.candidate(_OVERFLOW, words, single[0] | single[1], times=times)


def logarithm_of_underflow(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the logarithm is taken of a softmax, in which small probabilities underflow to 0."""
    values = _Exponentials.of(failure)
    if values is None:
        return
    for axis in values.coupled_axes:
        words = "the logarithm is taken of a probability that underflows to 0: subtract log(sum(exp)) from the shifted logits instead"
        yield values.candidate(_UNDERFLOW, words, *values.vanishing(axis))


def logarithm_of_sigmoid(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the logarithm is taken of a sigmoid that underflows to 0."""
    values = _Exponentials.of(failure)
    if values is None or values.coupled_axes or values.x.shape != failure.expected.shape:
        return
    for sign, name, _ in _SIGNS:
        vanishes = np.asarray(values.exp(sign) == 0)
        # The logarithm of a number that small is as large as x.
        if (np.abs(failure.expected) < np.abs(values.x) / 2)[vanishes].any():
            continue
        words = f"the logarithm is taken of a number that underflows to 0 like {name}: compute it from x, as log1p(exp(-abs(x))) does"
        yield values.candidate(_UNDERFLOW, words, vanishes)


_SHIFTS = {
    "": "exp overflows: the largest number of each row is not subtracted first; use exp(x - x.max(axis={axis}, keepdims=True))",
    "mean": "exp overflows: the mean of each row is subtracted first, expected its largest number; use x.max(axis={axis}, keepdims=True)",
    "batch": "exp underflows to 0 in whole rows: the largest number of all is subtracted; use that of each row, x.max(axis={axis}, keepdims=True)",
}
"""What may be subtracted before the exponentials in place of each row's largest number, and what to say about it."""


def _shifted(shift: str, x: Array, axis: int) -> Array:
    if not shift:
        return x
    return np.asarray(x - (x.max() if shift == "batch" else x.mean(axis=axis, keepdims=True)))


@dataclass(frozen=True)
class _Exponentials:
    """The exponentials of an operation's input, in the subject's precision."""

    failure: Failure
    x: Array

    @classmethod
    def of(cls, failure: Failure) -> _Exponentials | None:
        """Return the exponentials of the first input; None if it has no real numbers."""
        if not failure.call.inputs or not failure.call.x.size or not failure.call.x.ndim:
            return None
        return cls(failure, failure.call.x.astype(failure.precision.dtype))

    @property
    def largest(self) -> float:
        """The largest number whose exponential does not overflow."""
        return math.log(float(np.finfo(self.x.dtype).max))

    def exp(self, times: float) -> Array:
        return np.asarray(np.exp(self.x.dtype.type(times) * self.x))

    @cached_property
    def coupled_axes(self) -> list[int]:
        """The axes along which an output depends on two numbers together, as in a softmax; none for operations on single numbers and their sums.

        If it does not, changing both numbers changes the output by the sum of what changing each of them does.
        """
        call = self.failure.call.forward
        base, found = np.random.default_rng(0).standard_normal(self.x.shape), list[int]()

        def output(*places: tuple[int, ...]) -> Array:
            x = base.copy()
            for place in places:
                x[place] += 1
            return self.failure.oracle.vjp(call.with_x(x))[call.outputs[0]]

        first = (0,) * base.ndim
        for axis, length in enumerate(base.shape):
            if length > 1:
                second = tuple(int(place == axis) for place in range(base.ndim))
                together = output(first, second) - output(first) - output(second) + output()
                if np.abs(together).max(initial=0.0) > math.sqrt(float(np.finfo(np.float64).eps)):
                    found.append(axis)
        return found

    def of_rows(self, axis: int, shifted: Array) -> Iterator[tuple[Mask, Mask, Mask]]:
        """Yield where results made of exponentials and their sums along an axis are not finite, where they may be 0, and where they have no digits.

        The results are the quotient of exponential and sum, its logarithm, the logarithm of the sum, and gradients, which mix a row's numbers.
        """
        raised = np.exp(shifted)
        total = raised.sum(axis=axis, keepdims=True)
        quotient = raised / total
        rows = partial(np.broadcast_to, shape=self.x.shape)
        beyond = rows(np.isinf(total) | (total == 0))
        # The digits of subnormal numbers are lost.
        tiny = np.finfo(self.x.dtype).tiny
        lost = rows(total < tiny / np.finfo(self.x.dtype).eps)
        undefined = ~np.isfinite(quotient)
        for mask in (undefined, rows(undefined.any(axis=axis, keepdims=True)), beyond):
            yield mask, beyond, lost
        yield self.at_labels(~np.isfinite(np.log(quotient))), beyond, np.asarray(lost | (quotient < tiny))

    def vanishing(self, axis: int) -> tuple[Mask, Mask, Mask]:
        """Return where the softmax along an axis underflows to 0, although no exponential overflows, as :meth:`of_rows` does."""
        raised = np.exp(self.x - self.x.max(axis=axis, keepdims=True))
        quotient = raised / raised.sum(axis=axis, keepdims=True)
        return self.at_labels(np.asarray(quotient == 0)), np.zeros(self.x.shape, bool), np.asarray(quotient < np.finfo(self.x.dtype).tiny)

    def at_labels(self, mask: Mask) -> Mask:
        """Return a mask of log-probabilities; for a loss with labels, only those of the labels."""
        labels = self.failure.call.constants.get("labels")
        if labels is None or mask.ndim != 2 or labels.shape != mask.shape[:1] or self.failure.quantity in self.failure.call.variables():
            return mask
        return np.asarray(mask & (np.arange(mask.shape[1]) == labels[:, None]))

    def in_words(self, sign: int, times: int, where: str) -> str:
        """Return the sentence for an exponential that overflows; it names log(1 + exp(x)) if the right results are those of this formula."""
        power = "x" if sign > 0 else "-x"
        if times > 1:
            return f"exp({times * sign} x), or the square of exp({power}), overflows for {where}: use a form with exp(-abs(x)), which cannot"
        right, softplus = self.failure.expected, np.logaddexp(0, sign * self.x.astype(np.float64))
        near = math.sqrt(self.failure.precision.unit) * softplus
        if right.shape == self.x.shape and self.failure.quantity == "output" and (np.abs(np.abs(right) - softplus) <= near).all():
            return f"log(1 + exp({power})) overflows for {where}: use max({power}, 0) + log1p(exp(-abs(x))), which cannot"
        return f"exp({power}) overflows for {where}: use a form with exp(-abs(x)), which cannot"

    def candidate(self, name: str, words: str, mask: Mask, zeros: Mask | None = None, lost: Mask | None = None, times: int = 1) -> Candidate:
        """Return the right numbers, but NaN where a mask of the input says so; what is finite may be off by a rounding error of the large numbers."""
        failure = self.failure
        found, right = failure.found.astype(np.float64), failure.expected
        as_result = partial(_reduced, shape=right.shape)
        bad, none = as_result(mask), np.zeros(right.shape, bool)
        beyond = none if zeros is None or zeros.shape != right.shape else zeros
        unknown = none if lost is None else as_result(lost)
        if zeros is None and self.x.shape == right.shape:
            # A quotient by the square of an overflowing exponential is 0.
            beyond = np.isinf(self.exp(2)) | np.isinf(self.exp(-2))
        kept = np.isfinite(found) & ((beyond & (found == 0)) | unknown)
        expected = np.where(bad, np.nan, np.where(kept, found, right))
        size = self.largest
        if failure.quantity in failure.call.variables():
            size *= max((float(np.abs(value).max(initial=0.0)) for value in failure.call.cotangents.values()), default=1.0)
        room = failure.precision.tolerance(failure.bound) + failure.precision.tolerance(Bound(size, ELEMENTARY))
        return Candidate(name, words, expected, bound_of_size(failure, room), shown=True, probes=_probes(self.largest / times))


def _reduced(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """Return a mask of an input as a mask of a result: as it is, or reduced along the axes that the result lacks."""
    if mask.shape == shape:
        return mask
    for axis in range(mask.ndim):
        for keepdims in (False, True):
            reduced = np.asarray(mask.any(axis=axis, keepdims=keepdims))
            if reduced.shape == shape:
                return reduced
    if math.prod(shape) == 1:
        return np.asarray(mask.any()).reshape(shape)
    raise LookupError(f"a result of shape {shape} does not follow from an input of shape {mask.shape}")


def _probes(largest: float) -> Callable[[Call], Iterator[Call]]:
    """Return calls whose numbers are of ordinary size, stay below the largest argument of exp, exceed it, or fall below its negative."""
    wide = ((-_ORDINARY, _ORDINARY), (-_INSIDE, _INSIDE), (-_INSIDE, _BEYOND), (-_BEYOND, _INSIDE))
    # Large numbers that are close to each other: their exponentials overflow, but no probability, and not even exp(-x), underflows to 0.
    close = tuple((sign * _ABOVE, sign * (_ABOVE + _ORDINARY)) for sign in (1, -1))

    def spread(call: Call) -> Iterator[Call]:
        rng = np.random.default_rng(0)
        for low, high in (*wide, *close):
            numbers = rng.permutation(np.linspace(low * largest, high * largest, call.x.size))
            near = (np.abs(np.abs(numbers) / largest - 1) < 1 - _INSIDE) & ((low, high) in wide)
            numbers = np.where(near, numbers * (1 + 2 * (1 - _INSIDE)), numbers)
            x: Any = arranged(numbers.reshape(call.x.shape).astype(call.dtype), memory_of(call.x))
            yield call.with_x(x)

    return spread
