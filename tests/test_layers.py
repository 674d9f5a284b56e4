"""Every layer of scratch against PyTorch: each output and gradient, on every input family, as a test of its own."""

from __future__ import annotations

import itertools

import pytest
from cases import BATCHES, CASES, DTYPES, SEEDS, Run, divergence, quantities_of, scratch_check

from crosscheck.families import FAMILIES
from crosscheck.judgement import Verdict
from crosscheck.report.message import message

RUNS = [Run(*values) for values in itertools.product(CASES, BATCHES, FAMILIES, DTYPES, SEEDS)]


@pytest.mark.parametrize(("run", "quantity"), [pytest.param(run, q, id=f"{run}-{q}") for run in RUNS for q in quantities_of(run.case)])
def test_layer(run: Run, quantity: str) -> None:
    """A quantity is within the tolerance that rounding explains, or known to have none."""
    found = divergence(scratch_check(run), quantity)
    unlimited = f"{run.family}-{run.dtype}-{quantity}" in CASES[run.case].unlimited
    if found.judgement.verdict is not (Verdict.UNDECIDED if unlimited else Verdict.MATCH):
        pytest.fail(message(found, f'pytest "tests/test_layers.py::test_layer[{run}-{quantity}]"'), pytrace=False)
