"""Every layer of scratch, plain and fast, beside PyTorch, JAX and Keras: each output, gradient and running statistic, on every input family."""

from __future__ import annotations

import numpy as np
import pytest

import scratch
from crosscheck.core.judge import Verdict
from tests.support.cases import CASES, ELSEWHERE
from tests.support.findings import FRAMEWORKS
from tests.support.layer_runs import REFERENCES, Run, batches_together, failure, made, plant_two_faults, scratch_check

# With --dist loadgroup one process runs all tests of a layer beside a reference, which compiles once. The ids are those of the largest batches.
TESTS = [pytest.param(runs, id=str(runs[-1]), marks=pytest.mark.xdist_group(f"{runs[-1].case}-{runs[-1].reference}")) for runs in batches_together()]


@pytest.mark.pairwise("runs.0.case", "runs.0.family", "runs.0.dtype", "runs.0.reference", "runs.0.kernels")
@pytest.mark.parametrize("runs", TESTS)
def test_layer(runs: list[Run], request: pytest.FixtureRequest) -> None:
    """For each batch size, every quantity is within the tolerance that rounding explains, or has the verdict that its row declares."""
    messages = {run.batch: failure(run, f"pytest {request.node.nodeid!r}") for run in runs}
    if any(messages.values()):
        pytest.fail("\n".join(f"batch size {batch}: {message}" for batch, message in messages.items() if message), pytrace=False)


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


def test_every_wrong_quantity_is_named(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A layer with two faults fails with both for each batch size, each with its likely cause."""
    plant_two_faults(monkeypatch)
    with pytest.raises(pytest.fail.Exception) as failed:
        test_layer([Run("linear", batch, "normal", "float64", 0) for batch in (1, 3)], request)
    parts = str(failed.value).split("batch size ")[1:]
    assert [part.partition("\ngrad_input: mismatch: ")[0] for part in parts] == [f"{batch}: wrong: grad_input, weight.grad" for batch in (1, 3)]
    assert [(part.count("MISMATCH\n"), part.count("likely cause")) for part in parts] == [(2, 2), (2, 2)]


@pytest.mark.parametrize("reference", REFERENCES)
def test_layer_without_an_entry(reference: str) -> None:
    module = {"torch": "pytorch"}.get(reference, reference)
    with pytest.raises(TypeError, match=rf"no {FRAMEWORKS[reference]} twin for object; add an entry to reference/{module}\.py"):
        REFERENCES[reference].twin(object())
