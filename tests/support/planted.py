"""Faults on purpose: right layers, PyTorch's own in the subject's precision, with one thing changed.

They judge the judge. None of them uses a scratch layer's precision, so that they stay what they are whatever happens there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from crosscheck.causes.tie_rules import pooled_gradient
from crosscheck.core.operation import Call, Oracle
from crosscheck.core.precision import Array, Bound

Result = dict[str, Array]
Change = Callable[[Result, Call, Oracle], Mapping[str, Array | None]]
"""Gets the right result, the call and the operation; returns the quantities that come out wrong, None for those that are lost."""


@dataclass(frozen=True)
class Planted:
    """A layer that is right but for one change."""

    oracle: Oracle
    change: Change
    absent: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def vjp(self, call: Call) -> Result:
        """Return the changed result in the precision of the call."""
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
class Fault:
    """A row of the table of faults.

    Attributes
    ----------
    case, family, dtype : str
        Where the fault shows.
    change : Change
    wrong : tuple of str
        The quantities that it makes wrong; all others stay right.
    cause : str or None
        The hypothesis that has to be found; None where there is none for it yet.
    """

    case: str
    change: Change
    wrong: tuple[str, ...]
    cause: str | None = None
    family: str = "normal"
    dtype: str = "float64"


def scaled(quantity: str, factor: float) -> Change:
    """Return a change that multiplies a quantity."""
    return lambda right, call, oracle: {quantity: (right[quantity] * factor).astype(call.x.dtype)}


def replaced(quantity: str, make: Callable[[Array], Array | None]) -> Change:
    """Return a change that puts a function of a quantity in its place."""
    return lambda right, call, oracle: {quantity: make(right[quantity])}


def recomputed(quantity: str, make: Callable[[Call], Call]) -> Change:
    """Return a change that computes a quantity from another call."""
    return lambda right, call, oracle: {quantity: oracle.vjp(make(call))[quantity]}


def with_weight(make: Callable[[Array], Array]) -> Callable[[Call], Call]:
    """Return a function that changes the weight of a call."""
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


def _label_off_by_one(call: Call) -> Call:
    return replace(call, constants={"labels": (call.constants["labels"] + 1) % call.x.shape[1]})


def _updated_weight_in_grad_input(right: Result, call: Call, oracle: Oracle) -> Result:
    weight = call.params["weight"] - 0.005 * right["weight.grad"]
    return {"grad_input": oracle.vjp(replace(call, params={**call.params, "weight": weight}))["grad_input"]}


def _derivative_at_zero(right: Result, call: Call, oracle: Oracle) -> Result:
    assert call.grad_output is not None
    return {"grad_input": np.where(call.x == 0, call.grad_output, right["grad_input"])}


def _overlap_overwritten(right: Result, call: Call, oracle: Oracle) -> Result:
    winners = oracle.decisions(call.x)
    assert winners is not None
    assert call.grad_output is not None
    planes = np.zeros((*call.x.shape[:2], call.x[0, 0].size), call.x.dtype)
    np.put_along_axis(planes, winners.reshape(*planes.shape[:2], -1), call.grad_output.reshape(*planes.shape[:2], -1), axis=2)
    return {"grad_input": planes.reshape(call.x.shape)}


def _padded_with_zero(right: Result, call: Call, oracle: Oracle) -> Result:
    output = right["output"].copy()
    output[..., 0, :] = np.maximum(output[..., 0, :], 0)
    output[..., :, 0] = np.maximum(output[..., :, 0], 0)
    return {"output": output}


def _zeros_first(right: Result, call: Call, oracle: Oracle) -> Result:
    # Turned by 180 degrees, the end of an image is its beginning.
    turned = replace(with_weight(_flip)(call), x=_flip(call.x), grad_output=None)
    return {"output": _flip(oracle.vjp(turned)["output"])}


def _padding_not_counted(right: Result, call: Call, oracle: Oracle) -> Result:
    counted = oracle.vjp(replace(call, x=np.ones_like(call.x), grad_output=None))["output"]
    assert call.grad_output is not None
    return {"output": right["output"] / counted, "grad_input": oracle.vjp(replace(call, grad_output=call.grad_output / counted))["grad_input"]}


def _average_overwritten(right: Result, call: Call, oracle: Oracle) -> Result:
    assert call.grad_output is not None
    rows, columns = (np.minimum(np.arange(size), last - 1) for size, last in zip(call.x.shape[2:], call.grad_output.shape[2:], strict=True))
    return {"grad_input": call.grad_output[:, :, rows[:, None], columns] / 9}


def _gradient_of_maximum(right: Result, call: Call, oracle: Oracle) -> Result:
    assert call.grad_output is not None
    return {"grad_input": pooled_gradient(call.x, call.grad_output, oracle.settings, "all")[0]}


def _no_shift(right: Result, call: Call, oracle: Oracle) -> Result:
    with np.errstate(all="ignore"):
        p = np.exp(call.x) / np.exp(call.x).sum(axis=1, keepdims=True)
        return {"output": np.asarray(-np.log(p[np.arange(len(p)), call.constants["labels"]]).mean())}


def _constant_in_logarithm(right: Result, call: Call, oracle: Oracle) -> Result:
    d = call.x - call.x.max(axis=1, keepdims=True)
    p = np.exp(d) / np.exp(d).sum(axis=1, keepdims=True)
    return {"output": np.asarray(-np.log(p[np.arange(len(p)), call.constants["labels"]] + 1e-9).mean())}


def _softmax_twice(right: Result, call: Call, oracle: Oracle) -> Result:
    d = call.x - call.x.max(axis=1, keepdims=True)
    p = np.exp(d) / np.exp(d).sum(axis=1, keepdims=True)
    return {"output": oracle.vjp(replace(call, x=p))["output"]}


FAULTS: dict[str, Fault] = {
    "conv-kernel-flipped": Fault("conv2d-channels", recomputed("output", with_weight(_flip)), ("output",), "kernel flipped"),
    "conv-kernel-flipped-in-grad-input": Fault("conv2d-s2p1", recomputed("grad_input", with_weight(_flip)), ("grad_input",), "kernel flipped"),
    "conv-kernel-flipped-in-weight-grad": Fault("conv2d-p1", replaced("weight.grad", _flip), ("weight.grad",), "kernel flipped"),
    "conv-kernel-transposed": Fault("conv2d-s2", recomputed("output", with_weight(lambda w: w.swapaxes(2, 3))), ("output",), "transposed"),
    "conv-bias-left-out": Fault(
        "conv2d-p1",
        recomputed("output", lambda call: replace(call, params={**call.params, "bias": 0 * call.params["bias"]})),
        ("output",),
        "bias left out",
    ),
    "conv-bias-grad-missing": Fault("conv2d-p1", replaced("bias.grad", np.zeros_like), ("bias.grad",), "not computed"),
    "conv-weight-grad-averaged": Fault("conv2d-s2p1", scaled("weight.grad", 1 / 3), ("weight.grad",), "constant factor"),
    "conv-weight-grad-sign": Fault("conv2d-tutorial", scaled("weight.grad", -1), ("weight.grad",), "constant factor", "digits"),
    "conv-weight-grad-sign-float32": Fault("conv2d-tutorial", scaled("weight.grad", -1), ("weight.grad",), "constant factor", "digits", "float32"),
    "conv-last-row-of-grad-input": Fault("conv2d-channels", replaced("grad_input", _last_row_lost), ("grad_input",), "border lost"),
    "conv-last-row-of-output": Fault("conv2d-channels", replaced("output", _last_row_lost), ("output",), "border lost"),
    "conv-last-row-of-cotangent": Fault(
        "conv2d-tutorial",
        recomputed("weight.grad", lambda call: replace(call, grad_output=_last_row_lost(np.asarray(call.grad_output)))),
        ("weight.grad",),
        "border lost",
    ),
    "conv-one-row-off": Fault("conv2d-p1", replaced("output", _down), ("output",), "shifted"),
    "conv-last-sample-only": Fault(
        "conv2d-channels",
        recomputed("weight.grad", lambda call: replace(call, x=call.x[-1:], grad_output=np.asarray(call.grad_output)[-1:])),
        ("weight.grad",),
        "one sample only",
    ),
    "conv-grad-input-lost": Fault("conv2d-tutorial", replaced("grad_input", lambda a: None), ("grad_input",)),
    "conv-relative-1e-9": Fault("conv2d-tutorial", scaled("weight.grad", 1 + 1e-9), ("weight.grad",), "constant factor"),
    "conv-relative-1e-3-float32": Fault("conv2d-tutorial", scaled("weight.grad", 1 + 1e-3), ("weight.grad",), "constant factor", dtype="float32"),
    "conv-one-element-1e-6": Fault("conv2d-tutorial", replaced("output", lambda a: _one_element(a, 1 + 1e-6)), ("output",)),
    "conv-single-precision-inside": Fault(
        "conv2d-channels", replaced("output", lambda a: a.astype(np.float32).astype(np.float64)), ("output",), "lower precision"
    ),
    "conv-wrong-dtype": Fault("conv2d-p1", replaced("output", lambda a: a.astype(np.float64)), ("output",), dtype="float32"),
    "conv-wrong-shape": Fault("conv2d-p1", replaced("grad_input", lambda a: a[..., :-1]), ("grad_input",)),
    "conv-nan": Fault("conv2d-p1", replaced("weight.grad", lambda a: _one_element(a, np.nan)), ("weight.grad",)),
    "conv-infinity": Fault("conv2d-p1", replaced("weight.grad", lambda a: _one_element(a, np.inf)), ("weight.grad",)),
    "conv-epsilon-added": Fault("conv2d-p1", replaced("grad_input", lambda a: a + 1e-30), ("grad_input",), family="tiny"),
    "pool-overlap-overwritten": Fault("maxpool2d-3s1", _overlap_overwritten, ("grad_input",), "overwritten"),
    "pool-padded-with-zero": Fault("maxpool2d-3s2p1", _padded_with_zero, ("output",), "padded with zero"),
    "pool-one-ulp": Fault("maxpool2d-2", replaced("output", lambda a: np.nextafter(a, 2 * a)), ("output",)),
    "pool-last-row": Fault("maxpool2d-2", replaced("output", _last_row_lost), ("output",), "border lost"),
    "conv-groups-interleaved": Fault("conv2d-g2", replaced("output", lambda a: a[:, [0, 3, 1, 4, 2, 5]]), ("output",), "channels permuted"),
    "conv-same-zeros-first": Fault("conv2d-same-s2-even", _zeros_first, ("output",), "padding"),
    "average-sum-for-mean": Fault("avgpool2d-2", scaled("output", 4), ("output",), "constant factor"),
    "average-divided-twice": Fault("globalaveragepool2d", scaled("grad_input", 1 / 35), ("grad_input",), "constant factor"),
    "average-relative-4e-15": Fault("avgpool2d-2", scaled("output", 1 + 2.0**-48), ("output",), "constant factor"),
    "average-padding-not-counted": Fault("avgpool2d-3s2p1", _padding_not_counted, ("output", "grad_input"), "padding counted"),
    "average-overlap-overwritten": Fault("avgpool2d-3s1", _average_overwritten, ("grad_input",), "overwritten"),
    # No tie rule: an average has no winners.
    "average-gradient-of-maximum": Fault("avgpool2d-2", _gradient_of_maximum, ("grad_input",), family="ties"),
    "average-last-row": Fault("avgpool2d-3s1", replaced("output", _last_row_lost), ("output",), "border lost"),
    "zeropad-one-row-off": Fault("zeropad2d-0123", replaced("output", _down), ("output",), "shifted"),
    "zeropad-one-ulp": Fault("zeropad2d-1", replaced("grad_input", lambda a: np.nextafter(a, 2 * a)), ("grad_input",)),
    "relu-derivative-at-zero": Fault("relu-2d", _derivative_at_zero, ("grad_input",), "derivative at zero", family="kinks"),
    "relu-leaks": Fault("relu-4d", replaced("output", lambda a: np.where(a == 0, -1e-300, a)), ("output",)),
    "flatten-wrong-order": Fault(
        "flatten", replaced("output", lambda a: a.reshape(-1, 3, 4, 5).transpose(0, 2, 3, 1).reshape(len(a), -1)), ("output",), "flatten order"
    ),
    "linear-transposed": Fault("linear-square", recomputed("output", with_weight(lambda w: w.T)), ("output",), "transposed"),
    "linear-transposed-grad-input": Fault("linear-square", recomputed("grad_input", with_weight(lambda w: w.T)), ("grad_input",), "transposed"),
    "linear-updated-weight": Fault("linear", _updated_weight_in_grad_input, ("grad_input",), "updated weight"),
    "linear-bias-left-out": Fault(
        "linear",
        recomputed("output", lambda call: replace(call, params={**call.params, "bias": 0 * call.params["bias"]})),
        ("output",),
        "bias left out",
    ),
    "linear-grad-doubled": Fault("linear", scaled("weight.grad", 2), ("weight.grad",), "constant factor"),
    "loss-label-off-by-one": Fault("softmaxcrossentropy", recomputed("output", _label_off_by_one), ("output",), "label off by one"),
    "loss-sum-for-mean": Fault("softmaxcrossentropy", scaled("grad_input", 3), ("grad_input",), "constant factor"),
    "loss-no-shift": Fault("softmaxcrossentropy", _no_shift, ("output",), family="large"),
    "loss-constant-in-logarithm": Fault("softmaxcrossentropy", _constant_in_logarithm, ("output",), "constant in the logarithm"),
    "loss-softmax-twice": Fault("softmaxcrossentropy", _softmax_twice, ("output",), "softmax twice"),
    "loss-off-by-1e-9": Fault("softmaxcrossentropy", scaled("output", 1 + 1e-9), ("output",)),
}
