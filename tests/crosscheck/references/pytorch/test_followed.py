"""An optimizer that is followed from gradients given anew: its steps are torch.optim's, and its spread covers their rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from crosscheck.core.operation import RefusedError
from crosscheck.core.precision import Array
from crosscheck.oracles.theories.measured import SCALES
from crosscheck.oracles.whole import EACH
from crosscheck.references.pytorch.followed import Followed
from crosscheck.references.pytorch.optimizers import double_by_default

START = {"w": np.linspace(-1, 1, 12).reshape(3, 4), "b": np.array([0.5, -0.25])}

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True),
    "adamw": lambda params: torch.optim.AdamW(params, lr=1e-3),
    "by groups": lambda params: torch.optim.AdamW(
        [{"params": [p for p in params if p.dim() > 1]}, {"params": [p for p in params if p.dim() < 2], "weight_decay": 0.0}], lr=1e-3
    ),
    "nadam": torch.optim.NAdam,
    "row by row": torch.optim.Adafactor,
}


def gradients(steps: int) -> list[dict[str, Array]]:
    rng = np.random.default_rng(0)
    return [{name: rng.standard_normal(value.shape) for name, value in START.items()} for _ in range(steps)]


def by_torch(make: Any, schedule: Any, clip: Any, steps: int, dtype: torch.dtype = torch.float64) -> list[dict[str, Array]]:
    """Return the parameters after each step of a training of its own."""
    with double_by_default():
        return _by_torch(make, schedule, clip, steps, dtype)


def _by_torch(make: Any, schedule: Any, clip: Any, steps: int, dtype: torch.dtype) -> list[dict[str, Array]]:
    params = [torch.tensor(value, dtype=dtype, requires_grad=True) for value in START.values()]
    optimizer = make(params)
    scheduler = schedule(optimizer) if schedule else None
    after = []
    for grads in gradients(steps):
        for param, grad in zip(params, grads.values(), strict=True):
            param.grad = torch.tensor(grad, dtype=dtype)
        if clip:
            clip(params)
        optimizer.step()
        if scheduler:
            scheduler.step()
        after.append({name: param.detach().numpy().copy() for name, param in zip(START, params, strict=True)})
    return after


def followed(make: Any, schedule: Any, clip: Any, steps: int) -> list[tuple[dict[str, Array], list[dict[str, Array]]]]:
    optimizer, before, found = Followed(make, schedule, clip, START), START, []
    for grads in gradients(steps):
        found.append(optimizer.step(before, grads, []))
        before = found[-1][0]
    return found


def cosine(optimizer: Any) -> Any:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)


def norm(params: Any) -> Any:
    return torch.nn.utils.clip_grad_norm_(params, 0.5)


WAYS = [*((name, None, None) for name in OPTIMIZERS), ("sgd", cosine, None), ("adamw", cosine, norm)]


@pytest.mark.parametrize(("name", "schedule", "clip"), WAYS, ids=lambda one: getattr(one, "__name__", str(one)))
def test_steps_are_those_of_torch(name: str, schedule: Any, clip: Any) -> None:
    """In float64 nothing but the order of a sum may differ, within the spread that is measured."""
    for (after, runs), expected in zip(followed(OPTIMIZERS[name], schedule, clip, 4), by_torch(OPTIMIZERS[name], schedule, clip, 4), strict=True):
        for key, value in after.items():
            unit = np.abs(runs[0][key] - value).max() / SCALES[0] * np.finfo(np.float64).eps
            assert np.abs(value - expected[key]).max() <= 4 * unit + np.finfo(np.float64).eps


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_spread_covers_single_precision(name: str) -> None:
    """The spread of the runs, in units of float32's rounding, is about the size of the errors that float32 makes from the same start."""
    single = by_torch(OPTIMIZERS[name], None, None, 1, torch.float32)[0]
    after, runs = followed(OPTIMIZERS[name], None, None, 1)[0]
    unit = float(np.finfo(np.float32).eps) / 2
    for key, value in after.items():
        assert runs[0][key].shape == (EACH, *value.shape)
        spread = np.sqrt(np.mean(np.square((runs[0][key] - value) / SCALES[0]), axis=0))
        assert (np.abs(single[key] - value) <= 16 * unit * np.maximum(spread, np.abs(value))).all()


def test_without_an_optimizer_nothing_changes() -> None:
    ((after, runs),) = followed(None, None, None, 1)
    assert all(np.array_equal(after[name], value) and np.array_equal(runs[0][name][3], value) for name, value in START.items())


REFUSED = {
    "no optimizer": (lambda params: 3, None, None, "made a int, expected a torch.optim.Optimizer"),
    "no scheduler": (OPTIMIZERS["sgd"], lambda optimizer: 3, None, "the schedule returned a int, expected a scheduler"),
    "schedule raises": (OPTIMIZERS["sgd"], lambda optimizer: 1 / 0, None, "cannot do a training step, schedule: division by zero"),
    "clip raises": (OPTIMIZERS["sgd"], None, lambda params: params[9], "cannot do a training step, clip: list index out of range"),
    "needs a closure": (torch.optim.LBFGS, None, None, "cannot do a training step, torch.optim.LBFGS"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_training_is_refused(case: str) -> None:
    make, schedule, clip, words = REFUSED[case]
    with pytest.raises(RefusedError, match=words):
        followed(make, schedule, clip, 1)
