"""Error theories: right implementations in every usual form match on every family of inputs, planted faults do not, and no tolerance is worthless."""

from __future__ import annotations

import itertools
from dataclasses import replace

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
        moved = replace(call, x=call.x + scale * signs[0] * error_x, grad_output=call.grad_output + scale * signs[1] * error_g)
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
