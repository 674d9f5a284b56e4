"""Every layer of scratch against JAX and Keras, too, on every input family: three references, one verdict."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import CASES, DTYPES, Run, divergence, elements

import reference.jax
import reference.keras
from crosscheck.adapters.adapted import AdaptedLayer
from crosscheck.adapters.objects import Dicts
from crosscheck.arithmetic import Arithmetic
from crosscheck.families import FAMILIES, labels
from crosscheck.frameworks.jax import JaxOracle
from crosscheck.isolated import LayerCheck, check_layer
from crosscheck.judgement import Verdict
from crosscheck.layout import LayerLayout
from crosscheck.operation import Call
from crosscheck.report.message import message

BATCH = 3
REFERENCES: dict[str, Callable[[Any], tuple[JaxOracle, LayerLayout]]] = {"jax": reference.jax.twin, "keras": reference.keras.twin}
RUNS = [Run(case, BATCH, family, dtype, 0) for case, family, dtype in itertools.product(CASES, FAMILIES, DTYPES)]


@functools.cache
def twin_of(framework: str, case: str) -> tuple[JaxOracle, LayerLayout]:
    """Return a framework's version of a row of the table."""
    return REFERENCES[framework](CASES[case].make(np.random.default_rng(0)))


def call_of(run: Run, oracle: JaxOracle) -> Call:
    """Return input, weights and cotangent of a run, in the reference's layout."""
    case, family = CASES[run.case], FAMILIES[run.family]
    for_input, for_weights, for_cotangent = np.random.default_rng([run.seed, *map(ord, run.case)]).spawn(3)
    x = family.input(for_input, (run.batch, *case.sample), run.dtype)
    params = {name: for_weights.standard_normal(shape).astype(run.dtype) for name, shape in (oracle.shapes or {}).items()}
    constants: dict[str, Any] = {}
    if oracle.labels:
        measured = run.case.startswith("mse")
        constants["labels"] = family.input(for_input, x.shape, run.dtype) if measured else labels(for_input, run.batch, case.sample[0])
    shape = oracle.vjp(Call(x, params, None, constants))["output"].shape
    return Call(x, params, family.grad_output(for_cotangent, shape, run.dtype), constants)


def checked(framework: str, run: Run) -> LayerCheck:
    """Judge the scratch layer of a row beside a framework's."""
    oracle, layout = twin_of(framework, run.case)
    subject = AdaptedLayer(Dicts(CASES[run.case].make(np.random.default_rng(0))), layout)
    return check_layer(subject, oracle, call_of(run, oracle), Arithmetic(np.dtype(run.dtype), len(REFERENCES) * elements()), run.case)


@pytest.mark.parametrize("run", RUNS, ids=str)
@pytest.mark.parametrize("framework", REFERENCES)
def test_layer(framework: str, run: Run) -> None:
    """Every quantity is within the tolerance that rounding explains."""
    check = checked(framework, run)
    wrong = [judgement for judgement in check.judgements if judgement.verdict is not Verdict.MATCH]
    if wrong:
        found = divergence(check, wrong[0].place.quantity)
        pytest.fail(message(found, f'pytest "tests/test_jury.py::test_layer[{framework}-{run}]"'), pytrace=False)


@pytest.mark.parametrize("framework", REFERENCES)
@pytest.mark.parametrize("case", ["conv2d-s2p1", "maxpool2d-3s2p1", "linear"])
def test_fault_is_found(framework: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reference can disagree: the input's gradient is shifted by one element."""
    kind = type(CASES[case].make(np.random.default_rng(0)))
    right = kind.backward
    monkeypatch.setattr(kind, "backward", lambda self, grad: np.roll(right(self, grad), 1, axis=-1))
    check = checked(framework, Run(case, BATCH, "normal", "float32", 0))
    assert [judgement.place.quantity for judgement in check.judgements if judgement.verdict is Verdict.MISMATCH] == ["grad_input"]


@pytest.mark.parametrize(("framework", "name"), [("jax", "JAX"), ("keras", "Keras")])
def test_layer_without_an_entry(framework: str, name: str) -> None:
    with pytest.raises(TypeError, match=rf"no {name} twin for object; add an entry to reference/{framework}\.py"):
        REFERENCES[framework](object())
