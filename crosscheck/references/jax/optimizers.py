"""JAX: optax's gradient transformations as oracles that do steps with given gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.extend
import numpy as np
import optax

from crosscheck.core.operation import Arrays, RefusedError
from crosscheck.oracles.optimizers.runs import AS_IT_IS, Noise, OptimizerMutant, Step
from crosscheck.references.functions import optimizer_of, reason_of, title
from crosscheck.references.jax.noise import perturbed as jax_noise
from crosscheck.references.jax.oracle import full_precision

NAME = f"optax {optax.__version__} on JAX {jax.__version__}"

Trees = tuple[Any, Any]


@dataclass(frozen=True)
class OptaxOptimizer:
    """An optax gradient transformation, created again for each run.

    ``make`` gets the parameters, a dict of arrays, and returns an ``optax.GradientTransformation``, as ``lambda params: optax.adam(0.1)`` does.
    """

    make: Callable[[dict[str, Any]], Any]
    _programs: dict[Any, Program] = field(default_factory=dict, repr=False, compare=False)

    @property
    def settings(self) -> Mapping[str, Any]:
        """An empty dict, because a transformation consists of functions whose settings cannot be read."""
        return {}

    def run(self, start: Arrays, grads: Sequence[Arrays], variant: OptimizerMutant = AS_IT_IS, noise: Noise | None = None) -> list[Step]:
        """Return the parameters after each of several steps, and all state arrays with the shape of their parameter, by optax's names.

        Raise ``RefusedError`` if ``make`` returns no transformation, steps need more than gradients, or more than the learning rate is changed.
        """
        if not variant.in_rate_alone:
            raise RefusedError("the settings of an optax transformation cannot be read, so that only the learning rate can be changed")
        with full_precision():
            params = {name: value.astype(np.float64) for name, value in start.items()}
            names = ("a dict of arrays", "an optax.GradientTransformation", "optax.sgd(0.1)")
            transformation = optimizer_of(self.make, dict(params), lambda one: hasattr(one, "init") and hasattr(one, "update"), *names)
            try:
                state = transformation.init(params)
                steps = []
                for number, given in enumerate(grads):
                    wide = {name: given[name].astype(np.float64) for name in params}
                    params, state = self._step(transformation, (wide, state, params), variant.lr_factor, noise, number)
                    steps.append(Step({name: np.array(params[name]) for name in start}, _named(state, start)))
            except RefusedError:
                raise
            except (TypeError, ValueError, RuntimeError) as error:
                raise RefusedError(f"{title(self.make)} cannot do a step with gradients alone: {reason_of(error)}") from error
        return steps

    def _step(self, transformation: Any, given: tuple[Any, Any, Any], factor: float, noise: Noise | None, number: int) -> Trees:
        def step(grads: Any, state: Any, params: Any) -> Trees:
            updates, after = transformation.update(grads, state, params)
            scaled = updates if factor == 1 else jax.tree.map(lambda update: factor * update, updates)
            return optax.apply_updates(params, scaled), after

        leaves, structure = jax.tree.flatten(given)
        key = (factor, structure, tuple((np.shape(leaf), str(np.asarray(leaf).dtype)) for leaf in leaves))
        if key not in self._programs:
            self._programs[key] = Program(step, *given)
        return self._programs[key](leaves, noise, number)


class Program:
    """A compiled step for arrays of fixed shapes, with or without enlarged rounding errors."""

    def __init__(self, step: Callable[..., Trees], *given: Any) -> None:
        traced, outline = jax.make_jaxpr(step, return_shape=True)(*given)

        def run(numbers: Any, rounding: Any, *leaves: Any) -> list[Any]:
            return jax_noise.perturbed(traced, leaves, jax_noise.Rounding(*rounding), numbers)[0]

        self._structure, self._count = jax.tree.structure(outline), jax_noise.count(traced)
        self._plain = jax.jit(jax.extend.core.jaxpr_as_fun(traced))
        self._noisy = jax.jit(run, compiler_options={"xla_backend_optimization_level": 0})

    def __call__(self, leaves: list[Any], noise: Noise | None, number: int) -> Trees:
        """Return the parameters and the state after a step."""
        if noise is None:
            results = self._plain(*leaves)
        else:
            numbers = np.random.default_rng([noise.seed, number]).standard_normal(self._count)
            results = self._noisy(numbers, (noise.scale, noise.underflow, 0.0), *leaves)
        params, state = jax.tree.unflatten(self._structure, results)
        return params, state


def _named(state: Any, start: Arrays) -> dict[str, dict[str, Any]]:
    """Return the optimizer's state, keyed by the name of its field, such as ``trace``, ``mu`` or ``nu``, and then by parameter."""
    kept: dict[str, dict[str, Any]] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        names = [str(getattr(key, "name", getattr(key, "key", ""))) for key in path]
        if len(names) > 1 and names[-1] in start and np.shape(leaf) == start[names[-1]].shape and names[-2]:
            kept.setdefault(names[-2], {})[names[-1]] = np.array(leaf)
    return kept


optimizer = OptaxOptimizer
"""The oracle class, under the name that all frameworks use; it gets a function that creates a gradient transformation."""
