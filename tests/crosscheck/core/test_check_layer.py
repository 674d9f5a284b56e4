"""The judge of layers, judged: right implementations raise no alarm, planted faults do, at their place and with their cause."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from crosscheck.core.check_layer import check_layer
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Verdict
from crosscheck.core.precision import Precision
from tests.support.cases import CASES
from tests.support.faults.results import Changed, unchanged
from tests.support.layer_runs import Run, call_of, check, declared, named, twin_of

BATCH = 3
RIGHT = [Run(case, BATCH, family, "float32", 0) for case, family in itertools.product(CASES, FAMILIES)]


@pytest.mark.each_choice("run.case", "run.family")
@pytest.mark.parametrize("run", RIGHT, ids=str)
def test_right_implementation(run: Run) -> None:
    """PyTorch in single precision is a right implementation of every layer, whatever can be judged of it."""
    checked = check(Changed(twin_of(run.case)[0], unchanged), run)
    known = [declared(run, quantity) for quantity in named(run)]
    expected = [Verdict.UNDECIDED if one is not None and one.verdict is Verdict.UNDECIDED else Verdict.MATCH for one in known]
    assert [j.verdict for j in checked.judgements] == expected, checked.judgements


@pytest.mark.parametrize("case", ["conv2d-channels", "linear", "softmaxcrossentropy"])
def test_call_that_the_reference_refuses(case: str) -> None:
    """An input of another shape is nothing that anybody can judge; the reason names both."""
    call = call_of(Run(case, BATCH, "normal", "float32", 0))
    wrong = replace(call, constants={name: np.zeros(7, np.int64) for name in call.constants}).with_x(np.ones((BATCH, 99), np.float32))
    checked = check_layer(Changed(twin_of(case)[0], unchanged), twin_of(case)[0], wrong, Precision(np.dtype(np.float32), 1), case)
    assert {j.verdict for j in checked.judgements} == {Verdict.UNDECIDED}
    assert all("refuses an input of shape (3, 99)" in j.reason for j in checked.judgements)
