"""Loops and branches: each turn of a loop is written out, and a branch is the one that the call takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from crosscheck.oracles.graph.graph import At
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.jax.graph.steps import Operand, Wide
from crosscheck.references.jax.graph.translate import Rule, Translation

Params = Mapping[str, Any]

MOST_TURNS = 2_000
"""A loop with more turns than this is not written out."""


def _scan(t: Translation, params: Params, *operands: Operand) -> list[Operand]:
    """Write out the turns of a loop over the entries of arrays, and stack what each turn returns."""
    consts, carried, length = params["num_consts"], params["num_carry"], params["length"]
    if length > MOST_TURNS:
        raise NoGraphError(f"a loop has {length:,} turns")
    fixed, state, rows = operands[:consts], list(operands[consts : consts + carried]), operands[consts + carried :]
    # A first state of zeros is an array like the later ones, so that the first turn has the same steps.
    state = [one if isinstance(one, At | Wide) or one.dtype.kind != "f" else t.graph.constant(one) for one in state]
    turns: list[list[Operand]] = [[] for _ in range(length)]
    for number in range(length)[::-1] if params["reverse"] else range(length):
        taken = [t.index(t.at(one), (number,)) if isinstance(one, At | Wide) else one[number] for one in rows]
        results = t.run(params["jaxpr"], [*fixed, *state, *taken])
        state, turns[number] = results[:carried], results[carried:]
    returned = params["jaxpr"].out_avals[carried:]
    return [*state, *(_stacked(t, [turn[place] for turn in turns], aval) for place, aval in enumerate(returned))]


def _stacked(t: Translation, parts: list[Operand], aval: Any) -> Operand:
    if not any(isinstance(one, At | Wide) for one in parts):
        return np.stack([np.asarray(one) for one in parts]) if parts else np.zeros((0, *aval.shape), aval.dtype)
    return t.add("stack", *(t.at(one) for one in parts), axis=0)


def _while(t: Translation, params: Params, *operands: Operand) -> list[Operand]:
    """Write out the turns of a loop whose end depends on no argument."""
    of_test, of_body = params["cond_nconsts"], params["body_nconsts"]
    tested, fixed, state = operands[:of_test], operands[of_test : of_test + of_body], list(operands[of_test + of_body :])
    for _ in range(MOST_TURNS):
        (goes_on,) = t.run(params["cond_jaxpr"], [*tested, *state])
        if isinstance(goes_on, At | Wide):
            raise NoGraphError("the number of turns of a loop depends on computed numbers")
        if not goes_on:
            return state
        state = t.run(params["body_jaxpr"], [*fixed, *state])
    raise NoGraphError(f"a loop has more than {MOST_TURNS:,} turns")


def _cond(t: Translation, params: Params, which: Operand, *operands: Operand) -> list[Operand]:
    if isinstance(which, At | Wide):
        raise NoGraphError("which branch is taken depends on computed numbers")
    branches = params["branches"]
    return t.run(branches[int(np.clip(which, 0, len(branches) - 1))], list(operands))


RULES: Mapping[str, Rule] = {"scan": _scan, "while": _while, "cond": _cond}
"""The rules by the names of JAX's primitives."""
