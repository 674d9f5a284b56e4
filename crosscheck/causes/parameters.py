"""Parameters used wrongly: the bias left out, the weight transposed or flipped, or the weight used after its update."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from crosscheck.causes.candidate import Candidate, formula, moved, recomputed
from crosscheck.causes.scale import multiple_of
from crosscheck.core.check_layer import Failure
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Bound
from crosscheck.oracles.running_error import Tracked


def with_param(call: Call, name: str, value: Array) -> Call:
    """Return a call in which one parameter has another value."""
    return replace(call, params={**call.params, name: np.ascontiguousarray(value)})


def weights(call: Call, ndim: int = 2) -> Iterator[tuple[str, Array]]:
    """Yield the name and the value of each parameter that has at least ``ndim`` axes."""
    yield from ((name, value) for name, value in call.params.items() if value.ndim >= ndim)


def bias_left_out(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the bias is not added."""
    for name, bias in failure.call.params.items():
        if failure.quantity == "output" and name.endswith("bias") and bias.any():
            without = with_param(failure.call.forward, name, np.zeros_like(bias))
            yield recomputed(failure, "bias left out", f"the {name} is not added", without)


def bias_along_another_axis(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the bias is added along another axis of the same length, or its gradient is summed over the wrong axes."""
    call, cotangent = failure.call, failure.call.grad_output
    for name, bias in call.params.items():
        if not name.endswith("bias") or bias.ndim != 1 or len(bias) < 2:
            continue
        if failure.quantity == "output":
            without = recomputed(failure, "wrong axis", "", with_param(call.forward, name, np.zeros_like(bias)))
            for axis in _axes_of_length(without.expected, len(bias)):
                words = f"the {name} is added along axis {axis} of the output instead of axis 1"
                along = bias.reshape([-1 if place == axis else 1 for place in range(without.expected.ndim)])
                limits = without.limits(failure)
                bound = Bound(limits.abs_sum + np.abs(along), limits.n_roundings + np.float64(1))
                yield Candidate("wrong axis", words, without.expected + along, bound)
        elif failure.quantity == f"{name}.grad" and cotangent is not None:
            for axis in _axes_of_length(cotangent, len(bias)):
                others = tuple(place for place in range(cotangent.ndim) if place != axis)
                words = f"the upstream gradient is summed over the axes {others}, including axis 1, which must remain"
                yield formula(failure, "wrong axis", words, Tracked.exact(cotangent, failure.precision).sum(axis=others))


def _axes_of_length(array: Array, length: int) -> list[int]:
    return [axis for axis, size in enumerate(array.shape) if size == length and axis != 1]


def weight_transposed(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the rows and columns of a square matrix or kernel are exchanged, or the input and output channels of a kernel."""
    for name, weight in weights(failure.call):
        rows, columns = _window(name, weight)
        if weight.shape[rows] == weight.shape[columns] > 1:
            words = f"the {name} is used with its rows and columns exchanged"
            yield recomputed(failure, "transposed", words, with_param(failure.call, name, np.swapaxes(weight, rows, columns)))
        into, out = (2, 3) if name.endswith("kernel") else (1, 0)
        if weight.ndim == 4 and weight.shape[into] == weight.shape[out] > 1:
            words = f"the {name} is used with its input and output channels exchanged"
            yield recomputed(failure, "transposed", words, with_param(failure.call, name, np.swapaxes(weight, into, out)))


def _window(name: str, weight: Array) -> tuple[int, int]:
    """Return a weight's row and column axes: the last two, or the first two if it is a Keras kernel, ``(rows, columns, in, out)``."""
    return (0, 1) if name.endswith("kernel") else (weight.ndim - 2, weight.ndim - 1)


def kernel_flipped(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the kernel is rotated by 180 degrees, as in a mathematical convolution, which is not a cross-correlation."""
    words = "the kernel is rotated by 180 degrees (convolution instead of cross-correlation)"
    for name, weight in weights(failure.call, ndim=4):
        turned = partial(np.flip, axis=_window(name, weight))
        if failure.quantity == f"{name}.grad":
            yield moved(failure, "kernel flipped", words, turned)
        else:
            yield recomputed(failure, "kernel flipped", words, with_param(failure.call, name, turned(weight)))


def channels_of_input_permuted(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the input's channels are in reverse order, such as BGR instead of RGB, or the channels of several groups are interleaved."""
    x, name = failure.call.x, "channels permuted"
    if x.ndim != 4 or failure.quantity == "grad_input" or not any(weights(failure.call, ndim=4)):
        return
    channels = x.shape[1]
    if channels > 1:
        words = "the input's channels are read in reverse order, like BGR instead of RGB"
        yield recomputed(failure, name, words, failure.call.with_x(x[:, ::-1].copy()))
    for groups in (groups for groups in range(2, channels) if channels % groups == 0):
        order = np.arange(channels).reshape(groups, -1).T.ravel()
        words = f"the input's channels are read in the order {', '.join(map(str, order))}: wrongly interleaved or deinterleaved"
        yield recomputed(failure, name, words, failure.call.with_x(x[:, order]))


def updated_weight(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the input gradient is computed from the updated weight, W - rate dW; the rate is the one that fits best."""
    call = failure.call
    if failure.quantity != "grad_input" or call.grad_output is None or not call.params:
        return
    result = failure.oracle.vjp(call)
    grads = {name: result[f"{name}.grad"] for name in call.params}
    away = failure.oracle.vjp(replace(call, params={name: value - grads[name] for name, value in call.params.items()}))["grad_input"]
    # If a layer is linear in its weight, the change of its input gradient is proportional to the rate.
    rate = multiple_of(failure.expected - away, failure.expected - failure.found.astype(np.float64), digits=2, near=1e-3)
    if rate:
        yield from _after_a_step(failure, rate)


def _after_a_step(failure: Failure, rate: float) -> Iterator[Candidate]:
    """Yield the input gradient that the parameters give after a step of gradient descent."""
    call = failure.call
    grads = {name: failure.oracle.vjp(call)[f"{name}.grad"] for name in call.params}
    after = {name: value - rate * grads[name] for name, value in call.params.items()}
    down = f"a step of {rate:.6g} down their gradients"
    words = f"the input gradient is computed from the parameters after {down} instead of the parameters of the forward pass"
    yield replace(recomputed(failure, "updated weight", words, replace(call, params=after), fitted=True), again=partial(_after_a_step, rate=rate))
