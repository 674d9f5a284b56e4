"""Fault models judged: each explains the fault that it is there for, and leaves what only looks like it unknown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest

from crosscheck.causes import FAULT_MODELS, Cause, diagnose
from crosscheck.causes.budget import limited
from crosscheck.causes.candidate import Candidate
from crosscheck.causes.evidence import Evidence
from crosscheck.core.check_layer import Failure
from crosscheck.core.operation import Call, RefusedError
from crosscheck.core.precision import Array, Bound
from tests.support.cause_cases import CAUSES
from tests.support.layer_runs import Run, check, divergence, quantities_of, twin_of
from tests.support.planted import Change, Planted

LAYERS = [
    *(
        "conv2d-s2p1",
        "conv2d-g2",
        "conv2d-same-s2",
        "maxpool2d-3s2p1",
        "avgpool2d-3s1",
        "globalaveragepool2d",
        "zeropad2d-0123",
        "relu-4d",
        "sigmoid",
    ),
    *("logsoftmax", "batchnorm1d", "dropout-0.5", "flatten", "linear", "softmaxcrossentropy", "nllloss", "mseloss"),
]


def failed(case: str, quantity: str, change: Change, dtype: str = "float64") -> Failure:
    """Return the failure of a layer with a change."""
    checked = check(Planted(twin_of(case)[0], change), Run(case, 3, "normal", dtype, 0))
    failure = checked.failure(next(j for j in checked.judgements if j.place.quantity == quantity))
    assert failure is not None
    return failure


def off_by(size: float, quantity: str) -> Change:
    """Return a change that makes every number of a quantity wrong, each by another part of itself."""

    def change(right: dict[str, Array], call: Call, oracle: object) -> dict[str, Array | None]:
        parts = np.random.default_rng(1).standard_normal(right[quantity].shape)
        return {quantity: np.asarray(right[quantity] * (1 + size * parts) + size * parts, call.x.dtype)}

    return change


@pytest.mark.parametrize("fault", CAUSES)
def test_cause(fault: str) -> None:
    """The fault has its cause, the near miss none."""
    row = CAUSES[fault]
    found = divergence(check(Planted(twin_of(row.case)[0], row.change), Run(row.case, 3, row.family, row.dtype, 0)), row.wrong[0])
    assert found.judgement.verdict == "mismatch"
    assert (found.cause.name if found.cause else None) == row.cause, found.cause


@pytest.mark.each_choice("case", "size", "dtype")
@pytest.mark.parametrize(("size", "dtype"), [(1e-9, "float64"), (0.3, "float64"), (0.01, "float32")])
@pytest.mark.parametrize("case", LAYERS)
def test_noise_has_no_cause(case: str, size: float, dtype: str) -> None:
    """Numbers that are wrong at random are explained by nothing, whatever the size of the error."""
    for_loss = case in ("softmaxcrossentropy", "nllloss", "mseloss")
    quantity = "grad_input" if for_loss else "output"
    assert diagnose(failed(case, quantity, off_by(size, quantity), dtype)) is None


@pytest.mark.each_choice("case", "quantity")
@pytest.mark.parametrize(("case", "quantity"), [(case, quantity) for case in LAYERS for quantity in quantities_of(case) if "running" not in quantity])
def test_fault_models_refuse_and_do_not_fail(case: str, quantity: str) -> None:
    """A fault model that does not apply says nothing, or is refused by the oracle; it never stumbles."""
    failure = failed(case, quantity, off_by(0.3, quantity))
    assert all(isinstance(candidate, Candidate) for candidate in _all(failure))


def _all(failure: Failure) -> Iterator[Candidate]:
    for hypothesis in FAULT_MODELS:
        with suppress(RefusedError), np.errstate(all="ignore"):
            yield from hypothesis(failure)


def test_room_for_anything_explains_nothing() -> None:
    """A candidate whose bound has room for the right numbers as well is no explanation, however well the subject's fit."""
    failure = failed("linear", "output", off_by(1e-9, "output"))
    vague = Candidate("vague", "", failure.expected, Bound(np.abs(failure.expected) * 1e9, 1.0))
    sharp = Candidate("sharp", "", failure.found, Bound(np.abs(failure.found), 1.0))
    assert [Evidence(failure).explained(candidate) is not None for candidate in (vague, sharp)] == [False, True]


def test_hypothesis_that_stumbles_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error inside a hypothesis costs nobody the others."""

    def stumbles(failure: Failure) -> Iterator[Candidate]:
        yield Candidate("fits", "", failure.found + np.zeros((7, 7, 7)))

    monkeypatch.setattr("crosscheck.causes.FAULT_MODELS", (stumbles, *FAULT_MODELS))
    cause = diagnose(failed("linear", "weight.grad", lambda right, call, oracle: {"weight.grad": 2 * right["weight.grad"]}))
    assert isinstance(cause, Cause)
    assert cause.name == "constant factor"


def test_what_nobody_can_tell_apart_is_said_together() -> None:
    """With two classes the one after and the one before are the same."""
    case = "softmaxcrossentropy-2"

    def other(right: dict[str, Array], call: Call, oracle: object) -> dict[str, Array | None]:
        p = np.exp(call.x) / np.exp(call.x).sum(axis=1, keepdims=True)
        return {"output": np.asarray(-np.log(p[np.arange(len(p)), 1 - call.constants["labels"]]).mean())}

    cause = diagnose(failed(case, "output", other))
    assert cause is not None
    assert cause.name == "label off by one"
    assert "class after" in cause.words
    assert "; or the class before" in cause.words


def test_limited_oracle_refuses_once_it_was_asked_often_enough() -> None:
    """The search for two faults is bounded by calls, which are the same on every machine."""
    oracle = limited(twin_of("relu-4d")[0], 1)
    oracle.vjp(Call(np.ones((1, 1, 2, 2))))
    with pytest.raises(RefusedError, match="no oracle call is left"):
        oracle.vjp(Call(np.ones((1, 1, 2, 2))))
