"""Every layer of scratch beside PyTorch, JAX and Keras: each output, gradient and running statistic, on every input family, as a test of its own."""

from __future__ import annotations

import numpy as np
import pytest

import scratch
from crosscheck.causes.divergence import divergence_facts
from crosscheck.core.judge import Verdict
from crosscheck.report.words import divergence_message
from tests.support.cases import CASES, ELSEWHERE
from tests.support.findings import FRAMEWORKS
from tests.support.layer_runs import REFERENCES, RUNS, Run, divergence, finding, made, named, quantities_of, scratch_check


def in_one_process(run: Run) -> pytest.MarkDecorator:
    """Return what lets one process run all tests of a layer beside a reference, with --dist loadgroup: each run is judged, each program made once."""
    return pytest.mark.xdist_group(f"{run.case}-{run.reference}")


TESTS = [
    pytest.param(run, (q,), id=f"{run}-{q}", marks=in_one_process(run)) for run in RUNS if run.reference == "torch" for q in quantities_of(run.case)
]
# Where programs are compiled a test judges a run as a whole.
TESTS += [pytest.param(run, quantities_of(run.case), id=str(run), marks=in_one_process(run)) for run in RUNS if run.reference != "torch"]


@pytest.mark.pairwise("run.case", "run.batch", "run.family", "run.dtype", "run.reference")
@pytest.mark.parametrize(("run", "quantities"), TESTS)
def test_layer(run: Run, quantities: tuple[str, ...], request: pytest.FixtureRequest) -> None:
    """Every quantity is within the tolerance that rounding explains, or what its row declares it to be."""
    wrong = [found for found in (finding(run, quantity) for quantity in quantities) if found.wrong]
    if wrong:
        diagnosed = divergence(scratch_check(run), named(run)[wrong[0].quantity])
        pytest.fail(f"{wrong[0].wrong}\n{divergence_message(divergence_facts(diagnosed, f'pytest {request.node.nodeid!r}'))}", pytrace=False)


@pytest.mark.parametrize("name", [name for name in scratch.__all__ if name != "Layer" and hasattr(getattr(scratch, name), "backward")])
def test_every_layer_has_a_row(name: str) -> None:
    """A layer or a loss has a row, or it is said where it is judged; not both."""
    assert any(type(made(case)).__name__ == name for case in CASES) != (name in ELSEWHERE)


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("case", ["conv2d-s2p1", "maxpool2d-3s2p1", "linear", "batchnorm2d-evaluation"])
def test_fault_is_found(reference: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reference can disagree: the input's gradient is shifted by one element."""
    kind = type(made(case))
    right = kind.backward
    monkeypatch.setattr(kind, "backward", lambda self, grad: np.roll(right(self, grad), 1, axis=-1))
    check = scratch_check(Run(case, 3, "normal", "float32", 0, reference))
    assert [judgement.place.quantity for judgement in check.judgements if judgement.verdict is Verdict.MISMATCH] == ["grad_input"]


@pytest.mark.parametrize("reference", REFERENCES)
def test_layer_without_an_entry(reference: str) -> None:
    module = {"torch": "pytorch"}.get(reference, reference)
    with pytest.raises(TypeError, match=rf"no {FRAMEWORKS[reference]} twin for object; add an entry to reference/{module}\.py"):
        REFERENCES[reference].twin(object())
