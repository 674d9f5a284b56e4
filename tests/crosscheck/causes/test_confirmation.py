"""A cause has to explain a second call as well: what fits one call by chance, or on inputs of one size alone, is not reported."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from crosscheck.causes import Cause, diagnose
from crosscheck.causes.confirmation import permuted
from crosscheck.core.check_layer import Failure, LayerCheck
from crosscheck.core.guard import SubjectError
from crosscheck.core.inputs import memory_of
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import Call, Oracle
from crosscheck.core.precision import Array
from tests.support.faults import FAULTS
from tests.support.faults.outcome import first_outcome_of
from tests.support.faults.results import Change, Changed, cotangent, scaled
from tests.support.layer_runs import Run, call_of, check, twin_of


@dataclass(frozen=True)
class Finished:
    """Code that has run already."""

    absent: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def vjp(self, call: Call) -> dict[str, Array]:
        raise SubjectError("it has run already")

    def reading(self, quantity: str, call: Call, value: Array) -> None:
        """Return None."""


def failed(case: str, change: Change, quantity: str, family: str = "normal", dtype: str = "float64") -> Failure:
    checked: LayerCheck = check(Changed(twin_of(case)[0], change), Run(case, 3, family, dtype, 0))
    found = checked.failure(next(j for j in checked.judgements if j.place.quantity == quantity))
    assert found is not None
    assert found.judgement.verdict is Verdict.MISMATCH
    return found


def first_call(case: str) -> Call:
    return call_of(Run(case, 3, "normal", "float64", 0))


def _by_the_call(right: dict[str, Array], call: Call, oracle: Oracle) -> dict[str, Array]:
    return {"output": right["output"] * call.x.ravel()[0]}


def _half_on_this_call(right: dict[str, Array], call: Call, oracle: Oracle) -> dict[str, Array]:
    return {"output": right["output"] / 2 if np.array_equal(call.x, first_call("linear").x) else right["output"]}


def _twice_if_small(right: dict[str, Array], call: Call, oracle: Oracle) -> dict[str, Array]:
    return {"output": right["output"] * (2 if np.abs(call.x).max() < 1 else 1)}


def _without_cotangent(right: dict[str, Array], call: Call, oracle: Oracle) -> dict[str, Array]:
    return {"grad_input": 1.5 * right["grad_input"] / cotangent(call)}


def _by_the_labels(right: dict[str, Array], call: Call, oracle: Oracle) -> dict[str, Array]:
    return {"grad_input": right["grad_input"] * 5 / (3 + call.constants["labels"].sum())}


def _flipped_on_this_call(right: dict[str, Array], call: Call, oracle: Oracle) -> dict[str, Array]:
    """Return the wrong sign on every call, and on the first one also a kernel that is rotated by 180 degrees."""
    weight = call.params["weight"]
    first = np.array_equal(weight, first_call("conv2d-p1").params["weight"])
    turned = replace(call, params={**call.params, "weight": np.array(weight[..., ::-1, ::-1])})
    return {"grad_input": -oracle.vjp(turned if first else call)["grad_input"]}


ONE_CALL_ONLY: dict[str, tuple[str, Change, str, str]] = {
    "a fitted factor that depends on the numbers": ("linear", _by_the_call, "output", "normal"),
    "a factor with a name, on some calls": ("linear", _half_on_this_call, "output", "normal"),
    "a factor with a name, on small inputs": ("conv2d-p1", _twice_if_small, "output", "tiny"),
    "a loss that ignores its upstream gradient": ("softmaxcrossentropy", _without_cotangent, "grad_input", "normal"),
    "a loss divided by what its labels add up to": ("softmaxcrossentropy", _by_the_labels, "grad_input", "normal"),
    "two faults at once, on some calls": ("conv2d-p1", _flipped_on_this_call, "grad_input", "normal"),
}


@pytest.mark.parametrize("name", ONE_CALL_ONLY)
def test_cause_of_one_call_is_not_reported(name: str) -> None:
    """Code that has run already shows what the failing call alone says; called again, it contradicts that."""
    failure = failed(*ONE_CALL_ONLY[name])
    alone = diagnose(replace(failure, subject=Finished()))
    assert alone is not None
    assert not alone.confirmed
    again = diagnose(failure)
    assert again is None or again.name != alone.name


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("family", ["normal", "digits", "wide", "tiny", "offset", "fortran", "strided"])
def test_cause_of_every_call_is_confirmed(family: str, dtype: str) -> None:
    cause = diagnose(failed("conv2d-p1", scaled("weight.grad", -1), "weight.grad", family, dtype))
    assert isinstance(cause, Cause)
    assert (cause.name, cause.confirmed) == ("constant factor", True)


def test_numbers_of_another_origin_are_not_confirmed() -> None:
    """If the layer itself returns other numbers than those that were judged, as after a wrong training step, its next call says nothing."""
    failure = failed("linear", scaled("weight.grad", 2), "weight.grad")
    cause = diagnose(replace(failure, subject=twin_of("linear")[0]))  # type: ignore[arg-type]
    assert cause is not None
    assert (cause.name, cause.confirmed) == ("constant factor", False)


@pytest.mark.parametrize(
    "name", ["linear-batch-size-in-the-code", "sizes-gradient-divided-by-the-square-of-the-height", "sizes-height-and-width-swapped"]
)
def test_cause_of_another_size_agrees_with_the_declared_one(name: str) -> None:
    """On sizes where code is right, a factor or an order of axes must not be wrong; a number that is right for one size may be in the code."""
    outcome = first_outcome_of(FAULTS[name])
    assert (outcome.place, outcome.cause) == (FAULTS[name].at, FAULTS[name].cause)


def test_another_call_has_the_same_numbers_in_other_places() -> None:
    """Each array keeps its numbers and its order in memory; the upstream gradient, which may be a single number, changes its size, too."""
    x = np.arange(12.0).reshape(3, 4)
    call = Call(x[:, ::-2], {"weight": np.asfortranarray(x)}, np.asarray(2.0), {"labels": np.arange(3)}, {"running_var": np.ones(3)})
    other = permuted(call)
    assert sorted(other.x.ravel()) == sorted(call.x.ravel())
    assert not np.array_equal(other.x, call.x)
    assert memory_of(other.params["weight"]) == "F"
    assert other.grad_output == 2 * 0.75 * -0.75
    assert np.array_equal(other.constants["labels"], np.arange(3))
    assert (other.buffers["running_var"] == 0.75).all()
