"""The end of a whole step of a deep network: judged by norms, on a measured yardstick that is neither too tight nor worthless."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from training.run import Plan, compared
from training.subjects import layered

import scratch
from crosscheck.core.judge import Judgement, Kind, Verdict, judge_norm
from crosscheck.core.precision import Precision
from crosscheck.core.trace import Place, Trace
from crosscheck.oracles.step import DEEP
from crosscheck.training.lockstep import check_step
from scratch.initialisers import he_normal
from tests.support.networks import digits

BATCH = 8
BLOCKS = 8


def deep(dtype: str) -> scratch.Sequential:
    """Return a network of more than DEEP layers, with shortcuts."""
    rng = np.random.default_rng(0)

    def block() -> scratch.Sequential:
        linear = scratch.Linear(16, 16, rng=rng, dtype=dtype, init=he_normal)
        body = scratch.Sequential(linear=linear, norm=scratch.BatchNorm1d(16, dtype=dtype))
        return scratch.Sequential(add=scratch.Residual(body), relu=scratch.ReLU())

    first = scratch.Linear(784, 16, rng=rng, dtype=dtype, init=he_normal)
    last = scratch.Linear(16, 10, rng=rng, dtype=dtype, init=he_normal)
    blocks = {f"block{number}": block() for number in range(BLOCKS)}
    return scratch.Sequential(flatten=scratch.Flatten(), first=first, **blocks, last=last)


@functools.cache
def step(dtype: str, seed: int = 0) -> tuple[object, ...]:
    model = deep(dtype)
    twins = layered(model, scratch.SGD(model.trainable_params, lr=0.1))
    assert len(twins.architecture.wiring) > DEEP
    images = digits().train_images[seed * BATCH :][:BATCH]
    x, labels = np.asarray(images[:, None].astype(dtype) / 255 - 0.5, dtype), digits().train_labels[seed * BATCH :][:BATCH]
    precision = compared(twins, Plan(np.dtype(dtype), BATCH, 1, 1, 0, 0), digits()).precision
    trace = twins.subject.traced_step(1, x, labels)
    return twins.architecture, dict(twins.subject.layers), trace, x, labels, precision


def whole(dtype: str, seed: int = 0, trace: Trace | None = None) -> list[Judgement]:
    architecture, layers, own, *rest = step(dtype, seed)
    return check_step(architecture, layers, trace or own, *rest).whole  # type: ignore[arg-type]


@pytest.mark.each_choice("seed", "dtype")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(4))
def test_right_step_is_within_it(dtype: str, seed: int) -> None:
    judgements = whole(dtype, seed)
    assert {judgement.verdict for judgement in judgements} == {Verdict.MATCH}
    largest = max(j.fraction for j in judgements if j.place.quantity.endswith(".grad"))
    # A yardstick that forgives ten thousand times what there is would be none.
    assert largest > 1e-4


@pytest.mark.parametrize("quantity", ["linear.weight.grad", "norm.bias.grad", "norm.grad_input", "linear.output"])
def test_error_in_one_quantity_is_seen(quantity: str) -> None:
    """One element in the fourth block is off by a hundredth of the norm of them all."""
    _, _, trace, *_ = step("float32")
    assert isinstance(trace, Trace)
    layer, _, own = quantity.partition(".")
    place = (f"block4.add.{layer}" if (f"block4.add.{layer}", "output") in trace else f"block4.{layer}", own)
    changed = Trace(trace.step)
    for key, value in trace.items():
        error = np.zeros_like(value)
        error.flat[0] = np.linalg.norm(value) / 100 if key == place else 0
        changed.record(*key, value + error)
    wrong = [j.place for j in whole("float32", trace=changed) if j.verdict is Verdict.MISMATCH]
    assert Place(1, *place) in wrong


PRECISION = Precision(np.dtype(np.float32), 100)


def judged(value: list[float], allowed: float) -> Judgement:
    """Judge numbers that are to be 3 and 4."""
    return judge_norm(Place(1, "a", "b"), Kind.WHOLE, np.array(value, np.float32), np.array([3.0, 4.0]), allowed, PRECISION)


@pytest.mark.parametrize(
    ("value", "allowed", "verdict"),
    [
        pytest.param([3.0, 4.0], 0.0, Verdict.MATCH, id="equal"),
        pytest.param([3.0, 4.0 + 2**-20], 2.0**4, Verdict.MATCH, id="just-within"),
        pytest.param([3.0, 4.0 + 2**-20], 2.0**4 - 1, Verdict.MISMATCH, id="just-beyond"),
        pytest.param([3.0, 4.0 + 2**-20], 0.0, Verdict.MISMATCH, id="nothing-tolerated"),
        pytest.param([3.0, 4.0 + 2**-20], np.inf, Verdict.UNDECIDED, id="no-limit"),
        pytest.param([3.0, np.nan], 1e9, Verdict.MISMATCH, id="nan"),
        pytest.param([3.0], 1e9, Verdict.MISMATCH, id="shape"),
    ],
)
def test_judge_norm(value: list[float], allowed: float, verdict: Verdict) -> None:
    assert judged(value, allowed).verdict is verdict


def test_size_of_a_norm() -> None:
    """2^-20 beside a norm of 5, in units of 2^-24."""
    judgement = judged([3.0, 4.0 + 2**-20], 2.0)
    assert (judgement.units, judgement.fraction, judgement.exceeding) == (2**4 / 5, 8.0, 1)
    assert judgement.worst is not None
    assert judgement.worst.index == (1,)
