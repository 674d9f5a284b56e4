"""Optimizers: single steps judged by the written rules, and whole runs beside PyTorch's optimizers, as users' are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from crosscheck.adapters.optimizers import Holding
from crosscheck.checks import Settings as CheckSettings
from crosscheck.checks.optimizers import update_check
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Judgement
from crosscheck.core.operation import DTYPES
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.optimizers import AdamSettings, Settings, SgdSettings, Update, UpdatedParameter, judge_update
from crosscheck.pairs.optimizer_pair import GRADIENTS, OptimizerPair
from crosscheck.pairs.prepare import prepare
from crosscheck.references.pytorch.training import optimizer as torch_optimizer
from reference.copying import settings_of
from tests.support.optimizer_cases import OPTIMIZERS
from tests.support.right_ways.task import Task, Trial, drawn
from tests.support.update_cases import COMPILED, FORMS, SHAPE, STEPS, State, Step, Torch, mixed


def sgd_shrinking(settings: SgdSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    """Take a step of gradient descent whose decay shrinks the parameter first."""
    return np.asarray(param * (1 - settings.lr * settings.weight_decay) - settings.lr * grad), {}


def sgd_in_place(settings: SgdSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    """Take a step of gradient descent with momentum in place, one operation after another."""
    direction = grad + settings.weight_decay * param if settings.weight_decay else grad
    buffer = direction.copy()
    if state:
        buffer = state["momentum"].copy()
        buffer *= settings.momentum
        buffer += (1 - settings.dampening) * direction
    step = direction + settings.momentum * buffer if settings.nesterov else buffer.copy()
    step *= -settings.lr
    return np.asarray(step + param), {"momentum": buffer}


def adam_in_float(settings: AdamSettings, param: Array, grad: Array, state: State) -> tuple[Array, State]:
    """Take Adam's step as tutorials write it, with Python numbers as settings and both moments as means."""
    (one, two), step = settings.betas, float(state.get("step", 0)) + 1
    if settings.decoupled:
        param = param - settings.lr * settings.weight_decay * param
    else:
        grad = grad + settings.weight_decay * param if settings.weight_decay else grad
    zero = np.zeros_like(param)
    m, v = mixed(one, state.get("exp_avg", zero), grad), mixed(two, state.get("exp_avg_sq", zero), grad * grad)
    after = {"exp_avg": m, "exp_avg_sq": v, "step": np.asarray(step, param.dtype)}
    if settings.amsgrad:
        after["max_exp_avg_sq"] = v = np.maximum(state.get("max_exp_avg_sq", zero), v)
    corrected, root = m / (1 - one**step), np.sqrt(v / (1 - two**step))
    return np.asarray(param - settings.lr * corrected / (root + settings.eps)), after


def _makers(settings: Settings) -> Mapping[str, Callable[[], Step]]:
    """Return a function for each way that makes it; PyTorch's optimizer belongs to one parameter."""
    found: dict[str, Callable[[], Step]] = {"torch": Torch, "compiled": lambda: COMPILED[type(settings)]}
    if isinstance(settings, AdamSettings):
        found["tutorial"] = lambda: adam_in_float
    if isinstance(settings, SgdSettings):
        found["in place" if settings.momentum else "shrinking"] = lambda: sgd_in_place if settings.momentum else sgd_shrinking
    return found


@dataclass(frozen=True)
class StepTask:
    """Several steps of an optimizer of ``update_cases.FORMS``, each judged on the values before the step."""

    form: str
    sensitive: Sequence[str] = ()
    cost: float = 1.0
    measured: bool = False
    images: bool = False

    @property
    def quantities(self) -> int:
        """The parameter and its states after every step."""
        return STEPS * (1 + len(FORMS[self.form].states))

    @property
    def name(self) -> str:
        """The form."""
        return f"step of {self.form}"

    @cached_property
    def _made(self) -> Mapping[str, Callable[[], Step]]:
        return _makers(FORMS[self.form])

    @property
    def ways(self) -> Sequence[str]:
        """The names of the ways."""
        return tuple(self._made)

    @np.errstate(all="ignore")
    def judged(self, way: str, trial: Trial) -> list[Judgement]:
        """Return the verdict on the parameter and on each state after every step."""
        settings, take = FORMS[self.form], self._made[way]()
        elements = int(np.prod(SHAPE)) * (1 + len(settings.states)) * STEPS * len(FAMILIES) * len(DTYPES)
        precision, (family, of_params) = Precision(np.dtype(trial.dtype), elements), drawn(trial)
        rng = np.random.default_rng([trial.seed, *map(ord, self.form)])
        param: Array = (of_params * rng.standard_normal(SHAPE)).astype(trial.dtype)
        state: State = {}
        judgements: list[Judgement] = []
        for step in range(1, STEPS + 1):
            grad = family.grad_output(rng, SHAPE, trial.dtype)
            after, state_after = take(settings, param, grad, state)
            updated = UpdatedParameter(param, grad, after, state, state_after)
            judgements += judge_update(Update(settings), updated, Place(step, self.name, "weight"), precision)
            param, state = after, state_after
        return judgements


@dataclass(frozen=True)
class RunTask:
    """A row of ``optimizer_cases.OPTIMIZERS`` beside PyTorch's optimizer, for several steps, as users' optimizers are checked."""

    row: str
    ways: Sequence[str] = ("scratch",)
    sensitive: Sequence[str] = ()
    quantities: int = 10
    cost: float = 40.0
    measured: bool = False
    images: bool = False

    @property
    def name(self) -> str:
        """The row."""
        return f"run of {self.row}"

    @cached_property
    def _pair(self) -> OptimizerPair:
        row = OPTIMIZERS[self.row]
        make: Callable[..., Any] = row.kind
        optimizer = make({}, **row.settings)
        subject = Holding(lambda params: make(params, **row.settings))
        return OptimizerPair(subject, partial(torch_optimizer, settings_of(optimizer)), state={}, name=self.name, steps=5)

    def judged(self, way: str, trial: Trial) -> list[Judgement]:
        """Return the verdict on the parameters after every step; the seed picks the kind of gradients."""
        kinds = [kind for kind in OPTIMIZERS[self.row].gradients if kind in GRADIENTS]
        check = update_check(trial.dtype, kinds[trial.seed % len(kinds)])
        return [judgement for _, judgement in check.run(prepare(self._pair), CheckSettings(seed=trial.seed)).judgements]


TASKS: tuple[Task, ...] = (*map(StepTask, FORMS), *map(RunTask, OPTIMIZERS))
"""All of them."""
