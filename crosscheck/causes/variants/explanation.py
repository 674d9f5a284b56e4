"""An edit that explains a mismatch: what the edited program computes on a call, and how far rounding may move it."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from crosscheck.causes.variants.change import Edit, Made, Rewrite, build
from crosscheck.causes.variants.program import Overlay, Program, values_of
from crosscheck.core.operation import Arrays
from crosscheck.core.precision import ELEMENTARY, Array
from crosscheck.oracles.graph.backward import derive
from crosscheck.oracles.graph.graph import CONSTANT, INPUT, At, Graph, Step
from crosscheck.oracles.graph.operations import EXACT, FUNCTIONS, OPERATIONS, SUMS, Value
from crosscheck.oracles.graph.passes import upstream_name


class Mode(enum.Enum):
    """How the gradients follow an edit."""

    BACKWARD = enum.auto()  # a backward step is edited; the outputs are right
    CARRIED = enum.auto()  # a forward step is edited; the right formulas of the backward pass read the wrong values
    DERIVED = enum.auto()  # a forward step is edited; the gradients are those of the edited function
    RIGHT = enum.auto()  # a forward step is edited; the gradients are right


@dataclass(frozen=True)
class Explanation:
    """An edited program.

    Attributes
    ----------
    program : Program
    edit : Edit
    mode : Mode
    """

    program: Program
    edit: Edit
    mode: Mode

    @property
    def reach(self) -> Sequence[int]:
        """What each step reaches when this edit is made."""
        return self.program.backward_reach if self.edit.only_backward else self.program.reach

    def results(self, base: Sequence[Value]) -> dict[str, Value]:
        """Return the results by quantity, given the values of the program without the edit."""
        program = self.program
        if self.mode is Mode.DERIVED:
            arguments = {name: base[at] for name, at in program.graph.inputs.items()}
            return values_of(self.derived, self.derived.graph.evaluated(arguments))
        values = program.run(self.edit.rewrites, base, self.reach)
        assert values is not None
        return self._chosen(values, base)

    def _chosen(self, values: Mapping[int, Value] | Sequence[Value], base: Sequence[Value]) -> dict[str, Value]:
        found = values_of(self.program, values)
        if self.mode is Mode.RIGHT:
            found |= {name: value for name, value in values_of(self.program, base).items() if name in self.program.wanted}
        if self.edit.only_backward:
            found |= {name: base[at] for name, at in self.program.forward_outputs.items()}
        return found

    @cached_property
    def derived(self) -> Program:
        """The program whose backward pass was derived from the edited forward pass."""
        graph, call, new = self.program.graph, self.program.call, Graph()
        places: dict[int, At] = {at: new.input(name, graph.values[at]) for name, at in graph.inputs.items() if at < graph.forward}
        for number, step in enumerate(graph.steps[: graph.forward]):
            if (rewrite := self.edit.rewrites.get(At(number))) is not None:
                found = build(rewrite, new, places)
                places[number] = found if isinstance(found, At) else new.constant(found)
            elif step.operation == CONSTANT:
                places[number] = new.constant(graph.values[number])
            elif step.operation != INPUT:
                places[number] = new.add(step.operation, *(places[arg] if isinstance(arg, At) else arg for arg in step.args), **step.settings)
        new.outputs = {name: places[at] for name, at in self.program.forward_outputs.items()}
        cotangents = {new.outputs[name]: new.input(upstream_name(name), value) for name, value in call.cotangents.items()}
        derive(new, cotangents, {name: new.inputs[graph.steps[at].name] for name, at in self.program.wanted.items()}, by_units=False)
        return Program(new, call)

    def noisy(self, base: Sequence[Value], noise: Noise) -> dict[str, Value]:
        """Return the results of a run in which every elementary result is perturbed."""
        if self.mode is Mode.DERIVED:
            derived = self.derived
            arguments = {name: base[at] for name, at in self.program.graph.inputs.items()}
            values = list(derived.graph.values)
            for name, at in derived.graph.inputs.items():
                values[at] = arguments[name]
            return values_of(derived, _run_noisy(derived.graph, values, noise))
        graph = self.program.graph
        plain = _run_noisy(graph, list(base), noise)
        edited = Overlay(plain)
        for number, step in enumerate(graph.steps):
            at = At(number)
            if (rewrite := self.edit.rewrites.get(at)) is not None:
                edited[at] = noise.of_rewrite(rewrite, edited)
            elif not step.is_leaf and (at >= graph.forward or not self.edit.only_backward):
                edited[at] = noise.of(step, edited)
        return self._chosen(edited, plain)


def _run_noisy(graph: Graph, values: list[Value], noise: Noise) -> list[Value]:
    for at, step in enumerate(graph.steps):
        if not step.is_leaf:
            values[at] = noise.of(step, values)
    return values


@dataclass(frozen=True)
class Noise:
    """Random rounding errors of a given size, relative to the sum of absolute terms."""

    scale: float
    rng: np.random.Generator
    underflow: float = 0.0

    def of(self, step: Step, values: Mapping[int, Value] | Sequence[Value]) -> Value:
        """Return the perturbed value of a step."""
        return self._computed(step.operation, [values[arg] if isinstance(arg, At) else arg for arg in step.args], step.settings)

    def of_rewrite(self, rewrite: Rewrite, values: Mapping[int, Value]) -> Value:
        """Return the value of an expression in which every operation is perturbed."""
        if isinstance(rewrite, Made):
            return self._computed(rewrite.operation, [self.of_rewrite(arg, values) for arg in rewrite.args], rewrite.settings)
        return np.asarray(values[rewrite] if isinstance(rewrite, At) else rewrite)

    def _computed(self, operation: str, given: Sequence[Any], settings: Mapping[str, Any]) -> Value:
        value = np.asarray(OPERATIONS[operation](*given, **settings))
        if operation in EXACT or value.dtype.kind != "f":
            return value
        size = np.abs(value)
        if operation in SUMS:
            sizes = [np.abs(arg) if np.asarray(arg).dtype.kind == "f" else arg for arg in given]
            size = np.asarray(OPERATIONS["add" if operation == "subtract" else operation](*sizes, **settings))
        roundings = ELEMENTARY if operation in FUNCTIONS else 1
        # What is infinite, such as a masked score, is not rounded, nor is its exponential, which is 0: a negative number there has no root.
        error = np.where(np.isfinite(size) & (size > 0), self.scale * roundings * size + self.underflow, 0.0)
        return np.asarray(value + self.rng.choice((-1.0, 1.0), value.shape) * error * self.rng.random(value.shape) * np.sqrt(3))


def agree(found: Arrays, results: Mapping[str, Array], tolerance: Mapping[str, Array | float]) -> bool:
    """Return whether all results agree with those found."""
    return all(close(found[name], results[name], tolerance[name]) for name in found if name in results)


def close(found: Array, value: Array, tolerance: Array | float) -> bool:
    """Return whether two arrays have the same shape and agree within a tolerance."""
    if found.shape != value.shape:
        return False
    with np.errstate(invalid="ignore", over="ignore"):
        return bool((np.abs(found - value) <= tolerance).all())
