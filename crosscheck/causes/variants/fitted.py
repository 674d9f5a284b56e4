"""Constants that are fitted to the wrong numbers: another leak, momentum or coefficient than the reference has."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from crosscheck.causes.variants.change import Edit, Rewrite, made
from crosscheck.causes.variants.numbers import FORMULAS, apart
from crosscheck.causes.variants.program import Group, Program
from crosscheck.oracles.graph.graph import At
from crosscheck.oracles.graph.operations import Value

_STEPS = 10
_DIGITS = (2, 3, 4, 6, 9, 12)
Residual = Callable[[Edit], Value | None]
"""Gets an edit and returns the wrong numbers found less those of the edited program; None if their shapes differ."""


def edits_of(program: Program, forward: bool, residual: Residual) -> Iterator[Edit]:
    """Yield, for each constant of a formula, the edit with the value of the constant that explains most of the wrong numbers."""
    graph = program.graph
    for group, members in program.groups.items():
        if (members[0] < graph.forward) != forward or graph.steps[members[0]].operation not in FORMULAS:
            continue
        for number, arg in enumerate(graph.steps[members[0]].args):
            if isinstance(arg, int | float) and not isinstance(arg, At | bool):
                value = _solved(lambda c, g=group, n=number: residual(with_constant(program, g, n, c)), float(arg))  # type: ignore[misc]
                for digits in _DIGITS if value is not None and value != arg else ():
                    yield with_constant(program, group, number, float(f"{value:.{digits}g}"))
                if value is not None and value != arg:
                    yield with_constant(program, group, number, value)


def with_constant(program: Program, group: Group, number: int, value: float) -> Edit:
    """Return the edit that gives all steps of a group another constant."""
    graph, rewrites = program.graph, dict[At, Rewrite]()
    for at in program.groups[group]:
        step = graph.steps[at]
        rewrites[at] = made(step.operation, *step.args[:number], value, *step.args[number + 1 :], **step.settings)
    now = graph.steps[program.groups[group][0]].args[number]
    yours, right = apart(value, float(now))
    return Edit(("fitted", group, number, value), "number", 9, f"the constant is {yours}, not {right}", (), rewrites)


def _solved(residual: Callable[[float], Value | None], start: float) -> float | None:
    """Return the number with the smallest residual, by Gauss-Newton steps from the constant as it is; None if there is no way to it."""
    c, before = start, residual(start)
    if before is None:
        return None
    for _ in range(_STEPS):
        width = 1e-6 * max(abs(c), 1e-3)
        beside = residual(c + width)
        if beside is None:
            return None
        slope = (before - beside) / width
        energy = float(slope @ slope)
        if not energy or not np.isfinite(energy):
            return None
        step = float(slope @ before) / energy
        after = residual(c + step)
        if after is None or not np.isfinite(after).all() or not after @ after < before @ before:
            break
        c, before = c + step, after
        if abs(step) <= 1e-14 * abs(c):
            break
    return c if c != start else None
