"""Fast kernels beside plain ones: each may be as far from the reference as rounding explains, so they differ by both tolerances together at most."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crosscheck.core.check_layer import LayerCheck, with_reading
from crosscheck.core.judge import Kind, Verdict, judge
from crosscheck.core.trace import Place
from scratch import fast
from tests.support.layer_runs import RUNS, Run, scratch_check

FAST = [run for run in RUNS if run.kernels == "fast" and run.reference == "torch" and run.batch == 3]
RUN = Run("conv2d-s2p1", 3, "normal", "float64", 0, kernels="fast")


def checks(run: Run) -> tuple[LayerCheck, LayerCheck]:
    """Return how the plain and the fast kernels of a row compare with the reference."""
    return scratch_check(replace(run, kernels="plain")), scratch_check(replace(run, kernels="fast"))


def verdicts(plain: LayerCheck, quick: LayerCheck) -> dict[str, Verdict]:
    """Return for each quantity whether two layers differ by no more than the sum of their tolerances."""
    found = {}
    for quantity, mine in quick.found.items():
        both = with_reading(plain.judged_by[quantity], quick.judged_by[quantity], quick.precision)
        other = plain.found[quantity].astype(np.float64)
        found[quantity] = judge(Place(0, "plain beside fast", quantity), Kind.ISOLATED, mine, other, both, quick.precision).verdict
    return found


@pytest.mark.each_choice("run.case", "run.family", "run.dtype")
@pytest.mark.parametrize("run", [pytest.param(run, id=str(run)) for run in FAST])
def test_differ_by_no_more_than_rounding_explains(run: Run) -> None:
    """Where rounding limits no error, as some numbers on the way leave the range, nothing is decided."""
    plain, quick = checks(run)
    undecided = {judgement.place.quantity for judgement in plain.judgements if judgement.verdict is Verdict.UNDECIDED}
    assert {quantity for quantity, verdict in verdicts(plain, quick).items() if verdict is not Verdict.MATCH} <= undecided
    assert list(quick.found) == [judgement.place.quantity for judgement in plain.judgements]


def test_fault_of_the_fast_kernels_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fast.Conv2d.backward
    monkeypatch.setattr(fast.Conv2d, "backward", lambda self, grad: right(self, grad) * (1 + 1e-9))
    expected = {"output": Verdict.MATCH, "grad_input": Verdict.MISMATCH, "weight.grad": Verdict.MATCH, "bias.grad": Verdict.MATCH}
    assert verdicts(*checks(RUN)) == expected


@pytest.mark.parametrize(("apart", "verdict"), [(1.9, Verdict.MATCH), (2.1, Verdict.MISMATCH)])
def test_both_tolerances_and_no_more(apart: float, verdict: Verdict) -> None:
    plain, quick = checks(RUN)
    tolerance = quick.precision.tolerance(quick.judged_by["output"])
    assert verdicts(plain, replace(quick, found={"output": plain.found["output"] + apart * tolerance})) == {"output": verdict}


@pytest.mark.parametrize("name", fast.__all__)
def test_fast_class_is_the_plain_one_with_other_kernels(name: str) -> None:
    kind = getattr(fast, name)
    assert (kind.__name__, kind.__mro__[1].__name__, kind.__mro__[1].__module__.count(".")) == (name, name, 1)
