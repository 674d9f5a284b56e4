"""Test edits of a program on one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crosscheck.causes.variants.change import Edit, evaluate
from crosscheck.causes.variants.example import Example
from crosscheck.causes.variants.explanation import Explanation, Mode, agree, close
from crosscheck.causes.variants.program import Overlay, Program, values_of
from crosscheck.oracles.graph.derivatives import NoDerivativeError
from crosscheck.oracles.graph.graph import union
from crosscheck.oracles.graph.operations import Value

_BROKEN = (ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError, MemoryError, KeyError, NoDerivativeError)
"""What NumPy raises for arrays that do not fit, and a derivative that is not known."""

_MOST_ELEMENTS = 1 << 18
"""An edit that makes a larger array out of small ones is no mistake that anybody would not notice."""


@dataclass
class Trial:
    """Edits of one program, tested on one example; ``base`` are the values of the program without an edit."""

    program: Program
    example: Example
    base: Sequence[Value]

    def reached(self, edit: Edit) -> frozenset[str]:
        """Return the quantities that an edit may change."""
        reach = self.program.backward_reach if edit.only_backward else self.program.reach
        names = self.program.reached(union(reach[at] for at in edit.rewrites))
        return names - frozenset(self.program.forward_outputs) if edit.only_backward else names

    def mode(self, edit: Edit, forward: bool) -> Mode | None:
        """Return how an edit explains the example; None if it does not."""
        missed: list[str] = []
        found, near, outputs = self.example.found, self.example.near, self.program.forward_outputs

        def stop(name: str, value: Value) -> bool:
            if name not in found or (edit.only_backward and name in outputs) or close(found[name], value, near[name]):
                return False
            missed.append(name)
            return True

        try:
            if not self._changes(edit):
                return None
        except _BROKEN:
            return None
        if self._carries(edit, stop):
            return Mode.CARRIED if forward else Mode.BACKWARD
        return None if not forward or (missed and missed[0] in outputs) else self._other_mode(edit)

    def _carries(self, edit: Edit, stop: Callable[[str, Value], bool]) -> bool:
        """Return whether an edit explains the example if later formulas read the edited values; these may not fit."""
        reach = self.program.backward_reach if edit.only_backward else self.program.reach
        try:
            with np.errstate(all="ignore"):
                values = self.program.run(edit.rewrites, self.base, reach, stop)
                return values is not None and self._all_close(values, edit)
        except _BROKEN:
            return False

    def _changes(self, edit: Edit) -> bool:
        """Return whether an edit changes a number of its first step, and makes no array that is too large."""
        at = min(edit.rewrites)
        with np.errstate(all="ignore"):
            value, before = np.asarray(evaluate(edit.rewrites[at], Overlay(self.base))), self.base[at]
        if value.size > max(_MOST_ELEMENTS, before.size):
            return False
        return len(edit.rewrites) > 1 or value.shape != before.shape or not np.array_equal(value, before, equal_nan=True)

    def _all_close(self, values: Overlay, edit: Edit) -> bool:
        results = values_of(self.program, values)
        if edit.only_backward:
            results |= {name: self.base[at] for name, at in self.program.forward_outputs.items()}
        return agree(self.example.found, results, self.example.near) and self.example.nearer(results)

    def _other_mode(self, edit: Edit) -> Mode | None:
        """Return how a forward edit whose outputs agree explains the gradients: they are right, or those of the edited function."""
        for mode in (Mode.RIGHT, Mode.DERIVED):
            possible = mode is Mode.DERIVED or not self.example.wrong & set(self.program.wanted)
            if possible and holds(Explanation(self.program, edit, mode), self.example, self.base):
                return mode
        return None

    def residual(self, edit: Edit, forward: bool) -> Value | None:
        """Return the wrong numbers found less those of the edited program; the wrong outputs alone if an output is wrong. None if shapes differ."""
        names = sorted(name for name in self.example.wrong if not forward or name in self.program.forward_outputs)
        if not frozenset(names) <= self.reached(edit):
            return None
        try:
            with np.errstate(all="ignore"):
                values = self.program.run(edit.rewrites, self.base, self.program.reach)
        except _BROKEN:
            return None
        results = values_of(self.program, {} if values is None else values)
        if any(results[name].shape != self.example.found[name].shape for name in names):
            return None
        return np.concatenate([(self.example.found[name] - results[name]).ravel() for name in names])


def holds(explanation: Explanation, example: Example, base: Sequence[Value]) -> bool:
    """Return whether an explanation computes the results of a call; ``base`` are the values of its program without the edit."""
    try:
        with np.errstate(all="ignore"):
            results = explanation.results(base)
    except _BROKEN:
        return False
    return agree(example.found, results, example.near) and example.nearer(results)
