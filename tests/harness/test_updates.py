"""The theory of updates: PyTorch's optimizers and other right ones keep to it in every form, planted faults do not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from unshrunk import check

from crosscheck.adapters.optimizers import UpdateFunction
from crosscheck.arithmetic import Arithmetic, Array, Bound
from crosscheck.families import FAMILIES
from crosscheck.judgement import Judgement, Verdict
from crosscheck.optimizer_pair import OptimizerPair
from crosscheck.trace import Place
from crosscheck.update import (
    AdadeltaSettings,
    AdamSettings,
    RmspropSettings,
    Settings,
    SgdSettings,
    UpdatedParameter,
    implied_gradient,
    judge_update,
    update_of,
)

State = dict[str, Array]
Step = Callable[[Any, Array, Array, State], tuple[Array, State]]

FORMS: Mapping[str, Settings] = {
    "sgd": SgdSettings(0.005),
    "sgd-decay": SgdSettings(0.1, weight_decay=0.01),
    "sgd-momentum": SgdSettings(0.05, momentum=0.9),
    "sgd-dampening-decay": SgdSettings(0.05, momentum=0.9, dampening=0.3, weight_decay=0.02),
    "sgd-nesterov": SgdSettings(0.05, momentum=0.8, nesterov=True),
    "adadelta": AdadeltaSettings(),
    "adadelta-keras": AdadeltaSettings(lr=0.3, rho=0.95, eps=1e-7, weight_decay=0.02),
    "rmsprop": RmspropSettings(),
    "rmsprop-momentum-decay": RmspropSettings(lr=0.003, alpha=0.9, momentum=0.7, weight_decay=0.02),
    "rmsprop-centered": RmspropSettings(centered=True),
    "rmsprop-centered-momentum": RmspropSettings(alpha=0.8, eps=1e-3, momentum=0.9, centered=True),
    "adam": AdamSettings(),
    "adam-decay": AdamSettings(lr=0.02, betas=(0.8, 0.99), eps=1e-4, weight_decay=0.01),
    "adam-amsgrad": AdamSettings(lr=0.01, amsgrad=True),
    "adamw": AdamSettings(weight_decay=0.01, decoupled=True),
    "adamw-amsgrad": AdamSettings(lr=0.1, weight_decay=0.1, decoupled=True, amsgrad=True),
}
GRADIENTS = ("normal", "ties", "kinks", "wide", "tiny", "huge")
DTYPES = ("float64", "float32")
STEPS, SHAPE = 6, (7, 5)
ELEMENTS = 1_000_000


def by_torch(settings: Settings, param: Any) -> Any:
    """Return PyTorch's optimizer of one parameter."""
    match settings:
        case SgdSettings():
            s = settings
            return torch.optim.SGD([param], s.lr, s.momentum, s.dampening, s.weight_decay, s.nesterov)
        case AdadeltaSettings():
            return torch.optim.Adadelta([param], settings.lr, settings.rho, settings.eps, settings.weight_decay)
        case RmspropSettings():
            r = settings
            return torch.optim.RMSprop([param], r.lr, r.alpha, r.eps, r.weight_decay, r.momentum, r.centered)
        case AdamSettings():
            make = torch.optim.AdamW if settings.decoupled else torch.optim.Adam
            return make([param], settings.lr, settings.betas, settings.eps, settings.weight_decay, settings.amsgrad)


class Torch:
    """PyTorch's optimizer, asked for one step after another."""

    def __init__(self) -> None:
        self.param: Any = None

    def __call__(self, settings: Settings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
        if self.param is None:
            self.param = torch.from_numpy(param.copy()).requires_grad_()
            self.optimizer = by_torch(settings, self.param)
        self.param.grad = torch.from_numpy(np.array(grad, order="C"))
        self.optimizer.step()
        kept = self.optimizer.state[self.param]
        names = {"momentum": "momentum_buffer"}
        after = {name: np.asarray(kept[names.get(name, name)].numpy().copy()) for name in settings.states}
        return self.param.detach().numpy().copy(), after


def mixed(beta: Any, old: Any, new: Array) -> Array:
    return np.asarray(beta * old + (1 - beta) * new)


def held(settings: Settings, dtype: Any) -> list[Any]:
    """Return settings as code holds them that computes with them in its own precision."""
    return [dtype.type(value) for value in vars(settings).values() if isinstance(value, float)]


def adam_compiled(settings: AdamSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    """Take Adam's step as it was published, with every setting in the array's own precision, as compiled code may."""
    one = param.dtype.type(1)
    lr, eps, decay = held(settings, param.dtype)
    betas = [param.dtype.type(beta) for beta in settings.betas]
    step = param.dtype.type(state.get("step", 0)) + one
    param, grad = (param - lr * decay * param, grad) if settings.decoupled else (param, grad + decay * param)
    m = (one - betas[0]) * (grad - state.get("exp_avg", one * 0)) + state.get("exp_avg", one * 0)
    v = mixed(betas[1], state.get("exp_avg_sq", one * 0), grad**2)
    after = {"exp_avg": m, "exp_avg_sq": v, "step": np.asarray(step)}
    if settings.amsgrad:
        after["max_exp_avg_sq"] = v = np.maximum(state.get("max_exp_avg_sq", one * 0), v)
    first, second = (one - beta**step for beta in betas)
    return np.asarray(param - lr * (m / first) / (np.sqrt(v / second) + eps)), after


def adadelta_compiled(settings: AdadeltaSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    """Take Adadelta's step in Keras's order: the quotient of the roots last."""
    lr, rho, eps, decay = held(settings, param.dtype)
    grad = grad + decay * param
    zero = np.zeros_like(param)
    square_avg = mixed(rho, state.get("square_avg", zero), grad**2)
    delta = grad * np.sqrt(state.get("acc_delta", zero) + eps) / np.sqrt(square_avg + eps)
    return param - lr * delta, {"square_avg": square_avg, "acc_delta": mixed(rho, state.get("acc_delta", zero), delta**2)}


def rmsprop_compiled(settings: RmspropSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    lr, alpha, eps, decay, momentum = held(settings, param.dtype)
    grad, zero = grad + decay * param, np.zeros_like(param)
    after = {"square_avg": state.get("square_avg", zero) + (1 - alpha) * (grad * grad - state.get("square_avg", zero))}
    variance = after["square_avg"]
    if settings.centered:
        after["grad_avg"] = mixed(alpha, state.get("grad_avg", zero), grad)
        variance = variance - after["grad_avg"] ** 2
    direction = grad / (np.sqrt(variance) + eps)
    if settings.momentum:
        direction = after["momentum"] = momentum * state.get("momentum", zero) + direction
    return param - lr * direction, after


def sgd_compiled(settings: SgdSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    lr, momentum, dampening, decay = held(settings, param.dtype)
    grad = grad + decay * param
    if not settings.momentum:
        return param - lr * grad, {}
    buffer = momentum * state["momentum"] + (1 - dampening) * grad if state else grad
    return param - (lr * grad + lr * momentum * buffer if settings.nesterov else lr * buffer), {"momentum": buffer}


COMPILED: Mapping[type, Step] = {
    SgdSettings: sgd_compiled,
    AdadeltaSettings: adadelta_compiled,
    RmspropSettings: rmsprop_compiled,
    AdamSettings: adam_compiled,
}


def judged(settings: Settings, take: Step, family: str, dtype: str, seed: int = 0) -> list[Judgement]:
    """Judge several steps of an optimizer, each on what it started from."""
    rng, arithmetic = np.random.default_rng(seed), Arithmetic(np.dtype(dtype), ELEMENTS)
    judgements: list[Judgement] = []
    param: Array = rng.standard_normal(SHAPE).astype(dtype)
    state: State = {}
    for step in range(1, STEPS + 1):
        grad = FAMILIES[family].grad_output(rng, SHAPE, dtype)
        with np.errstate(all="ignore"):
            after, state_after = take(settings, param, grad, state)
        updated = UpdatedParameter(param, grad, after, state, state_after)
        judgements += judge_update(update_of(settings), updated, Place(step, "layer", "weight"), arithmetic)
        param, state = after, state_after
    return judgements


def wrong(judgements: list[Judgement]) -> list[tuple[str, str, float]]:
    return [(str(j.place), j.reason, j.fraction) for j in judgements if j.verdict is not Verdict.MATCH]


CASES = list(itertools.product(FORMS, GRADIENTS, DTYPES))


@pytest.mark.parametrize(("form", "family", "dtype"), CASES)
def test_torch_keeps_to_the_rule(form: str, family: str, dtype: str) -> None:
    judgements = judged(FORMS[form], Torch(), family, dtype)
    assert len(judgements) == STEPS * (1 + len(FORMS[form].states))
    assert wrong(judgements) == []


@pytest.mark.parametrize(("form", "family", "dtype"), CASES)
def test_compiled_code_keeps_to_the_rule(form: str, family: str, dtype: str) -> None:
    """Other orders of the formulas, with every setting rounded to the precision of the arrays."""
    assert wrong(judged(FORMS[form], COMPILED[type(FORMS[form])], family, dtype)) == []


@pytest.mark.parametrize("form", list(FORMS))
def test_tolerance_is_not_far_above_what_rounding_does(form: str) -> None:
    """Of every quantity, some right step comes within a fiftieth of what is tolerated; a first buffer that is the gradient itself is exact."""
    worst: dict[str, float] = {}
    for seed in range(10):
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


def eps_inside(settings: AdamSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    _, after = adam_compiled(settings, param, grad, state)
    first, second = (1 - beta ** after["step"] for beta in settings.betas)
    return param - settings.lr * (after["exp_avg"] / first) / np.sqrt(after["exp_avg_sq"] / second + settings.eps), after


def uncorrected(settings: AdamSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    _, after = adam_compiled(settings, param, grad, state)
    return param - settings.lr * after["exp_avg"] / (np.sqrt(after["exp_avg_sq"]) + settings.eps), after


def corrected_late(settings: AdamSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    _, after = adam_compiled(settings, param, grad, state)
    first, second = (1 - beta ** (after["step"] + 1) for beta in settings.betas)
    return param - settings.lr * (after["exp_avg"] / first) / (np.sqrt(after["exp_avg_sq"] / second) + settings.eps), after


def largest_forgotten(settings: AdamSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    after, states = adam_compiled(replace(settings, amsgrad=False), param, grad, state)
    return after, {**states, "max_exp_avg_sq": np.maximum(state.get("max_exp_avg_sq", 0 * param), states["exp_avg_sq"])}


def without_counting(settings: AdamSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    after, states = adam_compiled(settings, param, grad, state)
    return after, {**states, "step": np.asarray(settings.lr * 0 + 1.0)}


def new_steps_first(settings: AdadeltaSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    _, after = adadelta_compiled(settings, param, grad, state)
    return adadelta_compiled(settings, param, grad, {**state, "acc_delta": after["acc_delta"]})[0], after


def eps_beside_the_root(settings: AdadeltaSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    _, after = adadelta_compiled(settings, param, grad, state)
    root = np.sqrt(state.get("acc_delta", 0 * param)) + settings.eps
    return param - settings.lr * grad * root / (np.sqrt(after["square_avg"]) + settings.eps), after


def inside_the_root(settings: RmspropSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    _, after = rmsprop_compiled(settings, param, grad, state)
    return param - settings.lr * grad / np.sqrt(after["square_avg"] + settings.eps), after


def not_centered(settings: RmspropSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    _, after = rmsprop_compiled(settings, param, grad, state)
    return rmsprop_compiled(replace(settings, centered=False), param, grad, state)[0], after


def lr_in_the_buffer(settings: RmspropSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    after, states = rmsprop_compiled(settings, param, grad, state)
    return after, {**states, "momentum": settings.lr * states["momentum"]}


def dampened_from_the_start(settings: SgdSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    return sgd_compiled(settings, param, grad, state or {"momentum": np.zeros_like(param)})


def _settings(**changes: Any) -> Step:
    """Return the right step by settings some of which are wrong."""
    return lambda settings, param, grad, state: COMPILED[type(settings)](replace(settings, **changes), param, grad, state)


FAULTS: Mapping[str, tuple[str, Step, str]] = {
    "sgd, relative 1e-3": ("sgd", _settings(lr=0.005 * (1 + 1e-3)), "weight"),
    "sgd, decay with the other sign": ("sgd-decay", _settings(weight_decay=-0.01), "weight"),
    "sgd, dampened from the start": ("sgd-dampening-decay", dampened_from_the_start, "weight.momentum"),
    "sgd, dampening left out": ("sgd-dampening-decay", _settings(dampening=0.0), "weight.momentum"),
    "sgd, not nesterov": ("sgd-nesterov", _settings(nesterov=False), "weight"),
    "adadelta, rho the other way round": ("adadelta", _settings(rho=0.1), "weight.square_avg"),
    "adadelta, this step's mean": ("adadelta", new_steps_first, "weight"),
    "adadelta, eps beside the root": ("adadelta", eps_beside_the_root, "weight"),
    "adadelta, learning rate left out": ("adadelta-keras", _settings(lr=1.0), "weight"),
    "adadelta, decay left out": ("adadelta-keras", _settings(weight_decay=0.0), "weight"),
    "rmsprop, eps inside the root": ("rmsprop-eps", inside_the_root, "weight"),
    "rmsprop, not centered": ("rmsprop-centered", not_centered, "weight"),
    "rmsprop, learning rate in the buffer": ("rmsprop-momentum-decay", lr_in_the_buffer, "weight.momentum"),
    "rmsprop, alpha of another": ("rmsprop", _settings(alpha=0.9), "weight.square_avg"),
    "adam, eps inside the root": ("adam-eps", eps_inside, "weight"),
    "adam, uncorrected": ("adam", uncorrected, "weight"),
    "adam, corrected for a step more": ("adam", corrected_late, "weight"),
    "adam, betas exchanged": ("adam", _settings(betas=(0.999, 0.9)), "weight.exp_avg"),
    "adam, decoupled": ("adam-decay", _settings(decoupled=True), "weight"),
    "adamw, coupled": ("adamw", _settings(decoupled=False), "weight.exp_avg"),
    "adam, largest forgotten": ("adam-amsgrad", largest_forgotten, "weight"),
    "adam, steps not counted": ("adam", without_counting, "weight.step"),
}
PLANTED = {**FORMS, "adam-eps": AdamSettings(eps=1e-4), "rmsprop-eps": RmspropSettings(eps=1e-4)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found(fault: str, dtype: str) -> None:
    form, take, quantity = FAULTS[fault]
    found = [judgement.place.quantity for judgement in judged(PLANTED[form], take, "normal", dtype) if judgement.verdict is Verdict.MISMATCH]
    assert quantity in found


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ("adam", _settings(eps=1e-7)),
        ("adam", _settings(betas=(0.9, 0.9990001))),
        ("rmsprop", _settings(eps=1e-10)),
        ("adadelta", _settings(eps=1e-7)),
        ("sgd", _settings(lr=0.005 * (1 + 1e-12))),
    ],
    ids=["adam-eps", "adam-beta", "rmsprop-eps", "adadelta-eps", "sgd-lr"],
)
def test_fault_that_single_precision_hides_is_found_in_double(form: str, fault: Step) -> None:
    assert any(judgement.verdict is Verdict.MISMATCH for judgement in judged(FORMS[form], fault, "normal", "float64"))


@pytest.mark.parametrize("form", FORMS)
def test_errors_carried_limit_how_far_a_step_moves(form: str) -> None:
    """Gradient and state moved by little: the rule's own results move no further than is said, and not much less."""
    rng, update, scale = np.random.default_rng(0), update_of(FORMS[form]), 2.0**-30
    param, grad = rng.standard_normal((2, 400))
    state: State = {}
    for _ in range(3):
        param, state = update.update(param, rng.standard_normal(400), state)
    errors = {name: rng.uniform(0.5, 1, 400) * np.abs(value) for name, value in state.items() if name != "step"}
    error_grad = rng.uniform(0.5, 1, 400)
    carried = update.carried(param, grad, state, error_grad, errors)
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
    arithmetic = Arithmetic(np.dtype(np.float32), ELEMENTS)
    strict, lenient = (
        [judgement.verdict for judgement in judge_update(update_of(settings), updated, place, arithmetic, reading)]
        for reading in (None, Bound(np.abs(grad.astype(np.float64)) * 1e-5 / arithmetic.unit, 1.0))
    )
    assert Verdict.MISMATCH in strict
    assert lenient == [Verdict.MATCH] * 4


def judged_adam(state: State, state_after: State, grad: float = 1.0) -> list[tuple[str, Verdict, str]]:
    """Judge a step of Adam from a parameter 1 whose states are given."""
    one = np.ones(1)
    updated = UpdatedParameter(one, grad * one, one, state, state_after)
    judgements = judge_update(update_of(AdamSettings()), updated, Place(1, "layer", "weight"), Arithmetic(np.dtype(np.float64), ELEMENTS))
    return [(judgement.place.quantity, judgement.verdict, judgement.reason) for judgement in judgements]


def test_state_that_is_not_kept_is_a_mismatch() -> None:
    found = judged_adam({}, {"exp_avg": np.full(1, 0.1), "step": np.ones(())})
    assert found[2] == ("weight.exp_avg_sq", Verdict.MISMATCH, "the optimizer keeps no exp_avg_sq")
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
    with pytest.raises(TypeError, match="cannot be told from a step of Adam"):
        implied_gradient(AdamSettings(), np.ones(2), np.zeros(2), None)


def as_function(settings: Settings) -> UpdateFunction:
    """Return the rule as a subject that hands its state around in its configuration."""
    update = update_of(settings)

    def step(w: Array, dw: Array, config: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
        after, state = update.update(w, dw, {name: config[name] for name in settings.states if name in config})
        return after, {**config, **state}

    return UpdateFunction(step)


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
