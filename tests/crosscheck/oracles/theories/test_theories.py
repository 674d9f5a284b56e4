"""Error theories: right implementations in every usual form match on every family of inputs, planted faults do not, and no tolerance is worthless."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import Call
from crosscheck.core.precision import Precision
from crosscheck.oracles.theories import Measured
from crosscheck.references.pytorch.oracle import oracle
from tests.support import theory_cases as cases
from tests.support.theory_kinds import DTYPES, ELEMENTS, LAYERS, SEEDS, call_of, judged, of


def unlimited(kind: str, family: str, dtype: str) -> set[str]:
    """Return the quantities that nothing limits where parts of another formula leave the range."""
    cubes = kind in ("batch norm 1d", "batch norm 2d") and (family, dtype) == ("huge", "float32")
    return {"grad_input"} if cubes else set()


CASES = [
    (kind, form, family, dtype)
    for kind in LAYERS
    for form, family, dtype in itertools.product([*LAYERS[kind].right, "PyTorch"], FAMILIES, DTYPES)
    if (kind, form) != ("dropout", "PyTorch")
]


@pytest.mark.pairwise("kind", "form", "family", "dtype")
@pytest.mark.parametrize(("kind", "form", "family", "dtype"), CASES)
def test_right_form_matches(kind: str, form: str, family: str, dtype: str) -> None:
    layer = cases.of_torch(LAYERS[kind].oracle()) if form == "PyTorch" else LAYERS[kind].right[form]
    judgements = judged(kind, layer, call_of(kind, family, dtype, 0))
    wrong = {name: (j.reason, j.fraction) for name, j in judgements.items() if j.verdict is not Verdict.MATCH}
    assert wrong.keys() == unlimited(kind, family, dtype)
    assert all(judgements[name].verdict is Verdict.UNDECIDED for name in wrong)


@pytest.mark.parametrize("kind", LAYERS)
def test_kind_has_a_theory_of_its_own(kind: str) -> None:
    assert not isinstance(LAYERS[kind].oracle().rounding, Measured)


# What is exact has no largest fraction.
EXACT = {("batch norm, evaluation", "running_mean"), ("batch norm, evaluation", "running_var")}


def largest(kind: str, family: str = "normal", dtype: str = "float32", shape: tuple[int, ...] = ()) -> dict[str, float]:
    """Return the largest error of each quantity as a fraction of its tolerance: any right form, many seeds."""
    worst: dict[str, float] = {}
    for seed in SEEDS:
        for layer in LAYERS[kind].right.values():
            for name, judgement in judged(kind, layer, call_of(kind, family, dtype, seed, shape)).items():
                worst[name] = max(worst.get(name, 0.0), judgement.fraction)
    return {name: fraction for name, fraction in worst.items() if (kind, name) not in EXACT}


@pytest.mark.each_choice("kind", "family")
@pytest.mark.parametrize("family", ["normal", "wide", "digits", "kinks"])
@pytest.mark.parametrize("kind", LAYERS)
def test_right_forms_match_on_many_seeds(kind: str, family: str) -> None:
    assert max(largest(kind, family).values()) < 1


@pytest.mark.parametrize("kind", LAYERS)
def test_tolerance_is_not_far_above_what_rounding_does(kind: str) -> None:
    """A sum of hundreds of terms of either sign, as the gradients of batch normalisation's parameters are, stays farther below its bound."""
    least = dict.fromkeys(("weight.grad", "bias.grad"), 1 / 500)
    assert {name: fraction for name, fraction in largest(kind).items() if fraction < least.get(name, 1 / 50)} == {}


@pytest.mark.parametrize("kind", LAYERS)
def test_errors_carried_limit_how_far_results_move(kind: str) -> None:
    """Input and cotangent moved by little, in random directions or all upwards: no result moves farther than is said, and some nearly so far."""
    reference, call, rng, scale = LAYERS[kind].oracle(), call_of(kind, "normal", "float64", 0), np.random.default_rng(1), 2.0**-30
    assert call.grad_output is not None
    before = reference.vjp(call)
    error_x, error_g = rng.uniform(0.5, 1, call.x.shape), rng.uniform(0.5, 1, call.grad_output.shape)
    carried = reference.rounding.propagated(reference, call, before, error_x, error_g)
    assert list(carried) == list(before)
    reached = dict.fromkeys(carried, 0.0)
    for index in range(30):
        signs = [np.ones(shape) if not index else rng.choice((-1.0, 1.0), shape) for shape in (call.x.shape, call.grad_output.shape)]
        moved = call.with_x(call.x + scale * signs[0] * error_x).with_grad_output(call.grad_output + scale * signs[1] * error_g)
        after = reference.vjp(moved)
        for name, value in before.items():
            distance = np.abs(after[name] - value)[np.asarray(carried[name]) > 0] / scale
            reached[name] = max(reached[name], float((distance / carried[name][np.asarray(carried[name]) > 0]).max(initial=0.0)))
            assert not np.abs(after[name] - value)[np.asarray(carried[name]) == 0].any()
    rounding = 1 + 2.0**-10  # of the difference quotient itself
    least = {name: 0.0 if (kind, name) in EXACT else 0.02 for name in reached}
    assert {name: value for name, value in reached.items() if not least[name] <= value < rounding} == {}


def test_running_statistics_start_from_those_of_the_call() -> None:
    """The mean 2 and the unbiased variance 2 of a batch, half and half with 4 and 1; the module's own stay as they are."""
    module = nn.BatchNorm1d(1, momentum=0.5)
    call = Call(np.array([[1.0], [3.0]]), {"weight": np.ones(1), "bias": np.zeros(1)}, None, {}, {"running_mean": np.full(1, 4.0)})
    results = oracle(module).vjp(replace(call, buffers={**call.buffers, "running_var": np.ones(1)}))
    assert (results["running_mean"].tolist(), results["running_var"].tolist()) == ([3.0], [1.5])
    assert (module.running_mean == 0).all()


def test_buffers_change_as_the_call_does() -> None:
    call = Call(np.ones((2, 1)), {}, None, {}, {"running_mean": np.full(1, -2.0)})
    assert call.astype(np.float32).buffers["running_mean"].dtype == np.float32
    assert call.magnitudes().buffers["running_mean"].tolist() == [2.0]
    assert call.ones().buffers["running_mean"].tolist() == [1.0]


@pytest.mark.parametrize(
    "module",
    [
        nn.BatchNorm2d(3, momentum=None),
        nn.NLLLoss(reduction="sum"),
        nn.NLLLoss(weight=torch.ones(3)),
        nn.MSELoss(reduction="sum"),
        nn.LogSoftmax(0),
    ],
    ids=["cumulative momentum", "sum of likelihoods", "weighted likelihood", "sum of squares", "softmax over the batch"],
)
def test_settings_without_a_theory_are_measured(module: nn.Module) -> None:
    assert isinstance(of(module).rounding, Measured)


def test_evaluation_without_buffers_uses_those_of_the_module() -> None:
    module = nn.BatchNorm1d(4).eval()
    module.running_mean[:] = torch.arange(4.0)
    call = replace(call_of("batch norm 1d", "normal", "float64", 0), buffers={})
    reference = of(module)
    given = replace(call, buffers={"running_mean": np.arange(4.0), "running_var": np.ones(4)})
    precision = Precision(np.dtype(np.float64), ELEMENTS)
    own, other = (reference.rounding.bounds(reference, c, reference.vjp(c), precision)["output"].abs_sum for c in (call, given))
    assert np.array_equal(own, other)


def test_decision_at_the_kink_may_be_imposed() -> None:
    """The first number is taken for negative and the second for positive, in values, bounds and carried errors."""
    reference, x = of(nn.LeakyReLU(0.25)), np.array([[8.0, -8.0]])
    call = Call(x, {}, np.array([[1.0, 1.0]]), {"decisions": np.array([[0.0, 1.0]])})
    results = reference.vjp(call)
    assert (results["output"].tolist(), results["grad_input"].tolist()) == ([[2.0, -8.0]], [[0.25, 1.0]])
    carried = reference.rounding.propagated(reference, call, results, np.array([[4.0, 4.0]]), np.array([[4.0, 4.0]]))
    assert (carried["output"].tolist(), carried["grad_input"].tolist()) == ([[1.0, 4.0]], [[1.0, 4.0]])
    signs = reference.decisions(np.array([0.0, -1.0, 2.0]))
    assert signs is not None
    assert signs.tolist() == [0.0, 0.0, 1.0]


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
        call = call.with_x(call.x * call.dtype.type(0.01))
    assert judged(kind, layer, call)[quantity].verdict is Verdict.MISMATCH


RELATIVE = {"float64": 1e-12, "float32": 3e-3}
"""Relative errors that are found in every output and every gradient of an input."""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "quantity"), [(kind, name) for kind in LAYERS for name in ("output", "grad_input")])
def test_relative_error_is_found(kind: str, quantity: str, dtype: str) -> None:
    layer = cases.changed(next(iter(LAYERS[kind].right.values())), quantity, RELATIVE[dtype])
    assert judged(kind, layer, call_of(kind, "normal", dtype, 0))[quantity].verdict is Verdict.MISMATCH
