"""An activation's derivative left out, decided by the wrong array, or taken at the wrong value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from crosscheck.causes.candidate import Candidate, formula, recomputed
from crosscheck.core.check_layer import Failure
from crosscheck.core.precision import Array
from crosscheck.oracles.running_error import Operand, Tracked

_BY_OUTPUT: tuple[tuple[str, str, Callable[[Operand], Operand]], ...] = (
    ("y (1 - y)", "x (1 - x)", lambda y: y * (1 - y)),
    ("1 - y²", "1 - x²", lambda y: 1 - np.square(y)),
    ("y", "x", lambda y: y),
)
"""Derivatives that are written by the output y, of the sigmoid, the hyperbolic tangent and the exponential; the same written by the input x; both."""


def derivative_left_out(failure: Failure) -> Iterator[Candidate]:
    """Hand the cotangent on as it is, everywhere or where an activation has its kink, or let the cotangent's sign decide."""
    cotangent, x = _of_activation(failure), failure.call.x
    if cotangent is None:
        return
    yield Candidate("derivative left out", "the cotangent is handed on as it is, without the derivative", cotangent)
    if (x == 0).any():
        at_zero = np.where(x == 0, cotangent, failure.expected)
        yield Candidate("derivative at zero", f"at the {int((x == 0).sum())} inputs that are exactly 0 the cotangent is let through", at_zero)
    if failure.oracle.decisions(x) is not None:
        yield Candidate("mask of the wrong array", "the sign of the cotangent decides, where that of the input has to", np.maximum(cotangent, 0))


def derivative_at_the_wrong_value(failure: Failure) -> Iterator[Candidate]:
    """Take the derivative at the output, at the input's negative, or by a formula for the output at the input."""
    cotangent, call = _of_activation(failure), failure.call
    if cotangent is None:
        return
    name, output = "derivative at the wrong value", failure.oracle.vjp(replace(call, grad_output=None))["output"]
    if output.shape != call.x.shape:
        return
    g, precision = Tracked.exact(cotangent, failure.precision), failure.precision
    for right, wrong, derivative in _BY_OUTPUT:
        if _is(failure, cotangent * derivative(output)):
            slope = derivative(Tracked.exact(call.x, precision))
            yield formula(failure, name, f"the derivative is {wrong} of the input, where {right} of the output is due", g * slope)
    yield recomputed(failure, name, "the derivative is taken at the output, where it has to be taken at the input", replace(call, x=output))
    yield recomputed(failure, name, "the derivative is that of the other side: it is taken at -x", replace(call, x=-call.x))


def _of_activation(failure: Failure) -> Array | None:
    """Return the cotangent of an operation whose derivative may be another number at each element of the input; None of any other."""
    cotangent, x = failure.call.grad_output, failure.call.x
    if failure.quantity != "grad_input" or failure.call.params or cotangent is None or cotangent.shape != x.shape:
        return None
    # Where shapes differ, only some of the elements could be judged.
    return cotangent if failure.expected.shape == x.shape else None


def _is(failure: Failure, other: Array) -> bool:
    """Return whether numbers are the right result, as far as rounding can tell."""
    with np.errstate(invalid="ignore"):
        return bool((np.abs(other - failure.expected) <= failure.precision.tolerance(failure.bound)).all())
