"""Keras optimizers on JAX as oracles that do steps with given gradients, by ``stateless_apply``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from crosscheck.core.operation import Arrays, RefusedError
from crosscheck.oracles.optimizers.runs import AS_IT_IS, Noise, OptimizerMutant, Step
from crosscheck.references.functions import optimizer_of
from crosscheck.references.jax.optimizers import Program
from crosscheck.references.jax.oracle import full_precision
from crosscheck.references.keras.oracle import NAME, in_precision

import keras  # isort: skip

__all__ = ["NAME", "KerasOptimizer", "optimizer"]


@dataclass(frozen=True)
class KerasOptimizer:
    """A Keras optimizer, created again for each run, in float64.

    ``make`` gets a list of Keras variables and returns a ``keras.optimizers.Optimizer``, as ``lambda params: keras.optimizers.Adam(0.1)`` does.
    """

    make: Callable[[list[Any]], Any]
    _programs: dict[Any, Program] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The learning rate; Keras' other settings have a different meaning in fault models."""
        with full_precision(), in_precision("float64"):
            return {"lr": float(self._made([keras.Variable(np.zeros(1), dtype="float64")]).learning_rate)}

    def run(self, start: Arrays, grads: Sequence[Arrays], variant: OptimizerMutant = AS_IT_IS, noise: Noise | None = None) -> list[Step]:
        """Return the parameters after each of several steps, and all state arrays with the shape of their parameter, by Keras' names.

        Raise ``RefusedError`` if ``make`` does not return an optimizer, or if the variant changes more than the learning rate.
        """
        if not variant.in_rate_alone:
            raise RefusedError("settings of Keras' optimizers mean something else than PyTorch's, so that only the learning rate can be changed")
        with full_precision(), in_precision("float64"):
            # Keras' names of states contain the variable's name, such as "w0_momentum".
            variables = [keras.Variable(value.astype(np.float64), dtype="float64", name=f"w{place}") for place, value in enumerate(start.values())]
            optimizer = self._made(variables)
            optimizer.build(variables)
            names = [variable.path.rpartition("/")[2] for variable in optimizer.variables]
            params, kept = ([np.array(variable.value) for variable in own] for own in (variables, optimizer.variables))
            steps: list[Step] = []
            program = self._program(optimizer, variant.lr_factor, params, kept)
            for number, given in enumerate(grads):
                wide = [given[name].astype(np.float64) for name in start]
                params, kept = program([*wide, *kept, *params], noise, number)
                steps.append(Step(dict(zip(start, map(np.array, params), strict=True)), _named(names, kept, start)))
        return steps

    def _made(self, variables: list[Any]) -> Any:
        names = ("a list of variables", "a keras.optimizers.Optimizer", "keras.optimizers.SGD(0.1)")
        return optimizer_of(self.make, variables, lambda one: isinstance(one, keras.optimizers.Optimizer), *names)

    def _program(self, optimizer: Any, factor: float, params: list[Any], kept: list[Any]) -> Program:
        def step(grads: list[Any], kept: list[Any], params: list[Any]) -> tuple[list[Any], list[Any]]:
            updated, after = optimizer.stateless_apply(kept, grads, params)
            if factor != 1:
                updated = [before + factor * (new - before) for before, new in zip(params, updated, strict=True)]
            return list(updated), list(after)

        key = (factor, tuple(value.shape for value in params))
        if key not in self._programs:
            self._programs[key] = Program(step, params, kept, params)
        return self._programs[key]


def _named(names: list[str], kept: list[Any], start: Arrays) -> dict[str, dict[str, Any]]:
    """Return the optimizer's state, keyed by Keras' name, such as ``momentum`` or ``velocity``, and then by parameter."""
    named: dict[str, dict[str, Any]] = {}
    for name, value in zip(names, kept, strict=True):
        place, _, state = name.partition("_")
        for number, param in enumerate(start):
            if place == f"w{number}" and np.shape(value) == start[param].shape:
                named.setdefault(state, {})[param] = np.array(value)
    return named


optimizer = KerasOptimizer
"""The oracle class, under the name that all frameworks use; it gets a function that creates an optimizer."""
