"""Faults that a fault model has to explain, each beside a near miss that it must not.

They are written as people write them, with loops, and share nothing with the fault models themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.operation import Call, Oracle
from crosscheck.core.precision import Array
from tests.support.planted import Change, Fault, Result, recomputed, replaced, with_weight

Place = tuple[slice, slice]


def cotangent(call: Call) -> Array:
    """Return the cotangent of a call that has one."""
    assert call.grad_output is not None
    return call.grad_output


def slope(derivative: Callable[[Array, Array], Array]) -> Change:
    """Return a change of an activation's gradient: its derivative as a function of input and output."""
    return lambda right, call, oracle: {"grad_input": cotangent(call) * derivative(call.x, right["output"])}


def handed_back(padding: int, place: Callable[[int, int], Place], add: bool = True, filters: slice = slice(None)) -> Change:
    """Return a change of a convolution's input gradient: the loop over output pixels, with the window that each one hands its part back to.

    Parameters
    ----------
    padding : int
    place : callable
        Gets row and column of an output pixel, returns the rows and columns of its window in the padded image.
    add : bool
        Whether parts are added up or put down.
    filters : slice
        Those that hand anything back.
    """

    def change(right: Result, call: Call, oracle: Oracle) -> Result:
        p, weight, grad_output = padding, call.params["weight"][filters], cotangent(call)[:, filters]
        grad = np.zeros((*call.x.shape[:2], *(size + 2 * p for size in call.x.shape[2:])))
        for row, column in np.ndindex(*grad_output.shape[2:]):
            part = np.einsum("nf,fcuv->ncuv", grad_output[:, :, row, column], weight)
            down, across = place(row, column)
            grad[:, :, down, across] = part + (grad[:, :, down, across] if add else 0)
        return {"grad_input": grad[:, :, p : p + call.x.shape[2], p : p + call.x.shape[3]]}

    return change


def window(row: int, column: int, size: int = 3, step: int = 1) -> Place:
    """Return the place of a square window of neighbouring pixels."""
    return slice(row * step, row * step + size), slice(column * step, column * step + size)


def pool_window_put_down(right: Result, call: Call, oracle: Oracle) -> Result:
    """Return a gradient of 3 x 3 max pooling in which each window is put down as a whole, zeros included."""
    grad = np.zeros_like(call.x)
    for n, c, row, column in np.ndindex(*cotangent(call).shape):
        seen = call.x[n, c, row : row + 3, column : column + 3]
        grad[n, c, row : row + 3, column : column + 3] = np.where(seen == seen.max(), cotangent(call)[n, c, row, column], 0)
    return {"grad_input": grad}


def weight_gradient_spread(spread: int) -> Change:
    """Return a change of the weight gradient of a 3 x 3 convolution whose kernel is spread so far."""

    def change(right: Result, call: Call, oracle: Oracle) -> Result:
        grad, rows, columns = np.zeros_like(call.params["weight"]), *cotangent(call).shape[2:]
        for u, v in np.ndindex(3, 3):
            seen = call.x[:, :, u * spread : u * spread + rows, v * spread : v * spread + columns]
            grad[:, :, u, v] = np.einsum("nchw,nfhw->fc", seen, cotangent(call))
        return {"weight.grad": grad}

    return change


def padded(above: int, below: int, mode: str = "constant") -> Change:
    """Return a change of the output of a 3 x 3 convolution with padding 1: rows above and below, one column on each side, filled in some way."""

    def change(right: Result, call: Call, oracle: Oracle) -> Result:
        image: Array = np.pad(call.x, ((0, 0), (0, 0), (above, below), (1, 1)), mode=mode)  # type: ignore[call-overload]
        seen = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(2, 3))
        return {"output": np.einsum("nchwuv,fcuv->nfhw", seen, call.params["weight"]) + call.params["bias"][:, None, None]}

    return change


def probabilities(x: Array, axis: int = 1) -> Array:
    """Return softmax along an axis."""
    raised = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(raised / raised.sum(axis=axis, keepdims=True))


def one_hot(call: Call) -> npt.NDArray[np.bool_]:
    """Return where the labels are."""
    return np.asarray(np.arange(call.x.shape[1]) == call.constants["labels"][:, None])


def loss(p: Callable[[Array], Array], about: Callable[[Array], Array] = lambda p: p) -> Change:
    """Return a change of the loss: the mean of -ln of the label's probability, and what it is made safe by."""
    return lambda right, call, oracle: {"output": np.asarray(-np.log(about(p(call.x)[one_hot(call)])).mean())}


def loss_gradient(made: Callable[[Array, Array], Array]) -> Change:
    """Return a change of the loss's gradient: a function of logits and one-hot labels, averaged over the batch."""

    def change(right: Result, call: Call, oracle: Oracle) -> Result:
        return {"grad_input": made(call.x, one_hot(call).astype(call.x.dtype)) / len(call.x) * cotangent(call)}

    return change


def gradient_made_safe(x: Array, onehot: Array) -> Array:
    """Return the derivative of -ln(p + 1e-7) by the logits."""
    p = probabilities(x)
    own = (p * onehot).sum(axis=1, keepdims=True)
    return np.asarray((p - onehot) * own / (own + 1e-7))


def labels(change: Callable[[npt.NDArray[Any], int], npt.NDArray[Any]]) -> Callable[[Call], Call]:
    """Return a function that changes the labels of a call; it gets them and the number of classes."""
    return lambda call: replace(call, constants={"labels": change(call.constants["labels"], call.x.shape[1])})


def _last_label_only(given: npt.NDArray[Any], classes: int) -> npt.NDArray[Any]:
    given = given.copy()
    given[-1] = (given[-1] + 1) % classes
    return given


def in_float32(call: Call) -> Call:
    """Return a call whose input went through float32."""
    return replace(call, x=call.x.astype(np.float32).astype(np.float64))


def _computed_in_float32(right: Result, call: Call, oracle: Oracle) -> Result:
    # The bias is added in float64, so that the result itself is not one of float32's numbers.
    without = replace(call, grad_output=None, params={**call.params, "bias": 0 * call.params["bias"]})
    return {"output": oracle.vjp(without.astype(np.float32))["output"].astype(np.float64) + call.params["bias"][:, None, None]}


def _relative(size: float) -> Callable[[Array], Array]:
    return lambda a: a * (1 + size * np.random.default_rng(0).standard_normal(a.shape))


def _first_row_lost(array: Array) -> Array:
    array = array.copy()
    array[..., 0, :] = 0
    return array


def _ends_lost(array: Array) -> Array:
    array = array.copy()
    array[..., -1, :] = 0
    array[..., -1] = 0
    return array


def _only_first(array: Array) -> Array:
    return np.concatenate([array[:1], np.zeros_like(array[1:])])


def regrouped(array: Array) -> Array:
    """Return a matrix whose columns, 3 groups of 4, stand as 4 groups of 3."""
    return array.reshape(-1, 3, 4).transpose(0, 2, 1).reshape(len(array), 12)


def _last_position(call: Call) -> Call:
    only = np.zeros_like(cotangent(call))
    only[:, :, -1, -1] = cotangent(call)[:, :, -1, -1]
    return replace(call, grad_output=only)


def _stepped(step: Callable[[Array], Array]) -> Change:
    """Return a change of the input's gradient of a linear layer: made from the weight after a step."""

    def change(right: Result, call: Call, oracle: Oracle) -> Result:
        return {"grad_input": cotangent(call) @ (call.params["weight"] - step(right["weight.grad"]))}

    return change


def _no_bias(call: Call) -> Call:
    return replace(call, params={**call.params, "bias": 0 * call.params["bias"]})


def _turned(weight: Array) -> Array:
    return weight[..., ::-1, ::-1]


def output(case: str, change: Change, cause: str | None) -> Fault:
    """Return a row in which the output is wrong."""
    return Fault(case, change, ("output",), cause)


def backward(case: str, change: Change, cause: str | None) -> Fault:
    """Return a row in which the input's gradient is wrong."""
    return Fault(case, change, ("grad_input",), cause)


def gradient(case: str, change: Change, cause: str | None) -> Fault:
    """Return a row in which the weight's gradient is wrong."""
    return Fault(case, change, ("weight.grad",), cause)


LOSS = "softmaxcrossentropy"


def _smoothed_loss(right: Result, call: Call, oracle: Oracle) -> Result:
    """Return the loss with a fifth of each target shared among all classes."""
    total = 0.0
    for row, label in zip(np.log(probabilities(call.x)), call.constants["labels"], strict=True):
        total -= 0.8 * row[label] + 0.2 * row.mean()
    return {"output": np.asarray(total / len(call.x))}


def _with_penalty(penalty: Callable[[Array], Array]) -> Change:
    """Return a change of the weight gradient: the derivative of a penalty is in it."""
    return lambda right, call, oracle: {"weight.grad": right["weight.grad"] + penalty(call.params["weight"])}


def tanh_by_exponentials(right: Result, call: Call, oracle: Oracle) -> Result:
    """Return a hyperbolic tangent whose digits cancel around zero."""
    x = np.clip(call.x, -40, 40)
    return {"output": (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))}


def _off_by_a_part(right: Result, call: Call, oracle: Oracle) -> Result:
    """Return a small hyperbolic tangent, each number of which is off by as many roundings of its own."""
    return {"output": right["output"] * (1 + 1e-14 * np.sin(1e15 * call.x / np.abs(call.x).max()))}


CAUSES: dict[str, Fault] = {
    "sigmoid-of-input": backward("sigmoid", slope(lambda x, y: x * (1 - x)), "derivative at the wrong value"),
    "sigmoid-at-output": backward(
        "sigmoid", recomputed("grad_input", lambda c: replace(c, x=1 / (1 + np.exp(-c.x)))), "derivative at the wrong value"
    ),
    "sigmoid-squared": backward("sigmoid", slope(lambda x, y: y * (1 - y) ** 2), None),
    "tanh-by-exponentials": output("tanh", tanh_by_exponentials, "cancellation"),
    "tanh-by-exponentials-wide": replace(output("tanh", tanh_by_exponentials, "cancellation"), family="wide"),
    "tanh-by-exponentials-tiny": replace(output("tanh", tanh_by_exponentials, "cancellation"), family="tiny"),
    "tanh-by-exponentials-single": replace(output("tanh", tanh_by_exponentials, "cancellation"), dtype="float32"),
    "tanh-with-epsilon": replace(output("tanh", replaced("output", lambda a: a + 1e-16), None), family="wide"),
    "tanh-with-epsilon-tiny": replace(output("tanh", replaced("output", lambda a: a + 1e-16), None), family="tiny"),
    "tanh-off-by-a-part": output("tanh", _off_by_a_part, None),
    "tanh-off-by-a-part-tiny": replace(output("tanh", _off_by_a_part, None), family="tiny"),
    "tanh-cut-off": replace(output("tanh", replaced("output", lambda a: np.where(np.abs(a) < 1e-16, 0, a)), "not computed"), family="tiny"),
    "tanh-of-input": backward("tanh", slope(lambda x, y: 1 - x**2), "derivative at the wrong value"),
    "tanh-not-squared": backward("tanh", slope(lambda x, y: 1 - y), None),
    "tanh-left-out": backward("tanh", slope(lambda x, y: np.ones_like(x)), "derivative left out"),
    "leaky-wrong-side": backward("leakyrelu", slope(lambda x, y: np.where(x > 0, 0.1, 1.0)), "derivative at the wrong value"),
    "leaky-other-slope": backward("leakyrelu", slope(lambda x, y: np.where(x > 0, 1.0, 0.2)), None),
    "stride-ignored": backward("conv2d-s2p1", handed_back(1, window), "stride ignored"),
    "stride-of-three": backward("conv2d-s2", handed_back(5, lambda i, j: window(i, j, step=3)), None),
    "dilation-ignored": backward("conv2d-d2", handed_back(0, window), "dilation ignored"),
    "dilation-ignored-in-weight-grad": gradient("conv2d-d2", weight_gradient_spread(1), "dilation ignored"),
    "padding-lopsided": output("conv2d-p1", padded(2, 0), "padding"),
    "padding-of-edges": output("conv2d-p1", padded(1, 1, "edge"), "padding"),
    "padding-of-means": output("conv2d-p1", padded(1, 1, "mean"), None),
    "crop-off-by-one": backward("conv2d-p1", handed_back(1, lambda i, j: window(i + 1, j, size=3) if i < 4 else window(i, j)), None),
    "conv-overwritten": backward("conv2d-channels", handed_back(0, window, add=False), "overwritten"),
    "conv-last-filter-overwritten": backward("conv2d-channels", handed_back(0, window, add=False, filters=slice(-1, None)), "overwritten"),
    "conv-first-filter-alone": backward("conv2d-channels", handed_back(0, window, filters=slice(1)), None),
    "conv-last-position": gradient("conv2d-channels", recomputed("weight.grad", _last_position), "overwritten"),
    "pool-windows-put-down": backward("maxpool2d-3s1", pool_window_put_down, "overwritten"),
    "channels-in-reverse": output("conv2d-channels", replaced("output", lambda a: a[:, ::-1]), "channels permuted"),
    "channels-bgr": output("conv2d-channels", recomputed("output", lambda c: replace(c, x=c.x[:, ::-1])), "channels permuted"),
    "channels-repeated": output("conv2d-channels", replaced("output", lambda a: a[:, [0, 1, 2, 2]]), None),
    "samples-in-reverse": backward("linear", replaced("grad_input", lambda a: a[::-1]), "channels permuted"),
    "flatten-grad-order": backward(
        "flatten", lambda right, call, oracle: {"grad_input": cotangent(call).reshape(-1, 4, 5, 3).transpose(0, 3, 1, 2)}, "flatten order"
    ),
    "flatten-within-linear": output("linear", recomputed("output", with_weight(regrouped)), "flatten order"),
    "flatten-within-weight-grad": gradient("linear", replaced("weight.grad", regrouped), "flatten order"),
    "columns-in-some-order": output("linear", recomputed("output", with_weight(lambda w: w[:, [3, 1, 0, 2, 7, 4, 5, 6, 11, 8, 9, 10]])), None),
    "reshaped-for-transposed": output("linear", replaced("output", lambda a: a.T.reshape(a.shape)), "transposed"),
    "first-row-lost": output("conv2d-channels", replaced("output", _first_row_lost), "border lost"),
    "kernel-row-lost": gradient("conv2d-channels", replaced("weight.grad", _first_row_lost), "border lost"),
    "first-sample-only": output("linear", replaced("output", _only_first), "one sample only"),
    "label-before": output(LOSS, recomputed("output", labels(lambda given, classes: (given - 1) % classes)), "label off by one"),
    "label-clipped": backward(LOSS, recomputed("grad_input", labels(lambda given, classes: np.minimum(given + 1, classes - 1))), "label off by one"),
    "label-of-last-sample": output(LOSS, recomputed("output", labels(_last_label_only)), None),
    "onehot-left-out": backward(LOSS, loss_gradient(lambda x, onehot: probabilities(x)), "one-hot left out"),
    "labels-smoothed": output(LOSS, _smoothed_loss, "labels smoothed"),
    "labels-smoothed-in-gradient": backward(
        LOSS, loss_gradient(lambda x, onehot: probabilities(x) - 0.8 * onehot - 0.2 / x.shape[1]), "labels smoothed"
    ),
    "labels-smoothed-among-the-others": backward(
        LOSS, loss_gradient(lambda x, onehot: probabilities(x) - 0.8 * onehot - 0.2 * (1 - onehot) / x.shape[1]), None
    ),
    "weight-decay-in-gradient": gradient("conv2d-channels", _with_penalty(lambda weight: 5e-4 * weight), "weight decay"),
    "weight-decay-of-any-size": gradient("conv2d-channels", _with_penalty(lambda weight: weight / 7), "weight decay"),
    "decay-by-sign": gradient("conv2d-channels", _with_penalty(lambda weight: 5e-4 * np.sign(weight)), None),
    "onehot-halved": backward(LOSS, loss_gradient(lambda x, onehot: probabilities(x) - onehot / 2), None),
    "softmax-twice-in-gradient": backward(LOSS, loss_gradient(lambda x, onehot: probabilities(probabilities(x)) - onehot), "softmax twice"),
    "softmax-over-batch": output(LOSS, loss(lambda x: probabilities(x, axis=0)), "wrong axis"),
    "softmax-over-batch-in-gradient": backward(LOSS, loss_gradient(lambda x, onehot: probabilities(x, axis=0) - onehot), "wrong axis"),
    "logsoftmax-over-batch": output("logsoftmax", lambda right, call, oracle: {"output": np.log(probabilities(call.x, axis=0))}, "wrong axis"),
    "constant-1e-7": output(LOSS, loss(probabilities, lambda p: p + 1e-7), "constant in the logarithm"),
    "constant-1e-7-in-gradient": backward(LOSS, loss_gradient(gradient_made_safe), "constant in the logarithm"),
    "constant-inside-sum": output(LOSS, loss(probabilities, lambda p: p * (1 + 1e-7)), None),
    "input-in-float32": output("conv2d-channels", recomputed("output", in_float32), "lower precision"),
    "computed-in-float32": output("conv2d-channels", _computed_in_float32, "lower precision"),
    "rounded-to-4-decimals": output("conv2d-channels", replaced("output", lambda a: np.round(a, 4)), "digits cut off"),
    "whole-numbers": gradient("conv2d-channels", replaced("weight.grad", np.trunc), "digits cut off"),
    "offset-taken-off": output("conv2d-channels", replaced("output", lambda a: (a + 2.0**20) - 2.0**20), "digits cut off"),
    "nearly-whole-numbers": gradient("conv2d-channels", replaced("weight.grad", lambda a: np.trunc(a) * (1 + 1e-9)), None),
    "columns-mirrored": output("conv2d-channels", replaced("output", lambda a: a[..., ::-1]), "mirrored"),
    "as-wrong-as-float32": output("conv2d-channels", replaced("output", _relative(1e-8)), None),
    "step-before-gradient": backward("linear", _stepped(lambda grad: 0.01 * grad), "updated weight"),
    "step-of-signs": backward("linear", _stepped(lambda grad: 0.01 * np.sign(grad)), None),
    "mean-over-positions": gradient("conv2d-channels", replaced("weight.grad", lambda a: a / 20), "constant factor"),
    "flipped-without-bias": output(
        "conv2d-channels", recomputed("output", lambda call: with_weight(_turned)(_no_bias(call))), "bias left out + kernel flipped"
    ),
    "flipped-with-sign": backward(
        "conv2d-channels",
        lambda right, call, oracle: {"grad_input": -oracle.vjp(with_weight(_turned)(call))["grad_input"]},
        "kernel flipped + constant factor",
    ),
    "both-ends-lost": output("conv2d-channels", replaced("output", _ends_lost), "border lost + border lost"),
    "label-and-sum": backward(
        LOSS,
        lambda right, call, oracle: {"grad_input": 3 * oracle.vjp(labels(lambda given, classes: (given + 1) % classes)(call))["grad_input"]},
        "label off by one + constant factor",
    ),
}
