"""The table of layers run: each row beside each reference, on every input family, in both precisions.

All references judge the same numbers: they are drawn in the scratch layer's own layout.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import reference.jax
import reference.keras
import reference.pytorch
import scratch
from crosscheck.adapters.adapted_layer import AdaptedLayer
from crosscheck.adapters.layout import LayerLayout
from crosscheck.adapters.objects import Dicts
from crosscheck.causes.divergence import Divergence, examined
from crosscheck.core.check_layer import LayerCheck, check_layer
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Judgement
from crosscheck.core.operation import Call, Oracle
from crosscheck.core.precision import Array, Precision
from crosscheck.core.subject import SubjectLayer
from crosscheck.references.pytorch.oracle import oracle
from reference.copying import layout_of
from scratch.networks import Kernels
from tests.support.cases import CASES
from tests.support.findings import Declared, Finding, declared_for, failure_message

DTYPES = ("float64", "float32")

Twin = tuple[Oracle, LayerLayout]


@dataclass(frozen=True)
class Reference:
    """A framework's version of every layer.

    ``twin`` gets a scratch layer; it raises a TypeError if the framework's module has no entry for it. ``all_batches`` says if all batch sizes of
    a row are run, or only the last: JAX and Keras compile a program for each.
    """

    twin: Callable[[Any], Oracle]
    all_batches: bool = False

    def batches(self, case: str) -> tuple[int, ...]:
        """Return the batch sizes that a row is run with."""
        return CASES[case].batches if self.all_batches else CASES[case].batches[-1:]


REFERENCES: dict[str, Reference] = {
    "torch": Reference(lambda layer: oracle(reference.pytorch.twin(layer)), all_batches=True),
    "jax": Reference(reference.jax.twin),
    "keras": Reference(reference.keras.twin),
}


@dataclass(frozen=True)
class Run:
    """One row of the table on one input, beside one reference."""

    case: str
    batch: int
    family: str
    dtype: str
    seed: int
    reference: str = "torch"
    kernels: Kernels = "plain"

    def __str__(self) -> str:
        return f"{self.case}-{self.kernels}-n{self.batch}-{self.family}-{self.dtype}-seed{self.seed}-{self.reference}"


RUNS = [
    Run(case, batch, family, dtype, 0, name, kernels)
    for name, one in REFERENCES.items()
    for case, row in CASES.items()
    for batch, family, dtype, kernels in itertools.product(one.batches(case), FAMILIES, DTYPES, row.kernels)
]


def batches_together() -> list[list[Run]]:
    """Return all runs, those in one list that differ in nothing but the batch size."""
    groups = dict[Run, list[Run]]()
    for run in RUNS:
        groups.setdefault(replace(run, batch=0), []).append(run)
    return list(groups.values())


def made(case: str, kernels: Kernels = "plain") -> Any:
    """Return the scratch layer of a row."""
    return CASES[case].make(np.random.default_rng(0), kernels)


@functools.cache
def twin_of(case: str, name: str = "torch") -> Twin:
    """Return a reference's version of a row."""
    layer = made(case)
    return REFERENCES[name].twin(layer), layout_of(layer)


def subject_of(case: str, name: str = "torch", kernels: Kernels = "plain") -> AdaptedLayer:
    """Return the scratch layer of a row as a function in a reference's layout."""
    return AdaptedLayer(Dicts(made(case, kernels)), twin_of(case, name)[1])


def call_of(run: Run) -> Call:
    """Return input, weights, buffers, constants and the gradient of the output, in the reference's layout; they depend on the run alone."""
    case, family, layer = CASES[run.case], FAMILIES[run.family], made(run.case)
    # Independent generators, so that the weights do not depend on the input's family.
    for_input, for_weights, for_cotangent, for_buffers = np.random.default_rng([run.seed, run.batch, *map(ord, run.case)]).spawn(4)
    layout = twin_of(run.case, run.reference)[1]
    x = family.input(for_input, (run.batch, *case.sample), run.dtype)
    constants = case.constants(for_input, family, x)
    params = {
        parameter.name: parameter.layout.to_reference(for_weights.standard_normal(layer.params[name].shape).astype(run.dtype))
        for name, parameter in layout.params.items()
    }
    buffers = {buffer.name: family.statistic(for_buffers, layer.buffers[name].shape, run.dtype, name) for name, buffer in layout.buffers.items()}
    shape = output_shape(run, Call(x, params, None, constants, buffers))
    return Call(x, params, family.grad_output(for_cotangent, shape, run.dtype), constants, buffers)


_SHAPES: dict[tuple[str, int], tuple[int, ...]] = {}


def output_shape(run: Run, call: Call) -> tuple[int, ...]:
    """Return the shape of a run's output, which depends on neither the numbers nor the reference."""
    if (run.case, run.batch) not in _SHAPES:
        _SHAPES[run.case, run.batch] = twin_of(run.case, run.reference)[0].vjp(call)["output"].shape
    return _SHAPES[run.case, run.batch]


@functools.cache
def quantities_of(case: str) -> tuple[str, ...]:
    """Return scratch's names of everything that a row computes."""
    layer = made(case)
    params, buffers = getattr(layer, "params", {}), getattr(layer, "buffers", {})
    return ("output", *buffers, "grad_input", *(f"{name}.grad" for name in params))


def named(run: Run) -> dict[str, str]:
    """Return the reference's name of each quantity of a run."""
    layout = twin_of(run.case, run.reference)[1]
    grads = {f"{name}.grad": f"{parameter.name}.grad" for name, parameter in layout.params.items()}
    theirs = {name: buffer.name for name, buffer in layout.buffers.items()} | grads
    return {quantity: theirs.get(quantity, quantity) for quantity in quantities_of(run.case)}


@functools.cache
def elements() -> int:
    """Return how many numbers the whole table compares: N, on which each tolerance depends."""
    return sum(numbers(run.case, run.batch) for run in RUNS)


@functools.cache
def numbers(case: str, batch: int) -> int:
    """Return how many numbers a row computes for one input, by the first reference that has an entry; 0 if none has."""
    for name in REFERENCES:
        try:
            call = call_of(Run(case, batch, "normal", "float64", 0, name))
        except TypeError:
            continue
        assert call.grad_output is not None
        return sum(value.size for value in (call.x, call.grad_output, *call.params.values(), *call.buffers.values()))
    return 0


def check(subject: SubjectLayer, run: Run) -> LayerCheck:
    """Judge a layer on a run."""
    precision = Precision(np.dtype(run.dtype), elements())
    return check_layer(subject, twin_of(run.case, run.reference)[0], call_of(run), precision, run.case)


def scratch_check(run: Run) -> LayerCheck:
    """Judge the scratch layer of a row."""
    return check(subject_of(run.case, run.reference, run.kernels), run)


def declared(run: Run, quantity: str) -> Declared | None:
    """Return what the row declares about a quantity."""
    return declared_for(CASES[run.case].declared, f"{run.reference}-{run.family}-{run.dtype}-{quantity}")


def findings_of(run: Run) -> list[Finding]:
    """Return the finding for each quantity of a run."""
    judgements, hole = dict[str, Judgement](), ""
    try:
        theirs = named(run)
    except TypeError as error:
        hole = str(error)
    else:
        by_name = {judgement.place.quantity: judgement for judgement in scratch_check(run).judgements}
        judgements = {quantity: by_name[name] for quantity, name in theirs.items()}
    subject = type(made(run.case)).__name__
    return [
        Finding(subject, quantity, run.reference, run.dtype, str(run), judgements.get(quantity), declared(run, quantity), hole)
        for quantity in quantities_of(run.case)
    ]


def findings(case: str) -> Iterator[Finding]:
    """Yield all findings for a row."""
    yield from (found for run in RUNS if run.case == case for found in findings_of(run))


def failure(run: Run, command: str) -> str:
    """Return the message of a test in which some quantity of a run is wrong, each with its likely cause; empty where all are right."""
    return failure_message(findings_of(run), lambda quantity: divergence(scratch_check(run), named(run)[quantity]), command)


def divergence(checked: LayerCheck, quantity: str) -> Divergence:
    """Return the judgement on one quantity, by the reference's name, diagnosed where it is a mismatch."""
    judgement = next(j for j in checked.judgements if j.place.quantity == quantity)
    failure = checked.failure(judgement) if judgement.verdict == "mismatch" else None
    return Divergence(judgement) if failure is None else examined(failure)


def plant_two_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the plain linear layer double its weight gradient and negate its input gradient."""
    right = scratch.Linear.backward

    def backward(self: scratch.Linear, grad_output: Array) -> Array:
        grad_input = right(self, grad_output)
        self.grads["weight"] *= 2
        return -grad_input

    monkeypatch.setattr(scratch.Linear, "backward", backward)
