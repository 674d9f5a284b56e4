"""Several steps of an optimizer: the parameters and state after each step, and bounds of their rounding errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np

from crosscheck.core.operation import Arrays
from crosscheck.core.precision import Array, Bound, Precision, student_quantile
from crosscheck.oracles.theories.measured import RUNS, SCALES, yardstick


@dataclass(frozen=True)
class Step:
    """The parameters and the state after a step; ``state`` is keyed by the state's name, then by the parameter's name."""

    params: Arrays
    state: Mapping[str, Arrays] = field(default_factory=dict)


@dataclass(frozen=True)
class Noise:
    """Enlarged random rounding errors: the relative size of each, the seed, and the absolute error of a result that underflows."""

    scale: float
    seed: int
    underflow: float


@dataclass(frozen=True)
class OptimizerMutant:
    """A wrong variant of an optimizer, as a fault model assumes."""

    lr_factor: float = 1.0  # multiplies the learning rate
    settings: Mapping[str, Any] = field(default_factory=dict)  # new values of some settings, by the reference's names
    decoupled: float = 0.0  # weight decay that, times the learning rate, is applied to the parameters directly
    shrunk_last: bool = False  # whether ``decoupled`` is applied after the step instead of before it
    # Gets the step (from 1), the parameter's index and the number of parameters; returns the step number that the bias correction uses.
    time: Callable[[int, int, int], float] | None = None
    roots: Sequence[tuple[float, float]] = ()  # for each step, the number added inside each root and the number added to it
    # "lost": the state is cleared before each step; "shared": parameters of the same shape, updated one after another, share one state.
    state: Literal["kept", "lost", "shared"] = "kept"
    initial: Mapping[str, float] = field(default_factory=dict)  # what states start with, by the reference's names; all others start at 0

    @property
    def in_rate_alone(self) -> bool:
        """Whether at most the learning rate is changed."""
        return replace(self, lr_factor=1.0) == AS_IT_IS


AS_IT_IS = OptimizerMutant()


class OptimizerOracle(Protocol):
    """A reference optimizer in float64; each run starts with a new optimizer."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings by the reference's names, including ``lr``."""

    def run(self, start: Arrays, grads: Sequence[Arrays], variant: OptimizerMutant = AS_IT_IS, noise: Noise | None = None) -> list[Step]:
        """Return the parameters and the state after each step; raise ``RefusedError`` if the optimizer cannot do these steps."""


@dataclass(frozen=True)
class Expected:
    """The expected parameters and state after each step, with their bounds."""

    steps: list[Step]
    bounds: list[dict[tuple[str, str], Bound]]

    def value(self, step: int, state: str, param: str) -> Array:
        """Return the expected parameter, or the parameter's state ``state`` if this is not empty."""
        return value_of(self.steps[step], state, param)


def value_of(step: Step, state: str, param: str) -> Array:
    """Return a parameter after a step, or the parameter's state ``state`` if this is not empty."""
    return step.state[state][param] if state else step.params[param]


def expected_of(
    oracle: OptimizerOracle, start: Arrays, grads: Sequence[Arrays], precision: Precision, variant: OptimizerMutant = AS_IT_IS
) -> Expected:
    """Run a reference, and measure its accumulated rounding errors as :mod:`crosscheck.oracles.theories.measured` describes."""
    steps = oracle.run(start, grads, variant)
    lost = precision.underflow
    scales = [SCALES[run % 2] for run in range(RUNS)]
    runs = [oracle.run(start, grads, variant, Noise(scale, run, lost * scale)) for run, scale in enumerate(scales)]
    factor = student_quantile(precision.false_alarms / precision.elements, RUNS)
    bounds: list[dict[tuple[str, str], Bound]] = []
    for index, step in enumerate(steps):
        places = [("", param) for param in step.params] + [(state, param) for state, arrays in step.state.items() for param in arrays]
        bounds.append({})
        for state, param in places:
            deviation = yardstick(value_of(step, state, param), [value_of(run[index], state, param) for run in runs], scales)
            bounds[-1][state, param] = Bound(factor * deviation, 1.0)
    return Expected(steps, bounds)


def multiple(expected: Expected, state: str, factor: float) -> Expected:
    """Return the expected results for an optimizer with a state ``factor`` times the reference's; the factor and the product are rounded."""
    steps, bounds = [], []
    for step, bound in zip(expected.steps, expected.bounds, strict=True):
        kept = step.state[state]
        steps.append(Step(step.params, {**step.state, state: {param: np.asarray(factor * value) for param, value in kept.items()}}))
        sizes = {param: abs(factor) * (bound[state, param].abs_sum + 2 * np.abs(value)) for param, value in kept.items()}
        bounds.append(bound | {(state, param): Bound(size, 1.0) for param, size in sizes.items()})
    return Expected(steps, bounds)
