"""The theory of updates: PyTorch's optimizers and other right ones keep to it in every form, planted faults do not."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from crosscheck.adapters.optimizers import UpdateFunction
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.optimizers import (
    AdamSettings,
    Settings,
    SgdSettings,
    Update,
    UpdatedParameter,
    Updating,
    implied_gradient,
    judge_update,
    judge_updates,
)
from crosscheck.oracles.optimizers.runs import AS_IT_IS, Expected, OptimizerMutant, Step, multiple
from crosscheck.pairs.optimizer_pair import OptimizerPair
from tests.support.unshrunk import check
from tests.support.update_cases import (
    COMPILED,
    DTYPES,
    ELEMENTS,
    FORMS,
    GRADIENTS,
    SHAPE,
    STEPS,
    State,
    Torch,
    adam_compiled,
    by_torch,
    held,
    judged,
    wrong,
)

CASES = list(itertools.product(FORMS, GRADIENTS, DTYPES))


@pytest.mark.pairwise("form", "family", "dtype")
@pytest.mark.parametrize(("form", "family", "dtype"), CASES)
def test_torch_keeps_to_the_rule(form: str, family: str, dtype: str) -> None:
    judgements = judged(FORMS[form], Torch(), family, dtype)
    assert len(judgements) == STEPS * (1 + len(FORMS[form].states))
    assert wrong(judgements) == []


@pytest.mark.pairwise("form", "family", "dtype")
@pytest.mark.parametrize(("form", "family", "dtype"), CASES)
def test_compiled_code_keeps_to_the_rule(form: str, family: str, dtype: str) -> None:
    """Other orders of the formulas, with every setting rounded to the precision of the arrays."""
    assert wrong(judged(FORMS[form], COMPILED[type(FORMS[form])], family, dtype)) == []


@pytest.mark.parametrize("form", list(FORMS))
def test_value_that_comes_with_a_bound_is_that_of_the_rule(form: str) -> None:
    """Step after step, but for what rounding does: a power is taken as a product on one side."""
    update, rng, precision = Update(FORMS[form]), np.random.default_rng(0), Precision(np.dtype(np.float64), ELEMENTS)
    param: Array = rng.standard_normal(SHAPE)
    state: dict[str, Array] = {}
    for _ in range(STEPS):
        grad = rng.standard_normal(SHAPE)
        bounded = update.bounded(param, grad, state, precision)
        param, state = update.update(param, grad, state)
        assert list(bounded) == ["", *state]
        judgements = [judge(Place(1, "", name), Kind.UPDATE, value, *bounded[name], precision) for name, value in {"": param, **state}.items()]
        assert wrong(judgements) == []


def alone_and_together(asked: list[Updating], settings: Settings) -> tuple[list[list[Judgement]], list[list[Judgement]]]:
    """Return the verdicts on parameters that are judged one by one, and all at once."""
    update, precision = Update(settings), Precision(np.dtype(np.float64), ELEMENTS)
    alone = [list(judge_update(update, one.updated, one.place, precision, one.reading)) for one in asked]
    return alone, list(judge_updates(update, asked, precision))


def updating(name: str, shape: tuple[int, ...], grad: tuple[int, ...], settings: Settings, step: float = 3.0) -> Updating:
    """Return a parameter that is a little off after a step, from which it kept what the optimizer keeps."""
    rng = np.random.default_rng(len(name))
    state = {kept: np.asarray(step) if kept == "step" else np.abs(rng.standard_normal(shape)) for kept in Update(settings).states}
    before, slope = rng.standard_normal(shape), rng.standard_normal(grad)
    after, left = Update(settings).update(before, slope, state)
    return Updating(UpdatedParameter(before, slope, after.reshape(shape) * (1 + 2.0**-50), state, left), Place(1, "layer", name))


@pytest.mark.parametrize("form", list(FORMS))
def test_parameters_together_get_the_verdicts_that_each_gets_alone(form: str) -> None:
    """Whatever their shapes, and where their counters differ."""
    settings, rows = FORMS[form], [("a", (3, 4), 3.0), ("bc", (5,), 3.0), ("def", (), 3.0), ("g", (5,), 7.0)]
    alone, together = alone_and_together([updating(name, shape, shape, settings, step) for name, shape, step in rows], settings)
    assert together == alone
    assert any(judgement.fraction > 0 for judgements in alone for judgement in judgements)


def test_gradient_of_another_shape_is_not_hidden_among_others() -> None:
    """Put one behind another, the numbers of a row and of a vector are the same."""
    settings = SgdSettings(0.1)
    asked = [updating("a", (4,), (1, 4), settings), updating("bc", (2, 2), (2, 2), settings)]
    alone, together = alone_and_together(asked, settings)
    assert together == alone
    assert together[0][0].reason == "the shape is (4,), expected (1, 4)"


@pytest.mark.parametrize("form", list(FORMS))
def test_tolerance_is_not_far_above_what_rounding_does(form: str) -> None:
    """Of every quantity, some right step comes within a fiftieth of what is tolerated; a first buffer that is the gradient itself is exact."""
    worst: dict[str, float] = {}
    for seed in range(5):
        for judgement in judged(FORMS[form], COMPILED[type(FORMS[form])], "normal", "float32", seed):
            worst[judgement.place.quantity] = max(worst.get(judgement.place.quantity, 0.0), judgement.fraction)
    worst.pop("weight.step", None)
    assert {quantity: fraction for quantity, fraction in worst.items() if not 1 / 50 < fraction < 1} == {}


def other_order(settings: SgdSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    """Shrink the parameter first and subtract term by term."""
    lr, momentum, dampening, decay = held(settings, param.dtype)
    if not settings.momentum:
        return param * (1 - lr * decay) - lr * grad, {}
    whole = grad + decay * param
    buffer = momentum * state["momentum"] + (1 - dampening) * whole if state else whole
    return (param - lr * whole) - lr * momentum * buffer, {"momentum": buffer}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["sgd-decay", "sgd-nesterov"])
def test_descent_term_by_term_keeps_to_the_rule(form: str, dtype: str) -> None:
    assert wrong([judgement for seed in range(20) for judgement in judged(FORMS[form], other_order, "normal", dtype, seed)]) == []


@pytest.mark.parametrize("form", FORMS)
def test_errors_carried_limit_how_far_a_step_moves(form: str) -> None:
    """Gradient and state moved by little: the rule's own results move no further than is said, and not much less."""
    rng, update, scale = np.random.default_rng(0), Update(FORMS[form]), 2.0**-30
    param, grad = rng.standard_normal((2, 400))
    state: State = {}
    for _ in range(3):
        param, state = update.update(param, rng.standard_normal(400), state)
    errors = {name: rng.uniform(0.5, 1, 400) * np.abs(value) for name, value in state.items() if name != "step"}
    error_grad = rng.uniform(0.5, 1, 400)
    carried = update.propagated(param, grad, state, error_grad, errors)
    before, states = update.update(param, grad, state)
    reached = dict.fromkeys(carried, 0.0)
    for _ in range(20):
        signs = rng.choice((-1.0, 1.0), (len(errors) + 1, 400))
        moved = {name: state[name] + scale * sign * errors[name] for name, sign in zip(errors, signs[1:], strict=True)}
        after, states_after = update.update(param, grad + scale * signs[0] * error_grad, {**state, **moved})
        found, start = {"": after, **states_after}, {"": before, **states}
        for name in carried:
            distance = np.abs(found[name] - start[name]) / scale
            reached[name] = max(reached[name], float((distance / np.maximum(carried[name], np.finfo(np.float64).tiny)).max()))
    reached.pop("step", None)
    rounding = 1 + 2.0**-10  # of the difference quotient itself
    assert {name: value for name, value in reached.items() if not 0.3 < value < rounding} == {}


def test_error_of_reading_a_gradient_is_allowed_for() -> None:
    settings, rng = AdamSettings(), np.random.default_rng(0)
    param, grad = rng.standard_normal((2, 40)).astype(np.float32)
    after, state = adam_compiled(settings, param, grad * np.float32(1 + 1e-5), {})
    updated, place = UpdatedParameter(param, grad, after, {}, state), Place(1, "layer", "weight")
    precision = Precision(np.dtype(np.float32), ELEMENTS)
    strict, lenient = (
        [judgement.verdict for judgement in judge_update(Update(settings), updated, place, precision, reading)]
        for reading in (None, Bound(np.abs(grad.astype(np.float64)) * 1e-5 / precision.unit, 1.0))
    )
    assert Verdict.MISMATCH in strict
    assert lenient == [Verdict.MATCH] * 4


def judged_adam(state: State, state_after: State, grad: float = 1.0) -> list[tuple[str, Verdict, str]]:
    """Judge a step of Adam from a parameter 1 whose states are given."""
    one = np.ones(1)
    updated = UpdatedParameter(one, grad * one, one, state, state_after)
    judgements = judge_update(Update(AdamSettings()), updated, Place(1, "layer", "weight"), Precision(np.dtype(np.float64), ELEMENTS))
    return [(judgement.place.quantity, judgement.verdict, judgement.reason) for judgement in judgements]


def test_state_that_is_not_kept_is_a_mismatch() -> None:
    found = judged_adam({}, {"exp_avg": np.full(1, 0.1), "step": np.ones(())})
    assert found[2] == ("weight.exp_avg_sq", Verdict.MISMATCH, "the optimizer does not keep the state exp_avg_sq")
    assert [verdict for _, verdict, _ in found] == [Verdict.MISMATCH, Verdict.MATCH, Verdict.MISMATCH, Verdict.MATCH]


def test_start_that_is_not_known_leaves_it_undecided() -> None:
    kept: State = {name: np.zeros(1) for name in ("exp_avg", "exp_avg_sq")}
    found = judged_adam(kept, {**kept, "step": np.ones(())})
    assert found[0] == ("weight", Verdict.UNDECIDED, "the state that the step started from lacks step")
    assert {verdict for _, verdict, _ in found} == {Verdict.UNDECIDED}


def test_gradient_that_is_not_finite_leaves_it_undecided() -> None:
    assert judged_adam({}, {}, np.nan)[0][1] is Verdict.UNDECIDED


@pytest.mark.parametrize("dtype", ["int64", "float32", "float64"])
def test_counter_is_a_number_of_any_type(dtype: str) -> None:
    assert judged_adam({}, {"step": np.ones((), dtype)})[3][1] is Verdict.MATCH


def test_gradient_is_implied_by_descent_alone() -> None:
    with pytest.raises(TypeError, match="cannot be computed from a step of Adam"):
        implied_gradient(AdamSettings(), np.ones(2), np.zeros(2), None)


def as_function(settings: Settings) -> UpdateFunction:
    """Return the rule as a subject that hands its state around in its configuration."""
    update = Update(settings)

    def step(w: Array, dw: Array, config: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        after, state = update.update(w, dw, {name: config[name] for name in settings.states if name in config})
        return after, {**config, **state}

    return UpdateFunction(step)


@pytest.mark.slow(
    "each takes hundreds of perturbed runs; every form is judged by its theory in test_torch_keeps_to_the_rule", default=["sgd", "sgd-nesterov"]
)
@pytest.mark.parametrize("form", FORMS)
def test_rule_agrees_with_torch_where_its_rounding_is_measured(form: str) -> None:
    settings = FORMS[form]
    torchs = {"momentum": "momentum_buffer"}
    state = {name: torchs.get(name, name) for name in settings.states if name != "step"}
    pair = OptimizerPair(
        as_function(settings), lambda params: by_torch(settings, params[0]), state=state, shapes={"weight": SHAPE}, framework="torch"
    )
    result = check(pair, only=lambda name: name.startswith("updates-float64"))
    assert [(found.check, found.reason) for found in result.results if found.verdict is not Verdict.MATCH] == []
    assert len(result.results) > 3


def test_state_in_another_unit() -> None:
    """The tolerance has room for two roundings of the product more, and the parameters stay."""
    steps = [Step({"w": np.ones(1)}, {"v": {"w": np.array([2.0])}})]
    expected = Expected(steps, [{("", "w"): Bound(np.ones(1), 1.0), ("v", "w"): Bound(np.array([3.0]), 1.0)}])
    halved = multiple(expected, "v", -0.5)
    assert (halved.value(0, "v", "w").tolist(), halved.value(0, "", "w").tolist()) == ([-1.0], [1.0])
    assert [np.asarray(bound.abs_sum).tolist() for bound in halved.bounds[0].values()] == [[1.0], [3.5]]


def test_mutant_of_the_rate_alone() -> None:
    assert [one.in_rate_alone for one in (AS_IT_IS, OptimizerMutant(lr_factor=2), OptimizerMutant(lr_factor=2, state="lost"))] == [True, True, False]
