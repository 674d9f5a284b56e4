"""SGD of scratch against torch.optim.SGD: parameters and momentum buffers after each of several steps, in every form."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

import scratch
from crosscheck.arithmetic import Arithmetic
from crosscheck.divergence import Divergence
from crosscheck.families import FAMILIES
from crosscheck.judgement import Judgement, Verdict
from crosscheck.report.message import message
from crosscheck.subject import source
from crosscheck.trace import Place
from crosscheck.update import SgdSettings, UpdatedParameter, judge_update, update_of

FORMS = {
    "plain": SgdSettings(0.005),
    "decay": SgdSettings(0.1, weight_decay=0.01),
    "momentum": SgdSettings(0.05, momentum=0.9),
    "dampening": SgdSettings(0.05, momentum=0.9, dampening=0.3),
    "nesterov": SgdSettings(0.05, momentum=0.8, nesterov=True),
    "momentum-decay": SgdSettings(0.05, momentum=0.9, dampening=0.1, weight_decay=0.02),
    "nesterov-decay": SgdSettings(0.05, momentum=0.8, nesterov=True, weight_decay=0.02),
}
DTYPES = ("float64", "float32")
GRADIENTS = ("normal", "wide", "tiny", "huge")
SEEDS = (0, 1)
STEPS = 5
SHAPES = {"conv.weight": (4, 2, 3, 3), "linear.weight": (6, 5), "linear.bias": (5,)}
RUNS = list(itertools.product(FORMS, GRADIENTS, DTYPES, SEEDS))
ELEMENTS = len(RUNS) * STEPS * 2 * sum(int(np.prod(shape)) for shape in SHAPES.values())


@functools.lru_cache(maxsize=512)
def judged(form: str, gradients: str, dtype: str, seed: int) -> dict[tuple[int, str], Judgement]:
    """Let the optimizer take its steps and judge each on the parameters, gradients and buffers that it started from."""
    settings, arithmetic, rng = FORMS[form], Arithmetic(np.dtype(dtype), ELEMENTS), np.random.default_rng(seed)
    params = {name: rng.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}
    optimizer = scratch.SGD(params, settings.lr, settings.momentum, settings.dampening, settings.nesterov, settings.weight_decay)
    verdicts = {}
    for step in range(1, STEPS + 1):
        grads = {name: FAMILIES[gradients].grad_output(rng, shape, dtype) for name, shape in SHAPES.items()}
        before = {name: value.copy() for name, value in params.items()}
        buffers = {name: value.copy() for name, value in optimizer.state["momentum"].items()}
        optimizer.step(grads)
        for name in SHAPES:
            kept, left = ({"momentum": b[name].copy()} if name in b else {} for b in (buffers, optimizer.state["momentum"]))
            updated = UpdatedParameter(before[name], grads[name], params[name].copy(), kept, left)
            layer, _, parameter = name.partition(".")
            for judgement in judge_update(update_of(settings), updated, Place(step, layer, parameter), arithmetic):
                verdicts[step, f"{layer}.{judgement.place.quantity}"] = judgement
    return verdicts


def quantities(form: str) -> list[str]:
    """Return what an optimizer of this form changes."""
    return [name + ending for name in SHAPES for ending in (("", ".momentum") if FORMS[form].momentum else ("",))]


TESTS = [
    pytest.param(*run, step, quantity, id=f"sgd-{'-'.join(map(str, run[:3]))}-seed{run[3]}-step{step}-{quantity}")
    for run in RUNS
    for step in range(1, STEPS + 1)
    for quantity in quantities(run[0])
]


@pytest.mark.parametrize(("form", "gradients", "dtype", "seed", "step", "quantity"), TESTS)
def test_update(form: str, gradients: str, dtype: str, seed: int, step: int, quantity: str, request: pytest.FixtureRequest) -> None:
    """An updated parameter or buffer is within the tolerance that rounding explains."""
    judgement = judged(form, gradients, dtype, seed)[step, quantity]
    if judgement.verdict is not Verdict.MATCH:
        pytest.fail(message(Divergence(judgement, None, source(scratch.SGD.step)), f'pytest "{request.node.nodeid}"'), pytrace=False)
