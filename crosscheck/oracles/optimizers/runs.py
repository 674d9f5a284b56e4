"""Several steps of an optimizer: what it did to parameters and state, and how far rounding may take each of them on the way."""

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
    """What an optimizer left behind after a step: the parameters, and its state by the state's name, then by the parameter's."""

    params: Arrays
    state: Mapping[str, Arrays] = field(default_factory=dict)


@dataclass(frozen=True)
class Noise:
    """How rounding is enlarged: the relative size of one rounding, the seed, and what a result may lose besides."""

    scale: float
    seed: int
    underflow: float


@dataclass(frozen=True)
class OptimizerMutant:
    """An optimizer with one thing changed: what a fault model assumes.

    Attributes
    ----------
    lr_factor : float
        Multiplies the learning rate.
    settings : mapping
        Settings with another value, by the reference's names.
    decoupled : float
        Weight decay that shrinks the parameters by itself, in multiples of the learning rate.
    shrunk_last : bool
        Whether it does so after the step.
    time : callable, optional
        Gets the step, from 1, the parameter's index and how many parameters there are, and returns the number of steps for which running means are
        corrected, in place of the step.
    roots : sequence of (float, float)
        Of each step: what is added inside and outside of every root that it takes.
    state : {"kept", "lost", "shared"}
        Whether the state is lost before each step, or is one and the same for all parameters of a shape, which take their steps one after another.
    """

    lr_factor: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    decoupled: float = 0.0
    shrunk_last: bool = False
    time: Callable[[int, int, int], float] | None = None
    roots: Sequence[tuple[float, float]] = ()
    state: Literal["kept", "lost", "shared"] = "kept"

    @property
    def in_rate_alone(self) -> bool:
        """Whether nothing but the learning rate is changed."""
        return replace(self, lr_factor=1.0) == AS_IT_IS


AS_IT_IS = OptimizerMutant()


class OptimizerOracle(Protocol):
    """A reference optimizer, made afresh for each run, in float64."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings by the reference's names, ``lr`` among them."""

    def run(self, start: Arrays, grads: Sequence[Arrays], variant: OptimizerMutant = AS_IT_IS, noise: Noise | None = None) -> list[Step]:
        """Return what each of several steps leaves behind.

        Raises
        ------
        RefusedError
            If the optimizer does not take these steps.
        """


@dataclass(frozen=True)
class Expected:
    """What a reference expects after each step, and how far each array may be from it."""

    steps: list[Step]
    bounds: list[dict[tuple[str, str], Bound]]

    def value(self, step: int, state: str, param: str) -> Array:
        """Return the parameter, or where a state is named, that state of it."""
        return value_of(self.steps[step], state, param)


def value_of(step: Step, state: str, param: str) -> Array:
    """Return the parameter after a step, or where a state is named, that state of it."""
    return step.state[state][param] if state else step.params[param]


def expected_of(
    oracle: OptimizerOracle, start: Arrays, grads: Sequence[Arrays], precision: Precision, variant: OptimizerMutant = AS_IT_IS
) -> Expected:
    """Run a reference, and measure the rounding of its steps, carried along from each to the next.

    See :mod:`crosscheck.oracles.theories.measured` for how.
    """
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
            strays = yardstick(value_of(step, state, param), [value_of(run[index], state, param) for run in runs], scales)
            bounds[-1][state, param] = Bound(factor * strays, 1.0)
    return Expected(steps, bounds)


def negative_multiple(expected: Expected, state: str, factor: float) -> Expected:
    """Return the same expectations with one state kept as a step, ``-factor`` times the reference's."""
    return multiple(expected, state, -factor)


def multiple(expected: Expected, state: str, factor: float) -> Expected:
    """Return the same expectations with one state in another unit, ``factor`` times the reference's.

    Two roundings more: of the factor, and of the product.
    """
    steps, bounds = [], []
    for step, bound in zip(expected.steps, expected.bounds, strict=True):
        kept = step.state[state]
        steps.append(Step(step.params, {**step.state, state: {param: np.asarray(factor * value) for param, value in kept.items()}}))
        sizes = {param: abs(factor) * (bound[state, param].abs_sum + 2 * np.abs(value)) for param, value in kept.items()}
        bounds.append(bound | {(state, param): Bound(size, 1.0) for param, size in sizes.items()})
    return Expected(steps, bounds)
