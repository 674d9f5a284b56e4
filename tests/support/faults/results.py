"""Mistakes in results: PyTorch's own layers in the subject's precision, with one result changed, each beside near misses that have no known cause.

They judge the judge of one call. They are written as people write them, with loops, and share nothing with the fault models. None of them uses a
scratch layer's arithmetic, so that they stay what they are whatever happens there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.check_layer import LayerCheck
from crosscheck.core.operation import Call, Oracle
from crosscheck.core.precision import Array, Bound
from tests.support.layer_runs import Run, check, twin_of

Result = dict[str, Array]
Change = Callable[[Result, Call, Oracle], Mapping[str, Array | None]]
"""Gets the right result, the call and the operation; returns the quantities that come out wrong, None for those that are lost."""

Place = tuple[slice, slice]


@dataclass(frozen=True)
class Changed:
    """A layer that is right but for one change."""

    oracle: Oracle
    change: Change
    absent: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def vjp(self, call: Call) -> Result:
        right = self.oracle.vjp(call)
        wrong = self.change(right, call, self.oracle)
        return {quantity: value for quantity, value in {**right, **wrong}.items() if value is not None}

    def reading(self, quantity: str, call: Call, value: Array) -> Bound | None:
        """Return None: every quantity is there to be read."""
        return None


def unchanged(right: Result, call: Call, oracle: Oracle) -> Result:
    """Change nothing."""
    return {}


@dataclass(frozen=True)
class WrongResult:
    """A row of the table.

    Attributes
    ----------
    wrong : tuple of str
        The quantities that it makes wrong; all others stay right.
    case : str
        The row of the table of layers.
    change : Change
    cause : str or None
        The fault model that has to be found; None where there is none.
    family, dtype : str
        Where the mistake shows.
    """

    wrong: tuple[str, ...]
    case: str
    change: Change
    cause: str | None = None
    family: str = "normal"
    dtype: str = "float64"

    def checked(self) -> LayerCheck:
        return check(Changed(twin_of(self.case)[0], self.change), Run(self.case, 3, self.family, self.dtype, 0))


output = partial(WrongResult, ("output",))
backward = partial(WrongResult, ("grad_input",))
gradient = partial(WrongResult, ("weight.grad",))
bias_gradient = partial(WrongResult, ("bias.grad",))


def cotangent(call: Call) -> Array:
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
    return slice(row * step, row * step + size), slice(column * step, column * step + size)


def pool_window_put_down(right: Result, call: Call, oracle: Oracle) -> Result:
    """Return a gradient of 3 x 3 max pooling in which each window is put down as a whole, zeros included."""
    grad = np.zeros_like(call.x)
    for n, c, row, column in np.ndindex(*cotangent(call).shape):
        seen = call.x[n, c, row : row + 3, column : column + 3]
        grad[n, c, row : row + 3, column : column + 3] = np.where(seen == seen.max(), cotangent(call)[n, c, row, column], 0)
    return {"grad_input": grad}


def padded(above: int, below: int, mode: str = "constant") -> Change:
    """Return a change of the output of a 3 x 3 convolution with padding 1: rows above and below, one column on each side, filled in some way."""

    def change(right: Result, call: Call, oracle: Oracle) -> Result:
        image: Array = np.pad(call.x, ((0, 0), (0, 0), (above, below), (1, 1)), mode=mode)  # type: ignore[call-overload]
        seen = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(2, 3))
        return {"output": np.einsum("nchwuv,fcuv->nfhw", seen, call.params["weight"]) + call.params["bias"][:, None, None]}

    return change


def probabilities(x: Array, axis: int = 1) -> Array:
    raised = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(raised / raised.sum(axis=axis, keepdims=True))


def one_hot(call: Call) -> npt.NDArray[np.bool_]:
    return np.asarray(np.arange(call.x.shape[1]) == call.constants["labels"][:, None])


def loss(p: Callable[[Array], Array], about: Callable[[Array], Array] = lambda p: p) -> Change:
    """Return a change of the loss: the mean of -ln of the label's probability, and what it is made safe by."""

    def change(right: Result, call: Call, oracle: Oracle) -> Result:
        with np.errstate(all="ignore"):
            return {"output": np.asarray(-np.log(about(p(call.x)[one_hot(call)])).mean())}

    return change


def loss_gradient(made: Callable[[Array, Array], Array]) -> Change:
    """Return a change of the loss's gradient: a function of logits and one-hot labels, averaged over the batch."""

    def change(right: Result, call: Call, oracle: Oracle) -> Result:
        return {"grad_input": made(call.x, one_hot(call).astype(call.dtype)) / len(call.x) * cotangent(call)}

    return change


def gradient_made_safe(x: Array, onehot: Array) -> Array:
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
    return call.with_x(call.x.astype(np.float32).astype(np.float64))


def output_by(value: Callable[[Array], Array]) -> Change:
    """Return a change of an output that depends on the input alone: another formula for it."""

    def change(right: Result, call: Call, oracle: Oracle) -> Result:
        with np.errstate(all="ignore"):
            return {"output": value(call.x)}

    return change


def replaced_where(quantity: str, place: Callable[[Array], npt.NDArray[np.bool_]], number: float) -> Change:
    """Return a change that puts a number where the input is of a kind."""
    return lambda right, call, oracle: {quantity: np.where(place(call.x), number, right[quantity]).astype(call.dtype)}


def bfloat16(a: Array) -> Array:
    """Return numbers with 8 significant bits, the last of them rounded; ties do not occur among random numbers."""
    mantissas, exponents = np.frexp(a.astype(np.float64))
    return np.asarray(np.ldexp(np.round(mantissas * 2**8), exponents - 8))


def in_bfloat16(call: Call) -> Call:
    return call.with_x(bfloat16(call.x).astype(call.x.dtype))


def _computed_in_float32(right: Result, call: Call, oracle: Oracle) -> Result:
    # The bias is added in float64, so that the result itself is not one of float32's numbers.
    without = replace(call, params={**call.params, "bias": 0 * call.params["bias"]}).forward
    return {"output": oracle.vjp(without.astype(np.float32))["output"].astype(np.float64) + call.params["bias"][:, None, None]}


def computed_in_double(right: Result, call: Call, oracle: Oracle) -> Result:
    return {"output": oracle.vjp(call.forward.astype(np.float64))["output"]}


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
    return call.with_grad_output(only)


def _stepped(step: Callable[[Array], Array]) -> Change:
    """Return a change of the input's gradient of a linear layer: made from the weight after a step."""

    def change(right: Result, call: Call, oracle: Oracle) -> Result:
        return {"grad_input": cotangent(call) @ (call.params["weight"] - step(right["weight.grad"]))}

    return change


def _no_bias(call: Call) -> Call:
    return replace(call, params={**call.params, "bias": 0 * call.params["bias"]})


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
    x = np.clip(call.x, -40, 40)
    return {"output": (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))}


def _off_by_a_part(right: Result, call: Call, oracle: Oracle) -> Result:
    """Return a small hyperbolic tangent, each number of which is off by as many roundings of its own."""
    return {"output": right["output"] * (1 + 1e-14 * np.sin(1e15 * call.x / np.abs(call.x).max()))}


def scaled(quantity: str, factor: float) -> Change:
    return lambda right, call, oracle: {quantity: (right[quantity] * factor).astype(call.dtype)}


def replaced(quantity: str, make: Callable[[Array], Array | None]) -> Change:
    """Return a change that puts a function of a quantity in its place."""
    return lambda right, call, oracle: {quantity: make(right[quantity])}


def recomputed(quantity: str, make: Callable[[Call], Call]) -> Change:
    return lambda right, call, oracle: {quantity: oracle.vjp(make(call))[quantity]}


def with_weight(make: Callable[[Array], Array]) -> Callable[[Call], Call]:
    return lambda call: replace(call, params={**call.params, "weight": np.array(make(call.params["weight"]))})


def _flip(array: Array) -> Array:
    return np.array(array[..., ::-1, ::-1])


def _last_row_lost(array: Array) -> Array:
    array = array.copy()
    array[..., -1, :] = 0
    return array


def _down(array: Array) -> Array:
    array = np.roll(array, 1, axis=-2)
    array[..., 0, :] = 0
    return array


def _one_element(array: Array, factor: float) -> Array:
    array = array.copy()
    array.reshape(-1)[array.size // 2] *= factor
    return array


def _zeros_first(right: Result, call: Call, oracle: Oracle) -> Result:
    # Turned by 180 degrees, the end of an image is its beginning.
    turned = with_weight(_flip)(call).with_x(_flip(call.x)).forward
    return {"output": _flip(oracle.vjp(turned)["output"])}


RESULTS: dict[str, WrongResult] = {
    "conv-weight-grad-sign-float32": gradient("conv2d-tutorial", scaled("weight.grad", -1), "constant factor", "digits", "float32"),
    "conv-last-row-of-cotangent": gradient(
        "conv2d-tutorial", recomputed("weight.grad", lambda c: c.with_grad_output(_last_row_lost(cotangent(c)))), "border lost"
    ),
    "conv-one-row-off": output("conv2d-p1", replaced("output", _down), "shifted"),
    "conv-grad-input-lost": backward("conv2d-tutorial", replaced("grad_input", lambda a: None)),
    "conv-relative-1e-3-float32": gradient("conv2d-tutorial", scaled("weight.grad", 1 + 1e-3), "constant factor", dtype="float32"),
    "conv-one-element-1e-6": output("conv2d-tutorial", replaced("output", lambda a: _one_element(a, 1 + 1e-6))),
    "conv-wrong-dtype": output("conv2d-p1", replaced("output", lambda a: a.astype(np.float64)), "array without dtype", dtype="float32"),
    "conv-wrong-dtype-and-sign": output("conv2d-p1", replaced("output", lambda a: -a.astype(np.float64)), dtype="float32"),
    "conv-in-double": output("conv2d-p1", computed_in_double, "array without dtype", dtype="float32"),
    "conv-wrong-shape": backward("conv2d-p1", replaced("grad_input", lambda a: a[..., :-1])),
    "conv-nan": gradient("conv2d-p1", replaced("weight.grad", lambda a: _one_element(a, np.nan))),
    "conv-infinity": gradient("conv2d-p1", replaced("weight.grad", lambda a: _one_element(a, np.inf))),
    "conv-epsilon-added": backward("conv2d-p1", replaced("grad_input", lambda a: a + 1e-30), family="tiny"),
    "pool-one-ulp": output("maxpool2d-2", replaced("output", lambda a: np.nextafter(a, 2 * a))),
    "pool-last-row": output("maxpool2d-2", replaced("output", _last_row_lost), "border lost"),
    "conv-same-zeros-first": output("conv2d-same-s2-even", _zeros_first, "padding"),
    "average-divided-twice": backward("globalaveragepool2d", scaled("grad_input", 1 / 35), "constant factor"),
    "average-relative-4e-15": output("avgpool2d-2", scaled("output", 1 + 2.0**-48), "constant factor"),
    "average-last-row": output("avgpool2d-3s1", replaced("output", _last_row_lost), "border lost"),
    "zeropad-one-row-off": output("zeropad2d-0123", replaced("output", _down), "shifted"),
    "zeropad-one-ulp": backward("zeropad2d-1", replaced("grad_input", lambda a: np.nextafter(a, 2 * a))),
    "relu-leaks": output("relu-4d", replaced("output", lambda a: np.where(a == 0, -1e-300, a))),
    "linear-grad-doubled": gradient("linear", scaled("weight.grad", 2), "constant factor"),
    "loss-off-by-1e-9": output("softmaxcrossentropy", scaled("output", 1 + 1e-9)),
    "sigmoid-squared": backward("sigmoid", slope(lambda x, y: y * (1 - y) ** 2)),
    "tanh-by-exponentials-wide": output("tanh", tanh_by_exponentials, "cancellation", family="wide"),
    "tanh-by-exponentials-tiny": output("tanh", tanh_by_exponentials, "cancellation", family="tiny"),
    "tanh-by-exponentials-single": output("tanh", tanh_by_exponentials, "cancellation", dtype="float32"),
    "tanh-with-epsilon": output("tanh", replaced("output", lambda a: a + 1e-16), family="wide"),
    "tanh-with-epsilon-tiny": output("tanh", replaced("output", lambda a: a + 1e-16), family="tiny"),
    "tanh-off-by-a-part": output("tanh", _off_by_a_part),
    "tanh-off-by-a-part-tiny": output("tanh", _off_by_a_part, family="tiny"),
    "tanh-cut-off": output("tanh", replaced("output", lambda a: np.where(np.abs(a) < 1e-16, 0, a)), "not computed", family="tiny"),
    "tanh-left-out": backward("tanh", slope(lambda x, y: np.ones_like(x)), "derivative left out"),
    "leaky-other-slope": backward("leakyrelu", slope(lambda x, y: np.where(x > 0, 1.0, 0.2))),
    "stride-of-three": backward("conv2d-s2", handed_back(5, lambda i, j: window(i, j, step=3))),
    "padding-of-means": output("conv2d-p1", padded(1, 1, "mean")),
    "crop-off-by-one": backward("conv2d-p1", handed_back(1, lambda i, j: window(i + 1, j, size=3) if i < 4 else window(i, j))),
    "conv-last-filter-overwritten": backward("conv2d-channels", handed_back(0, window, add=False, filters=slice(-1, None)), "overwritten"),
    "conv-first-filter-alone": backward("conv2d-channels", handed_back(0, window, filters=slice(1))),
    "conv-last-position": gradient("conv2d-channels", recomputed("weight.grad", _last_position), "overwritten"),
    "pool-windows-put-down": backward("maxpool2d-3s1", pool_window_put_down, "overwritten"),
    "channels-in-reverse": output("conv2d-channels", replaced("output", lambda a: a[:, ::-1]), "channels permuted"),
    "channels-bgr": output("conv2d-channels", recomputed("output", lambda c: c.with_x(c.x[:, ::-1])), "channels permuted"),
    "channels-repeated": output("conv2d-channels", replaced("output", lambda a: a[:, [0, 1, 2, 2]])),
    "samples-in-reverse": backward("linear", replaced("grad_input", lambda a: a[::-1]), "channels permuted"),
    "flatten-within-linear": output("linear", recomputed("output", with_weight(regrouped)), "flatten order"),
    "flatten-within-weight-grad": gradient("linear", replaced("weight.grad", regrouped), "flatten order"),
    "columns-in-some-order": output("linear", recomputed("output", with_weight(lambda w: w[:, [3, 1, 0, 2, 7, 4, 5, 6, 11, 8, 9, 10]]))),
    "reshaped-for-transposed": output("linear", replaced("output", lambda a: a.T.reshape(a.shape)), "transposed"),
    "first-row-lost": output("conv2d-channels", replaced("output", _first_row_lost), "border lost"),
    "kernel-row-lost": gradient("conv2d-channels", replaced("weight.grad", _first_row_lost), "border lost"),
    "first-sample-only": output("linear", replaced("output", _only_first), "one sample only"),
    "label-before": output(LOSS, recomputed("output", labels(lambda given, classes: (given - 1) % classes)), "label off by one"),
    "label-clipped": backward(LOSS, recomputed("grad_input", labels(lambda given, classes: np.minimum(given + 1, classes - 1))), "label off by one"),
    "label-of-last-sample": output(LOSS, recomputed("output", labels(_last_label_only))),
    "labels-smoothed": output(LOSS, _smoothed_loss, "labels smoothed"),
    "labels-smoothed-among-the-others": backward(
        LOSS, loss_gradient(lambda x, onehot: probabilities(x) - 0.8 * onehot - 0.2 * (1 - onehot) / x.shape[1])
    ),
    "weight-decay-of-any-size": gradient("conv2d-channels", _with_penalty(lambda weight: weight / 7), "weight decay"),
    "decay-by-sign": gradient("conv2d-channels", _with_penalty(lambda weight: 5e-4 * np.sign(weight))),
    "onehot-halved": backward(LOSS, loss_gradient(lambda x, onehot: probabilities(x) - onehot / 2)),
    "softmax-twice-in-gradient": backward(LOSS, loss_gradient(lambda x, onehot: probabilities(probabilities(x)) - onehot), "softmax twice"),
    "softmax-over-batch": output(LOSS, loss(lambda x: probabilities(x, axis=0)), "wrong axis"),
    "softmax-over-batch-in-gradient": backward(LOSS, loss_gradient(lambda x, onehot: probabilities(x, axis=0) - onehot), "wrong axis"),
    "logsoftmax-over-batch": output("logsoftmax", lambda right, call, oracle: {"output": np.log(probabilities(call.x, axis=0))}, "wrong axis"),
    "constant-1e-7": output(LOSS, loss(probabilities, lambda p: p + 1e-7), "constant in the logarithm"),
    "constant-1e-7-in-gradient": backward(LOSS, loss_gradient(gradient_made_safe), "constant in the logarithm"),
    "constant-inside-sum": output(LOSS, loss(probabilities, lambda p: p * (1 + 1e-7))),
    "input-in-float32": output("conv2d-channels", recomputed("output", in_float32), "lower precision"),
    "computed-in-float32": output("conv2d-channels", _computed_in_float32, "lower precision"),
    "sigmoid-by-one-exponential": output("sigmoid", output_by(lambda x: np.exp(x) / (1 + np.exp(x))), "exponential overflows", family="large"),
    "sigmoid-of-nothing-above-745": output("sigmoid", replaced_where("output", lambda x: x > 745.2, np.nan), family="large"),
    "sigmoid-of-nothing-above-50": output("sigmoid", replaced_where("output", lambda x: x > 50, np.nan), family="large"),
    "sigmoid-of-nothing-below": output("sigmoid", replaced_where("output", lambda x: x < -1e3, np.nan), family="large"),
    "logsoftmax-of-what-vanishes": output("logsoftmax", output_by(lambda x: np.log(probabilities(x))), "logarithm of an underflow", "large"),
    "logsoftmax-without-its-first-row": output("logsoftmax", replaced("output", lambda a: np.where(np.arange(len(a))[:, None] == 0, np.nan, a))),
    "logsoftmax-infinite-below-50": output(
        "logsoftmax", replaced_where("output", lambda x: x < x.max(axis=1, keepdims=True) - 50, -np.inf), family="large"
    ),
    "loss-always-infinite": output(LOSS, replaced("output", lambda a: np.full_like(a, np.inf)), family="large"),
    "loss-of-what-vanishes": output(LOSS, loss(probabilities), "logarithm of an underflow", "large"),
    "loss-not-shifted": output(LOSS, loss(lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)), "exponential overflows", "large"),
    "input-in-bfloat16": output("conv2d-channels", recomputed("output", in_bfloat16), "lower precision", dtype="float32"),
    "stored-in-bfloat16": output("conv2d-channels", replaced("output", lambda a: bfloat16(a).astype(a.dtype)), "lower precision"),
    "rounded-to-4-decimals": output("conv2d-channels", replaced("output", lambda a: np.round(a, 4)), "digits cut off"),
    "whole-numbers": gradient("conv2d-channels", replaced("weight.grad", np.trunc), "digits cut off"),
    "offset-taken-off": output("conv2d-channels", replaced("output", lambda a: (a + 2.0**20) - 2.0**20), "digits cut off"),
    "nearly-whole-numbers": gradient("conv2d-channels", replaced("weight.grad", lambda a: np.trunc(a) * (1 + 1e-9))),
    "columns-mirrored": output("conv2d-channels", replaced("output", lambda a: a[..., ::-1]), "mirrored"),
    "as-wrong-as-float32": output("conv2d-channels", replaced("output", _relative(1e-8))),
    "step-before-gradient": backward("linear", _stepped(lambda grad: 0.01 * grad), "updated weight"),
    "step-of-signs": backward("linear", _stepped(lambda grad: 0.01 * np.sign(grad))),
    "mean-over-positions": gradient("conv2d-channels", replaced("weight.grad", lambda a: a / 20), "constant factor"),
    "flipped-without-bias": output(
        "conv2d-channels", recomputed("output", lambda call: with_weight(_flip)(_no_bias(call))), "bias left out + kernel flipped"
    ),
    "flipped-with-sign": backward(
        "conv2d-channels",
        lambda right, call, oracle: {"grad_input": -oracle.vjp(with_weight(_flip)(call))["grad_input"]},
        "kernel flipped + constant factor",
    ),
    "both-ends-lost": output("conv2d-channels", replaced("output", _ends_lost), "border lost + border lost"),
    "label-and-sum": backward(
        LOSS,
        lambda right, call, oracle: {"grad_input": 3 * oracle.vjp(labels(lambda given, classes: (given + 1) % classes)(call))["grad_input"]},
        "label off by one + constant factor",
    ),
}
