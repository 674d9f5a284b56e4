"""Rules as programs return the numbers of PyTorch's optimizers, and what an edit changes is rounded as NumPy rounds it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from crosscheck.core.formats import BRAIN, HALF, SINGLE
from crosscheck.core.judge import Kind, Verdict, judge
from crosscheck.core.operation import RefusedError
from crosscheck.core.precision import Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.optimizers.programs import Line, Program, in_text, program_of, saturated
from crosscheck.oracles.optimizers.runs import Noise, expected_of, value_of
from crosscheck.references.pytorch.optimizers import TorchOptimizer

DOUBLE = Precision(np.dtype(np.float64), 1000)
RULES: dict[str, tuple[Any, dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "sgd, decay": (torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.01, "maximize": True}),
    "momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.8}),
    "dampened": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.8, "dampening": 0.3}),
    "nesterov": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9}),
    "rmsprop, all": (torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "centered": True, "momentum": 0.5, "weight_decay": 0.1}),
    "adadelta": (torch.optim.Adadelta, {"lr": 0.5, "weight_decay": 0.1}),
    "adam": (torch.optim.Adam, {"lr": 0.01, "weight_decay": 0.1}),
    "amsgrad": (torch.optim.Adam, {"lr": 0.01, "amsgrad": True}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01}),
}
rng = np.random.default_rng(0)
START = {"weight": rng.standard_normal((3, 4)), "bias": rng.standard_normal(4)}
GRADS = [{name: rng.standard_normal(value.shape) for name, value in START.items()} for _ in range(6)]


def oracle_of(name: str) -> TorchOptimizer:
    kind, settings = RULES[name]
    return TorchOptimizer(lambda params: kind(params, **settings))


def program(name: str) -> Program:
    found = program_of(oracle_of(name).settings, np.dtype(np.float64))
    assert found is not None
    return found


@pytest.mark.parametrize("name", RULES)
def test_program_returns_the_numbers_of_pytorch(name: str) -> None:
    """Parameters and states of every step agree within the bounds that are measured on the program."""
    right, mine = oracle_of(name).run(START, GRADS), expected_of(program(name), START, GRADS, DOUBLE)
    assert all(step.state.keys() <= theirs.state.keys() for step, theirs in zip(mine.steps, right, strict=True))
    for number, step in enumerate(right):
        for (state, param), bound in mine.bounds[number].items():
            one = judge(Place(0, "", ""), Kind.UPDATE, value_of(step, state, param), mine.value(number, state, param), bound, DOUBLE)
            assert one.verdict is Verdict.MATCH, (number, state, param)


def test_settings_without_a_rule_have_no_program() -> None:
    assert program_of({}, np.dtype(np.float64)) is None


def test_nadam_is_not_taken_for_adam() -> None:
    """Its settings have the names of Adam's; its numbers differ, which is what a search looks at."""
    nadam = TorchOptimizer(lambda params: torch.optim.NAdam(params, lr=0.01))
    taken = program_of(nadam.settings, np.dtype(np.float64))
    assert taken is not None
    assert not np.array_equal(taken.run(START, GRADS)[0].params["bias"], nadam.run(START, GRADS)[0].params["bias"])
    difference = np.abs(taken.run(START, GRADS)[-1].params["bias"] - nadam.run(START, GRADS)[-1].params["bias"])
    bound = expected_of(nadam, START, GRADS, DOUBLE).bounds[-1]["", "bias"]
    assert (difference > DOUBLE.tolerance(bound)).all()


def test_formulas_are_written_as_on_paper() -> None:
    lines = program("dampened").lines + program("adam").lines
    texts = [f"{line.name} = {in_text(line.formula)}" for line in lines]
    assert "v = beta2 * v + (1 - beta2) * g²" in texts
    assert "c1 = 1 - beta1^t" in texts
    assert "b = momentum * b + (1 - dampening) * g (in the first step g)" in texts


def test_division_by_zero_is_refused() -> None:
    with pytest.raises(RefusedError, match="no result"):
        Program((Line.of("c = 1 / (lr - lr)"), Line.of("w = w - c * g")), {"lr": 0.1}).run(START, GRADS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounded_state_is_held_by_its_format(dtype: type) -> None:
    """With noise, the rounding stays the same, so that the parameters move by no more than the noise."""
    edited = replace(program("momentum"), rounded={0: BRAIN}, dtype=np.dtype(dtype))
    steps, noisy = edited.run(START, GRADS), edited.run(START, GRADS, noise=Noise(2.0**-40, 3, 0.0))
    assert all(BRAIN.holds(step.state["momentum_buffer"]["weight"]) for step in steps)
    moved = np.abs(noisy[-1].params["weight"] - steps[-1].params["weight"])
    assert 0 < moved.max() < BRAIN.spacing**3


def test_narrow_state_is_computed_as_numpy_does() -> None:
    """A buffer of float32 times a Python number stays float32, and the step from it, too."""
    edited = replace(program("momentum"), narrow={0: SINGLE.dtype})
    buffer, param = np.zeros(4, np.float32), START["bias"].copy()
    for step, given in zip(edited.run(START, GRADS), GRADS, strict=True):
        buffer = (0.8 * buffer + given["bias"]).astype(np.float32)
        param -= 0.1 * buffer
        np.testing.assert_array_equal(step.state["momentum_buffer"]["bias"], buffer)
        np.testing.assert_array_equal(step.params["bias"], param)


def test_masked_line_leaves_elements_without_gradient() -> None:
    edited = replace(program("momentum"), masked=frozenset({1}))
    grads = [GRADS[0], {name: np.where(value > 0, value, 0.0) for name, value in GRADS[1].items()}]
    first, second = edited.run(START, grads)
    np.testing.assert_array_equal(first.params["weight"] == second.params["weight"], GRADS[1]["weight"] <= 0)


def test_numbers_beyond_a_format_become_its_largest() -> None:
    np.testing.assert_array_equal(saturated(HALF, np.array([1e9, -1e9, 1.0])), [65504.0, -65504.0, 1.0])
