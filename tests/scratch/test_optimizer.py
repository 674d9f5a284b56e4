"""Every optimizer of scratch beside torch.optim, optax and keras.optimizers, step by step, and each single step beside the rule itself."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import scratch
from crosscheck.adapters.optimizers import Holding
from crosscheck.causes.divergence import Divergence, divergence_facts
from crosscheck.checks import Settings
from crosscheck.checks.optimizers import CONTRACTS, update_contract_check
from crosscheck.core.guard import source
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Judgement, Verdict
from crosscheck.core.precision import Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.optimizers import Update, UpdatedParameter, judge_update
from crosscheck.oracles.optimizers.rules import COUNTERS
from crosscheck.pairs.optimizer_pair import OptimizerPair
from crosscheck.pairs.prepare import prepare
from crosscheck.references.pytorch.training import optimizer as torch_optimizer
from crosscheck.report.words import divergence_message
from reference.copying import settings_of
from reference.framework import PARAM
from scratch import fast
from tests.support.optimizer_cases import OPTIMIZERS
from tests.support.optimizer_runs import DTYPES, REFERENCES, RUNS, SHAPES, Run, failure, made, quantities_of, twin_of

SEEDS = (0, 1)
STEPS = 5
ELEMENTS = 1_000_000
"""More numbers than the single steps compare."""


# With --dist loadgroup one process runs all tests of a case, and what it compiles is compiled once.
TESTS = [pytest.param(run, id=str(run), marks=pytest.mark.xdist_group(f"{run.case}-{run.reference}")) for run in RUNS]


@pytest.mark.each_choice("run.case", "run.gradients", "run.dtype", "run.twin")
@pytest.mark.parametrize("run", TESTS)
def test_optimizer(run: Run, request: pytest.FixtureRequest) -> None:
    """Parameter and state follow the reference's, or differ where the reference has another formula, for which it says why."""
    if message := failure(run, f"pytest {request.node.nodeid!r}"):
        pytest.fail(message, pytrace=False)


def state_of(optimizer: scratch.Optimizer, param: str) -> dict[str, np.ndarray]:
    """Return copies of what an optimizer keeps of a parameter."""
    return {name: arrays[param].copy() for name, arrays in optimizer.state.items() if param in arrays}


@pytest.mark.pairwise("case", "gradients", "dtype")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("case", "gradients"), [(case, gradients) for case, row in OPTIMIZERS.items() for gradients in row.gradients])
def test_single_steps(case: str, gradients: str, dtype: str, request: pytest.FixtureRequest) -> None:
    """Each step is the rule's on what it started from; the count of steps, which no reference shows beside each element, is exact."""
    judgements = [judgement for seed in SEEDS for judgement in single_steps(case, gradients, dtype, seed)]
    quantities = {place.rpartition(".")[2] if "." in place else PARAM for place in (judgement.place.quantity for judgement in judgements)}
    assert quantities == set(quantities_of(case))
    wrong = [Divergence(judgement, None, source(OPTIMIZERS[case].kind.step)) for judgement in judgements if judgement.verdict is not Verdict.MATCH]
    if wrong:
        command = f"pytest {request.node.nodeid!r}"
        pytest.fail("\n".join(divergence_message(divergence_facts(one, command)) for one in wrong), pytrace=False)


def single_steps(case: str, gradients: str, dtype: str, seed: int) -> list[Judgement]:
    """Let an optimizer take its steps and judge each on the parameters, gradients and state that it started from."""
    precision, rng = Precision(np.dtype(dtype), ELEMENTS), np.random.default_rng(seed)
    params = {name: rng.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}
    optimizer = made(case, params)
    update, judgements = Update(settings_of(optimizer)), list[Judgement]()
    for step in range(1, STEPS + 1):
        grads = {name: FAMILIES[gradients].grad_output(rng, shape, dtype) for name, shape in SHAPES.items()}
        before, kept = {name: value.copy() for name, value in params.items()}, {name: state_of(optimizer, name) for name in params}
        optimizer.step(grads)
        for name in SHAPES:
            updated = UpdatedParameter(before[name], grads[name], params[name].copy(), kept[name], state_of(optimizer, name))
            judgements += judge_update(update, updated, Place(step, case, name), precision)
    return judgements


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_contracts(case: str) -> None:
    """What no optimizer must do to parameters, gradients and other optimizers."""
    pair = OptimizerPair(Holding(functools.partial(made, case)), functools.partial(torch_optimizer, settings_of(made(case, {}))), name=case)
    results = {contract: update_contract_check(contract).run(prepare(pair), Settings()) for contract in CONTRACTS}
    assert {contract: result.reason for contract, result in results.items() if result.verdict is not Verdict.MATCH or result.reason} == {}


def test_every_optimizer_has_a_row() -> None:
    exported = [getattr(package, name) for package in (scratch, fast) for name in package.__all__]
    kinds = {kind for kind in exported if issubclass(kind, scratch.Optimizer)}
    assert kinds - {scratch.Optimizer} == {row.kind for row in OPTIMIZERS.values()}


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_state_is_named_or_counted(reference: str) -> None:
    """A state that a reference gives no name to would never be compared."""
    states = {case: set(settings_of(made(case, {})).states) - set(twin_of(case, reference).states) - set(COUNTERS) for case in OPTIMIZERS}
    assert {case: unnamed for case, unnamed in states.items() if unnamed} == {}


@pytest.mark.parametrize("reference", REFERENCES)
def test_optimizer_without_an_entry(reference: str) -> None:
    with pytest.raises(TypeError, match=r"settings are known for object; add an entry to reference/copying\.py"):
        REFERENCES[reference](object())


@pytest.mark.parametrize("reference", REFERENCES)
def test_every_wrong_quantity_is_named(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reference can disagree: the step is taken twice as far and one state is doubled; the other state is right."""
    right = scratch.Adadelta.update

    def update(self: scratch.Adadelta, name: str, param: np.ndarray, grad: np.ndarray) -> None:
        before = param.copy()
        right(self, name, param, grad)
        param += param - before
        self.state["acc_delta"][name] *= 2

    monkeypatch.setattr(scratch.Adadelta, "update", update)
    message = failure(Run("adadelta", "normal", "float32", reference), "pytest this")
    assert message.startswith("wrong: param, acc_delta\nparam: mismatch: ")
    assert message.count("MISMATCH\n") == 2


def test_state_that_is_put_back_goes_on_where_it_was() -> None:
    """Two runs of two steps, the second one from copies of parameters and state, end where a run of four does, bit for bit."""
    rng = np.random.default_rng(0)
    grads = [{"w": rng.standard_normal(5)} for _ in range(4)]
    whole, first = {"w": np.ones(5)}, {"w": np.ones(5)}
    optimizer, before = scratch.Adam(whole, amsgrad=True), scratch.Adam(first, amsgrad=True)
    for grad in grads:
        optimizer.step(grad)
    for grad in grads[:2]:
        before.step(grad)
    resumed = {"w": first["w"].copy()}
    after = scratch.Adam(resumed, amsgrad=True)
    for name, arrays in before.state.items():
        after.state[name].update({param: array.copy() for param, array in arrays.items()})
    for grad in grads[2:]:
        after.step(grad)
    assert np.array_equal(resumed["w"], whole["w"])
    assert after.state["step"]["w"] == 4
