"""Mistakes in an activation's gradient: the derivative is left out, masked by the wrong array, or taken at the wrong value."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
"""Derivatives of sigmoid, tanh and exp, each as a tuple: the formula in terms of the output y as text, the same formula wrongly applied to the
input x, and the formula as a function."""


def derivative_left_out(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the upstream gradient is passed on unchanged (everywhere, or only at inputs of 0), or is masked by its own sign."""
    cotangent, x = _of_activation(failure), failure.call.x
    if cotangent is None:
        return
    yield Candidate("derivative left out", "the upstream gradient is passed on unchanged, without the derivative", cotangent)
    if (x == 0).any():
        at_zero = np.where(x == 0, cotangent, failure.expected)
        words = f"the upstream gradient is passed on unchanged at the {int((x == 0).sum())} inputs that are exactly 0"
        yield Candidate("derivative at zero", words, at_zero)
    if failure.oracle.decisions(x) is not None:
        words = "the upstream gradient is masked by its own sign instead of the input's"
        yield Candidate("mask of the wrong array", words, np.maximum(cotangent, 0))


def derivative_at_the_wrong_value(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the derivative is taken at the output or at -x, or a formula written for the output is applied to the input x."""
    cotangent, call = _of_activation(failure), failure.call
    if cotangent is None:
        return
    name, output = "derivative at the wrong value", failure.oracle.vjp(call.forward)["output"]
    if output.shape != call.x.shape:
        return
    g, precision = Tracked.exact(cotangent, failure.precision), failure.precision
    for right, wrong, derivative in _BY_OUTPUT:
        if (np.abs(cotangent * derivative(output) - failure.expected) <= precision.tolerance(failure.bound)).all():
            slope = derivative(Tracked.exact(call.x, precision))
            yield formula(failure, name, f"the derivative is computed as {wrong} from the input x, instead of {right} from the output y", g * slope)
    yield recomputed(failure, name, "the derivative is taken at the output instead of the input", call.with_x(output))
    yield recomputed(failure, name, "the derivative is taken at -x instead of x", call.with_x(-call.x))


def _of_activation(failure: Failure) -> Array | None:
    """Return the upstream gradient if the quantity is the input gradient of an operation without parameters that keeps the shape; otherwise None."""
    cotangent, x = failure.call.grad_output, failure.call.x
    if failure.quantity != "grad_input" or failure.call.params or cotangent is None or cotangent.shape != x.shape:
        return None
    # If the shapes differ, only some of the elements were judged.
    return cotangent if failure.expected.shape == x.shape else None
