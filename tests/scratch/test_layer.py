"""Every layer of scratch beside PyTorch, JAX and Keras: each output, gradient and running statistic, on every input family."""

from __future__ import annotations

import numpy as np
import pytest

import scratch
from crosscheck.core.judge import Verdict
from tests.support.cases import CASES, ELSEWHERE
from tests.support.findings import FRAMEWORKS
from tests.support.layer_runs import REFERENCES, RUNS, Run, failure, made, scratch_check

# With --dist loadgroup one process runs all tests of a layer beside a reference: each program is compiled once.
TESTS = [pytest.param(run, id=str(run), marks=pytest.mark.xdist_group(f"{run.case}-{run.reference}")) for run in RUNS]


@pytest.mark.pairwise("run.case", "run.batch", "run.family", "run.dtype", "run.reference")
@pytest.mark.parametrize("run", TESTS)
def test_layer(run: Run, request: pytest.FixtureRequest) -> None:
    """Every quantity is within the tolerance that rounding explains, or what its row declares it to be."""
    if message := failure(run, f"pytest {request.node.nodeid!r}"):
        pytest.fail(message, pytrace=False)


def test_every_layer_has_a_row() -> None:
    """A layer or a loss has a row, or it is said where it is judged; not both."""
    layers = {name for name in scratch.__all__ if name != "Layer" and hasattr(getattr(scratch, name), "backward")}
    with_rows = {type(made(case)).__name__ for case in CASES}
    assert (with_rows | set(ELSEWHERE), with_rows & set(ELSEWHERE)) == (layers, set())


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("case", ["conv2d-s2p1", "maxpool2d-3s2p1", "linear", "batchnorm2d-evaluation"])
def test_fault_is_found(reference: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reference can disagree: the input's gradient is shifted by one element."""
    kind = type(made(case))
    right = kind.backward
    monkeypatch.setattr(kind, "backward", lambda self, grad: np.roll(right(self, grad), 1, axis=-1))
    check = scratch_check(Run(case, 3, "normal", "float32", 0, reference))
    assert [judgement.place.quantity for judgement in check.judgements if judgement.verdict is Verdict.MISMATCH] == ["grad_input"]


def test_every_wrong_quantity_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer with two faults fails with both, each with its likely cause."""
    right = scratch.Linear.backward

    def backward(self: scratch.Linear, grad_output: np.ndarray) -> np.ndarray:
        grad_input = right(self, grad_output)
        self.grads["weight"] *= 2
        return -grad_input

    monkeypatch.setattr(scratch.Linear, "backward", backward)
    message = failure(Run("linear", 3, "normal", "float64", 0), "pytest this")
    assert message.startswith("wrong: grad_input, weight.grad\ngrad_input: mismatch: ")
    assert message.count("likely cause") == message.count("MISMATCH\n") == 2


@pytest.mark.parametrize("reference", REFERENCES)
def test_layer_without_an_entry(reference: str) -> None:
    module = {"torch": "pytorch"}.get(reference, reference)
    with pytest.raises(TypeError, match=rf"no {FRAMEWORKS[reference]} twin for object; add an entry to reference/{module}\.py"):
        REFERENCES[reference].twin(object())
