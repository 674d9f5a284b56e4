"""Faults planted in layers: each is a mismatch of the quantity that it is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from crosscheck.core.judge import Verdict
from tests.support import theory_cases as cases
from tests.support.theory_kinds import DTYPES, LAYERS, call_of, judged


def smooth(forward: Callable[[Any], Any], slope: Callable[[Any], Any]) -> cases.Layer:
    return cases.elementwise(forward, slope)


FAULTS: Mapping[str, tuple[str, cases.Layer, str, tuple[str, ...]]] = {
    "biased running variance": ("batch norm 2d", cases.batch_norm(fault="biased running variance"), "running_var", DTYPES),
    "unbiased variance": ("batch norm 2d", cases.batch_norm(fault="unbiased variance"), "output", DTYPES),
    "eps outside the root": ("batch norm 1d", cases.batch_norm(fault="eps outside"), "output", DTYPES),
    "another eps": ("batch norm 1d", cases.batch_norm(eps=1.1e-5), "output", ("float64",)),
    "momentum the other way round": ("batch norm 1d", cases.batch_norm(fault="momentum the other way round"), "running_mean", DTYPES),
    "mean term missing": ("batch norm 2d", cases.batch_norm(fault="mean term missing"), "grad_input", DTYPES),
    "variance term missing": ("batch norm 2d", cases.batch_norm(fault="variance term missing"), "grad_input", DTYPES),
    "divided by the variance": ("batch norm 1d", cases.batch_norm(fault="std for variance"), "grad_input", DTYPES),
    "weight's gradient without the mean": (
        "batch norm 1d",
        cases.batch_norm(fault="weight's gradient without the mean"),
        "weight.grad",
        DTYPES,
    ),
    "batch statistics in evaluation": ("batch norm, evaluation", cases.batch_norm(), "output", DTYPES),
    "running statistics changed in evaluation": ("batch norm, evaluation", cases.batch_norm(), "running_mean", DTYPES),
    "running statistics in training": ("batch norm 2d", cases.batch_norm(training=False), "running_var", DTYPES),
    "slope left out backward": ("leaky relu", cases.leaky(0.1, "slope left out"), "grad_input", DTYPES),
    "slope of one backward": ("leaky relu", cases.leaky(0.1, "slope of one"), "grad_input", DTYPES),
    "another slope": ("leaky relu", cases.leaky(0.01), "output", DTYPES),
    "1 - s left out": ("sigmoid", smooth(cases.sigmoid, cases.sigmoid), "grad_input", DTYPES),
    "sigmoid of the output": ("sigmoid", smooth(cases.sigmoid, lambda x: x * (1 - x)), "grad_input", DTYPES),
    "tanh from the input": ("tanh", smooth(np.tanh, lambda x: 1 - x**2), "grad_input", DTYPES),
    "tanh, square left out": ("tanh", smooth(np.tanh, lambda x: 1 - np.tanh(x)), "grad_input", DTYPES),
    "gelu by tanh": ("gelu", smooth(cases.gelu_tanh, cases.gelu_slope), "output", DTYPES),
    "gelu, density left out": ("gelu", smooth(cases.gelu, lambda x: cases.gelu(x) / x), "grad_input", DTYPES),
    "gelu of logistic": ("gelu by tanh", smooth(lambda x: x * cases.sigmoid(1.702 * x), cases.gelu_tanh_slope), "output", DTYPES),
    "gelu exact": ("gelu by tanh", smooth(cases.gelu, cases.gelu_tanh_slope), "output", DTYPES),
    "log softmax, mean of the cotangent": ("log softmax", cases.of_log_softmax(cases.log_softmax, "mean"), "grad_input", DTYPES),
    "log softmax, p left out": ("log softmax", cases.of_log_softmax(cases.log_softmax, "p left out"), "grad_input", DTYPES),
    "log softmax with an addend": (
        "log softmax",
        cases.of_log_softmax(lambda x: np.log(np.exp(cases.log_softmax(x)) + 1e-10)),
        "output",
        ("float64",),
    ),
    "label off by one": ("log-likelihood", cases.of_labels("label off by one"), "output", DTYPES),
    "sum for mean": ("log-likelihood", cases.of_labels("sum"), "grad_input", DTYPES),
    "mean of the batch alone": ("squared error", cases.squared_error("mean of the batch alone"), "grad_input", DTYPES),
    "two left out": ("squared error", cases.squared_error("two left out"), "grad_input", DTYPES),
    "mask not scaled": ("dropout", cases.dropout(0.3, "not scaled"), "grad_input", DTYPES),
    "kept for dropped": ("dropout", cases.dropout(0.3, "kept for dropped"), "output", DTYPES),
}


@pytest.mark.parametrize(("fault", "dtype"), [pytest.param(fault, dtype, id=f"{fault}-{dtype}") for fault in FAULTS for dtype in FAULTS[fault][3]])
def test_fault_is_found(fault: str, dtype: str) -> None:
    kind, layer, quantity, _ = FAULTS[fault]
    # An eps that the variance dwarfs shows where the variance is small.
    call = call_of(kind, "normal", dtype, 0)
    if "eps" in fault:
        call = replace(call, x=call.x * call.x.dtype.type(0.01))
    assert judged(kind, layer, call)[quantity].verdict is Verdict.MISMATCH


RELATIVE = {"float64": 1e-12, "float32": 3e-3}
"""Relative errors that are found in every output and every gradient of an input."""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "quantity"), [(kind, name) for kind in LAYERS for name in ("output", "grad_input")])
def test_relative_error_is_found(kind: str, quantity: str, dtype: str) -> None:
    layer = cases.changed(next(iter(LAYERS[kind].right.values())), quantity, RELATIVE[dtype])
    assert judged(kind, layer, call_of(kind, "normal", dtype, 0))[quantity].verdict is Verdict.MISMATCH
