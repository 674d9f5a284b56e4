"""The table of optimizers run: each row beside each reference for several steps, parameters and all states, on every kind of gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

import reference.jax
import reference.keras
import reference.pytorch
import scratch
from crosscheck.causes.divergence import Divergence
from crosscheck.causes.optimizers.fault_models import explained
from crosscheck.core.guard import source
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.optimizers.rules import COUNTERS
from crosscheck.oracles.optimizers.runs import Expected, Step, expected_of, multiple, value_of
from crosscheck.pairs.optimizer_pair import GRADIENTS
from reference.copying import settings_of
from reference.framework import PARAM, OptimizerTwin
from tests.support.findings import Declared, Finding, failure_message
from tests.support.optimizer_cases import OPTIMIZERS

DTYPES = ("float64", "float32")
STEPS = 5
SHAPES = {"weight": (3, 4), "bias": (4,)}

COUNTER = "a count of steps, no array of the parameter's shape; tests/scratch/test_optimizer.py holds it to the rule"
"""Why ``step`` is not compared with a framework's."""

REFERENCES: dict[str, Callable[[object], OptimizerTwin]] = {
    "torch": reference.pytorch.optimizer_twin,
    "jax": reference.jax.optimizer_twin,
    "keras": reference.keras.optimizer_twin,
}


@dataclass(frozen=True)
class Run:
    """One row of the table on one kind of gradients, beside one reference."""

    case: str
    gradients: str
    dtype: str
    reference: str

    @property
    def twin(self) -> tuple[str, str]:
        """The class of the optimizer and the reference: rows of a class share the code that translates their settings."""
        return OPTIMIZERS[self.case].kind.__name__, self.reference

    def __str__(self) -> str:
        return f"{self.case}-{self.gradients}-{self.dtype}-{self.reference}"


KINDS = {"torch": None, "jax": 2, "keras": 2}
"""How many of a row's kinds of gradients are run beside each reference, None for all: each takes 33 runs, perturbed and plain."""

RUNS = [
    Run(case, gradients, dtype, name)
    for name in REFERENCES
    for case, row in OPTIMIZERS.items()
    for gradients in row.gradients[: KINDS[name]]
    for dtype in DTYPES
]

SHOWN = ("normal", "float64")
"""Gradients and precision for which a reference with another formula must differ; for others the difference may be too small."""


def made(case: str, params: Mapping[str, Array]) -> scratch.Optimizer:
    """Return the scratch optimizer of a row."""
    make: Callable[..., scratch.Optimizer] = OPTIMIZERS[case].kind
    return make(params, **OPTIMIZERS[case].settings)


@functools.cache
def twin_of(case: str, name: str) -> OptimizerTwin:
    """Return a reference's version of a row."""
    return REFERENCES[name](made(case, {}))


def quantities_of(case: str) -> tuple[str, ...]:
    """Return the names of what an optimizer changes, as scratch names it."""
    return (PARAM, *settings_of(made(case, {})).states)


def compared(case: str) -> tuple[str, ...]:
    """Return the quantities that have a number for each number of the parameter."""
    return tuple(quantity for quantity in quantities_of(case) if quantity not in COUNTERS)


@functools.cache
def elements() -> int:
    """Return how many numbers the whole table compares: N, on which each tolerance depends."""
    sizes = STEPS * sum(int(np.prod(shape)) for shape in SHAPES.values())
    return sum(sizes * len(compared(run.case)) for run in RUNS)


def given(run: Run) -> tuple[dict[str, Array], list[dict[str, Array]]]:
    """Return the parameters before the first step and the gradients of every step; the same for every reference."""
    rng = np.random.default_rng([*map(ord, f"{run.case} {run.gradients}")])
    start = {name: rng.standard_normal(shape).astype(run.dtype) for name, shape in SHAPES.items()}
    draw = GRADIENTS[run.gradients]
    return start, [{name: draw(rng, shape).astype(run.dtype) for name, shape in SHAPES.items()} for _ in range(STEPS)]


def followed(case: str, start: Mapping[str, Array], grads: list[dict[str, Array]]) -> list[Step]:
    """Return the parameters and the state of a row's scratch optimizer after each step."""
    params = {name: value.copy() for name, value in start.items()}
    optimizer, steps = made(case, params), list[Step]()
    for grad in grads:
        optimizer.step(grad)
        state = {name: {key: value.copy() for key, value in arrays.items()} for name, arrays in optimizer.state.items() if arrays}
        steps.append(Step({name: value.copy() for name, value in params.items()}, state))
    return steps


def expected_by(run: Run, precision: Precision) -> Expected:
    """Return the values that a reference expects after each step, with its states in scratch's units."""
    twin, (start, grads) = twin_of(run.case, run.reference), given(run)
    expected = expected_of(twin.oracle, start, grads, precision)
    for state in set(twin.factors) & set(compared(run.case)):
        expected = multiple(expected, twin.states[state], twin.factors[state])
    return expected


def judged(run: Run) -> dict[str, tuple[Judgement, ...]]:
    """Return the judgement on each quantity after every step, the parameters one after another."""
    precision, (start, grads) = Precision(np.dtype(run.dtype), elements()), given(run)
    expected, found = expected_by(run, precision), followed(run.case, start, grads)
    states = twin_of(run.case, run.reference).states
    result: dict[str, list[Judgement]] = {quantity: [] for quantity in compared(run.case)}
    for number, step in enumerate(found):
        for quantity, judgements in result.items():
            ours, theirs = ("", "") if quantity == PARAM else (quantity, states[quantity])
            for name in SHAPES:
                place = Place(number + 1, run.case, f"{name}.{quantity}" if ours else name)
                mine = value_of(step, ours, name)
                bound = expected.bounds[number][theirs, name]
                judgements.append(judge(place, Kind.UPDATE, mine, expected.value(number, theirs, name), bound, precision))
    return {quantity: tuple(judgements) for quantity, judgements in result.items()}


def declared(run: Run, quantity: str) -> Declared | None:
    """Return the declaration for a quantity for which the reference has another formula; None if it has the same."""
    if quantity in COUNTERS:
        return Declared("*", Verdict.SKIPPED, COUNTER)
    reason = twin_of(run.case, run.reference).differs.get(quantity, "")
    if not reason:
        return None
    return Declared("*", Verdict.MISMATCH if (run.gradients, run.dtype) == SHOWN else Verdict.SKIPPED, reason)


def findings_of(run: Run) -> list[Finding]:
    """Return the finding for each quantity of a run in its worst step."""
    subject, quantities, hole = OPTIMIZERS[run.case].kind.__name__, quantities_of(run.case), ""
    known, judgements = dict[str, Declared | None](), dict[str, Judgement]()
    try:
        known = {quantity: declared(run, quantity) for quantity in quantities}
    except TypeError as error:
        hole = str(error)
    else:
        judgements = {quantity: max(found, key=_rank) for quantity, found in judged(run).items()}
    for quantity, one in known.items():
        if one is not None and one.verdict is Verdict.SKIPPED:
            judgements[quantity] = Judgement(Place(0, run.case, quantity), Kind.UPDATE, Verdict.SKIPPED, reason=one.reason)
    return [Finding(subject, q, run.reference, run.dtype, str(run), judgements.get(q), known.get(q), hole) for q in quantities]


def findings(case: str) -> Iterator[Finding]:
    """Yield all findings for a row."""
    yield from (found for run in RUNS if run.case == case for found in findings_of(run))


def failure(run: Run, command: str) -> str:
    """Return the message of a test in which some quantity of a run is wrong, each with its likely cause; empty where all are right."""
    return failure_message(findings_of(run), lambda quantity: divergence(run, quantity), command)


def _rank(judgement: Judgement) -> tuple[int, float]:
    return (Verdict.MATCH, Verdict.UNDECIDED, Verdict.MISMATCH).index(judgement.verdict), judgement.fraction


def divergence(run: Run, quantity: str) -> Divergence:
    """Return the first mismatch of a quantity, or its worst step, with its cause where it has a name."""
    judgements = judged(run)[quantity]
    first = next((judgement for judgement in judgements if judgement.verdict is Verdict.MISMATCH), max(judgements, key=_rank))
    precision, (start, grads) = Precision(np.dtype(run.dtype), elements()), given(run)
    params = [step.params for step in followed(run.case, start, grads)]
    oracle = twin_of(run.case, run.reference).oracle
    cause = explained(oracle, start, grads, params, precision, first) if first.verdict is Verdict.MISMATCH else None
    return Divergence(first, cause, source(OPTIMIZERS[run.case].kind.step))
