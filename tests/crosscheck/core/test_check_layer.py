"""The judge of layers, judged: right implementations raise no alarm, planted faults do, at their place and with their cause."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

import scratch
from crosscheck.adapters.adapted_layer import AdaptedLayer
from crosscheck.adapters.layout import LayerLayout
from crosscheck.adapters.objects import Dicts
from crosscheck.core.check_layer import check_layer
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Verdict
from crosscheck.core.precision import Precision
from tests.support.cases import CASES
from tests.support.layer_runs import Run, call_of, check, declared, divergence, named, quantities_of, twin_of
from tests.support.planted import FAULTS, Planted, scaled, unchanged

BATCH = 3
RIGHT = [Run(case, BATCH, family, "float32", 0) for case, family in itertools.product(CASES, FAMILIES)]


@pytest.mark.each_choice("run.case", "run.family")
@pytest.mark.parametrize("run", RIGHT, ids=str)
def test_right_implementation(run: Run) -> None:
    """PyTorch in single precision is a right implementation of every layer, whatever can be judged of it."""
    checked = check(Planted(twin_of(run.case)[0], unchanged), run)
    known = [declared(run, quantity) for quantity in named(run)]
    expected = [Verdict.UNDECIDED if one is not None and one.verdict is Verdict.UNDECIDED else Verdict.MATCH for one in known]
    assert [j.verdict for j in checked.judgements] == expected, checked.judgements


def run_of(fault: str) -> Run:
    """Return where a fault of the table shows."""
    row = FAULTS[fault]
    return Run(row.case, BATCH, row.family, row.dtype, 0)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found_where_it_is(fault: str) -> None:
    """A planted fault makes its own quantities a mismatch and leaves all others a match."""
    row = FAULTS[fault]
    checked = check(Planted(twin_of(row.case)[0], row.change), run_of(fault))
    verdicts = {j.place.quantity: j.verdict for j in checked.judgements}
    assert verdicts == {q: Verdict.MISMATCH if q in row.wrong else Verdict.MATCH for q in quantities_of(row.case)}


@pytest.mark.parametrize("fault", FAULTS)
def test_cause_of_fault(fault: str) -> None:
    """The fault model that explains a fault is found, and none where there is none."""
    row = FAULTS[fault]
    checked = check(Planted(twin_of(row.case)[0], row.change), run_of(fault))
    cause = divergence(checked, row.wrong[0]).cause
    assert (cause.name if cause else None) == row.cause


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("family", ["normal", "digits", "wide"])
@pytest.mark.parametrize(
    ("factor", "words"), [(-1, "wrong sign"), (2, "is twice as large"), (BATCH, "multiplied by the batch size"), (3.7, "is 3.7 times")]
)
def test_mistake_with_a_name_comes_before_a_fitted_number(factor: float, words: str, family: str, dtype: str) -> None:
    """A fitted factor lies closer to the numbers than -1 does, and says less."""
    case = "conv2d-p1"
    checked = check(Planted(twin_of(case)[0], scaled("weight.grad", factor)), Run(case, BATCH, family, dtype, 0))
    cause = divergence(checked, "weight.grad").cause
    assert cause is not None
    assert words in cause.words


@pytest.mark.parametrize("case", ["conv2d-channels", "linear", "softmaxcrossentropy"])
def test_call_that_the_reference_refuses(case: str) -> None:
    """An input of another shape is nothing that anybody can judge; the reason names both."""
    call = call_of(Run(case, BATCH, "normal", "float32", 0))
    wrong = replace(call, x=np.ones((BATCH, 99), np.float32), constants={name: np.zeros(7, np.int64) for name in call.constants})
    checked = check_layer(Planted(twin_of(case)[0], unchanged), twin_of(case)[0], wrong, Precision(np.dtype(np.float32), 1), case)
    assert {j.verdict for j in checked.judgements} == {Verdict.UNDECIDED}
    assert all("refuses an input of shape (3, 99)" in j.reason for j in checked.judgements)


@pytest.mark.parametrize("rule", ["last", "all", "split"])
@pytest.mark.parametrize("case", ["maxpool2d-2", "maxpool2d-2-odd", "maxpool2d-2x3s3s2"])
def test_tie_rule_is_named(rule: scratch.pooling.TieRule, case: str) -> None:
    """A pool with another tie rule is told from a wrong pool: on tied values its rule is the cause, on others it matches."""
    like = CASES[case].make(None)  # type: ignore[arg-type]
    subject = AdaptedLayer(Dicts(scratch.MaxPool2d(like.kernel_size, like.stride, like.padding, rule)), LayerLayout())
    tied = divergence(check(subject, Run(case, BATCH, "digits", "float64", 0)), "grad_input")
    assert tied.cause is not None
    assert tied.cause.name == f"tie rule: {rule}"
    assert divergence(check(subject, Run(case, BATCH, "normal", "float64", 0)), "grad_input").judgement.verdict is Verdict.MATCH
