"""Translate a traced program of JAX, primitive by primitive, to steps of a graph.

Each primitive has a rule that adds its steps. What depends on no argument of the call is computed at once. Programs within the program, such as a
function that was compiled by itself, are translated in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.extend import core

from crosscheck.oracles.graph.graph import At, Graph
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.jax.graph.known import computed
from crosscheck.references.jax.graph.names import is_of_library, place_of
from crosscheck.references.jax.graph.steps import Operand, Steps, Wide
from crosscheck.references.jax.noise.table import CALLS
from crosscheck.references.statements import targets_at

Rule: TypeAlias = "Callable[..., Any]"
"""Gets the translation, the primitive's parameters and its operands; returns an operand, or a list if the primitive returns several arrays."""

MOST_STEPS = 20_000
"""A graph with more steps than this takes too long to be edited."""


class Translation(Steps):
    """A graph while it is made from a traced program."""

    def __init__(self, graph: Graph, rules: Mapping[str, Rule], wholes: Mapping[str, Rule]) -> None:
        super().__init__(graph)
        self.rules, self.wholes = rules, wholes

    def run(self, program: Any, arguments: Sequence[Operand], named: bool = True) -> list[Operand]:
        """Translate a ``Jaxpr`` or ``ClosedJaxpr`` for arguments, and return its results."""
        program, consts = (program.jaxpr, program.consts) if isinstance(program, core.ClosedJaxpr) else (program, [])
        known: dict[Any, Operand] = dict(zip(program.invars, arguments, strict=True))
        known |= {variable: _array(value) for variable, value in zip(program.constvars, consts, strict=True)}
        equations = _needed(program)
        places = [place_of(equation) if named else None for equation in equations]

        def read(atom: Any) -> Operand:
            return np.asarray(atom.val, atom.aval.dtype) if isinstance(atom, core.Literal) else known[atom]

        for number, equation in enumerate(equations):
            results = self._equation(equation, [read(atom) for atom in equation.invars], named)
            known.update(zip(equation.outvars, results, strict=True))
            place = places[number]
            if place is not None and place != next((later for later in places[number + 1 :] if later), None):
                self._name(results, targets_at(place))
            if len(self.graph.steps) > MOST_STEPS:
                raise NoGraphError(f"it has more than {MOST_STEPS:,} elementary steps")
        return [read(atom) for atom in program.outvars]

    def _name(self, results: Sequence[Operand], names: Sequence[str]) -> None:
        """Give the results of a statement's last primitive the names of its variables."""
        if len(results) == len(names):
            for one, name in zip(results, names, strict=True):
                if name and isinstance(one, At | Wide):
                    self.graph.named(one.at if isinstance(one, Wide) else one, name)

    def _equation(self, equation: Any, operands: list[Operand], named: bool) -> list[Operand]:
        name = equation.primitive.name.replace("-", "_")
        if name in CALLS:
            return self._called(equation, equation.params[CALLS[name]], operands, named)
        if not any(isinstance(one, At | Wide) for one in operands):
            return [_array(value) for value in computed(equation, operands)]
        if any(np.dtype(variable.aval.dtype).kind == "c" for variable in (*equation.invars, *equation.outvars)):
            raise NoGraphError(f"{name} computes with complex numbers")
        if name not in self.rules:
            raise NoGraphError(f"no elementary steps are known for JAX's {name}")
        self.out = equation.outvars[0].aval
        result = self.rules[name](self, equation.params, *operands)
        return list(result) if isinstance(result, list | tuple) and not isinstance(result, Wide) else [result]

    def _called(self, equation: Any, program: Any, operands: list[Operand], named: bool) -> list[Operand]:
        """Translate a program within the program, or what is known of it as a whole."""
        of_library = is_of_library(program)
        whole = self.wholes.get(str(equation.params.get("name", ""))) if of_library else None
        if whole is not None and any(isinstance(one, At | Wide) for one in operands):
            self.out = equation.outvars[0].aval
            if (found := whole(self, *operands)) is not None:
                return [found]
        # A library's function is traced once, so that its lines would lead to the code that called it first.
        return self.run(program, operands, named and not of_library)


def _needed(program: Any) -> list[Any]:
    """Return the equations of a program that its results depend on."""
    needed = {atom for atom in program.outvars if not isinstance(atom, core.Literal)}
    found = []
    for equation in reversed(program.eqns):
        if any(variable in needed for variable in equation.outvars):
            found.append(equation)
            needed.update(atom for atom in equation.invars if not isinstance(atom, core.Literal))
    return found[::-1]


def _array(value: Any) -> Any:
    """Return a known value as an array of NumPy; the key of a random generator stays as it is."""
    if hasattr(value, "dtype") and jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended):
        return value
    return np.asarray(value)
