"""Mistakes in optimizers that no fault model knows: named if another run agrees, and unknown if what is wrong follows no rule."""

from __future__ import annotations

import numpy as np
import pytest

from crosscheck import Settings, Verdict
from crosscheck.causes import Cause
from crosscheck.core.precision import Array
from crosscheck.pairs.declaration import Declaration
from tests.support.faults import CATALOGUE
from tests.support.faults.fault import Host
from tests.support.faults.optimizers.hosts import ADADELTA, ADAM, MOMENTUM, PLAIN, RMSPROP
from tests.support.faults.outcome import first_outcome_of
from tests.support.unshrunk import check
from tests.textbook.optimizers import SGD, Adam, Optimizer, RMSprop


def cause_of(pair: Declaration, family: str = "normal", dtype: str = "float64", explain: float = 10) -> Cause | None:
    (found,) = check(pair, Settings(explain=explain), only=lambda name: name == f"updates-{dtype}-{family}").results
    assert found.verdict is Verdict.MISMATCH
    assert found.divergence is not None
    return found.divergence.cause


class LargeElementsLeftOut(SGD):
    def gradient(self, name: str, grads: dict[str, Array]) -> Array:  # type: ignore[override]
        return np.where(np.abs(grads[name]) > 1e8, 0, grads[name])


class LargeParametersLeftOut(SGD):
    def gradient(self, name: str, grads: dict[str, Array]) -> Array:  # type: ignore[override]
        return grads[name] if np.abs(grads[name]).max() <= 1e8 else np.zeros_like(grads[name])


class ShortenedLikePyTorch(SGD):
    def gradient(self, name: str, grads: dict[str, Array]) -> Array:  # type: ignore[override]
        return np.asarray(grads[name] * min(1, 1.7 / (np.sqrt((grads[name] ** 2).sum()) + 1e-6)))


class SignAlone(SGD):
    def gradient(self, name: str, grads: dict[str, Array]) -> Array:  # type: ignore[override]
        return np.sign(grads[name])


class WithoutRoot(RMSprop):
    def root(self, variance: Array) -> Array:
        return variance + self.settings["eps"]


class BiasTwiceAsFast(SGD):
    def direction(self, name: str, grad: Array) -> Array:
        return 2 * grad if name == "bias" else grad


class Lazy(Adam):
    """Rows without a gradient are left alone, as by an optimizer of sparse gradients."""

    def update(self, name: str, grad: Array) -> None:
        still = grad == 0
        kept = [(self.params[name], self.params[name][still])]
        before = [self.before(means, name, grad)[still] for means in (self.first, self.second)]
        super().update(name, grad)
        for array, values in [*kept, *zip((self.first[name], self.second[name]), before, strict=True)]:
            array[still] = values


NAMED: dict[str, tuple[Host, type[Optimizer], str, str, str]] = {
    "large elements": (PLAIN, LargeElementsLeftOut, "huge", "elements left out", "gradients larger than a limit between"),
    "large parameters": (PLAIN, LargeParametersLeftOut, "huge", "steps left out", "if a parameter has a gradient larger"),
    "clipped by norm": (PLAIN, ShortenedLikePyTorch, "normal", "gradient clipped", "of each parameter are scaled to a norm of at most 1.7;"),
    "clipped by norm, huge": (PLAIN, ShortenedLikePyTorch, "huge", "gradient clipped", "a norm of at most 1.7;"),
    "sign": (PLAIN, SignAlone, "normal", "gradient's sign alone", "sign of the gradient alone"),
    "root": (RMSPROP, WithoutRoot, "normal", "left out of the rule", "use sqrt(v) in place of v"),
    "rate of the bias": (
        PLAIN,
        BiasTwiceAsFast,
        "normal",
        "learning rate factor",
        "for parameters with one axis (bias) alone, the steps are 2 times",
    ),
    "lazy": (ADAM, Lazy, "kinks", "elements left out", "are left out of the step and keep m"),
}


@pytest.mark.parametrize("name", NAMED)
def test_mistake_has_its_name(name: str) -> None:
    host, kind, family, expected, words = NAMED[name]
    cause = cause_of(host.pair(kind), family)
    assert cause is not None
    assert (cause.name, cause.confirmed) == (expected, True)
    assert words in cause.words


def test_without_time_nothing_is_searched() -> None:
    host, kind, family, *_ = next(iter(NAMED.values()))
    assert cause_of(host.pair(kind), family, explain=0) is None


def test_found_by_search() -> None:
    """Faults of the catalogue, a few of which stand for their kinds; scripts/detection.py runs all."""
    for name in ("optimizers-rate-inside-the-mean", "holdout-moments-single", "single-momentum-in-half", "optimizers-clips-by-value"):
        fault = CATALOGUE[name]
        outcome = first_outcome_of(fault)
        assert (outcome.place, outcome.cause) == (fault.at, fault.cause)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("host", [PLAIN, MOMENTUM, ADADELTA, ADAM], ids=lambda host: host.name)
def test_noise_has_no_cause(host: Host, dtype: str) -> None:
    class Noisy(host.right):  # type: ignore[name-defined, misc]
        def step(self, grads: dict[str, Array]) -> None:
            super().step(grads)
            rng = np.random.default_rng(self.steps)
            for name, value in self.params.items():
                self.params[name] += 1e-3 * rng.standard_normal(value.shape).astype(value.dtype)

    assert cause_of(host.pair(Noisy), dtype=dtype) is None


def test_mistake_of_one_run_alone_has_no_cause() -> None:
    """What the first optimizer of a process does wrong explains nothing if the next one is right."""
    made: list[Optimizer] = []

    class FirstAlone(SGD):
        def __init__(self, params: dict[str, Array], **settings: float) -> None:
            super().__init__(params, **settings)
            self.clips = sum(len(one.params) == len(params) and one.steps > 1 for one in made) == 0
            made.append(self)

        def gradient(self, name: str, grads: dict[str, Array]) -> Array:  # type: ignore[override]
            return np.clip(grads[name], -1, 1) if self.clips else grads[name]

    assert cause_of(PLAIN.pair(FirstAlone)) is None
