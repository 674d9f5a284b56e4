"""A search for the mistake in an optimizer that goes on where known mistakes explain nothing.

It tries known mistakes in some of the parameters, each edit of the rule, and changes of the gradients. A mistake is reported only if it explains all
numbers of the failing run, and those of another run that took no part in the search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from crosscheck.causes import Cause
from crosscheck.causes.optimizers.edits import Edit, edits
from crosscheck.causes.optimizers.fault_models import explained
from crosscheck.causes.optimizers.gradients import GradientFault, gradient_faults
from crosscheck.causes.optimizers.trials import Trial
from crosscheck.core.judge import Judgement
from crosscheck.core.operation import RefusedError
from crosscheck.oracles.optimizers.programs import Program, program_of
from crosscheck.oracles.optimizers.runs import Expected, OptimizerOracle, Step, expected_of

_MEASURED = 8
"""The rounding errors of at most this many mistakes are measured, the closest first."""

_WORTH_MEASURING = 16
"""Rounding errors are measured only if the numbers of a mistake are, on average, within this many tolerances of the right rule's."""

T = TypeVar("T")

_OTHERS = 3
"""At most this many other runs are done. A limit that one of them contradicts is fitted again, to this run as well."""


@dataclass(frozen=True)
class OptimizerSearch:
    """A search for the mistake that explains a failing run.

    Attributes
    ----------
    oracle : OptimizerOracle
    trial : Trial
    again : callable
        Gets a number above 0 and returns runs on other numbers; an empty list if the code cannot be run again. At least the first one has the same
        kind of gradients as the failing run.
    first : Judgement
        The first mismatch.
    """

    oracle: OptimizerOracle
    trial: Trial
    again: Callable[[int], Sequence[Trial]]
    first: Judgement

    @property
    def cause(self) -> Cause | None:
        """The mistake; None if none explains the run and the other runs."""
        if not self.trial.complete or not self.trial.wrong:
            return None
        with np.errstate(all="ignore"):
            return self._in_some_parameters() or self._in_rule() or self._in_gradients()

    @cached_property
    def _others(self) -> list[list[Trial]]:
        """Other runs, which are done once they are needed."""
        return []

    def _other(self, number: int) -> list[Trial]:
        """Return the other runs with a number from 1; an empty list if there are none on which the mistake shows."""
        while len(self._others) < number:
            found = list(self.again(len(self._others) + 1))
            self._others.append(found if found and all(one.complete for one in found) and found[0].wrong else [])
        return self._others[number - 1]

    def _in_some_parameters(self) -> Cause | None:
        """Return a known mistake that explains all wrong parameters, if others are right."""
        wrong = self.trial.wrong
        if len(wrong) == len(self.trial.start):
            return None
        cause = self._known(self.trial.only(wrong))
        if cause is None:
            return None
        others = self._other(1)
        for other in others:
            again = self._known(other.only(wrong)) if other.wrong == wrong else None
            if again is None or (again.name, again.words) != (cause.name, cause.words):
                return None
        if not others:
            return None
        flat = {name for name, value in self.trial.start.items() if value.ndim < 2}
        names = ", ".join(name for name in self.trial.start if name in wrong)
        where = f"parameters with one axis ({names})" if wrong == flat else names
        words = f"for {where} alone, {cause.words}; all other parameters are right: treat these in the same way"
        return replace(cause, words=words, confirmed=True)

    def _known(self, trial: Trial) -> Cause | None:
        return explained(self.oracle, trial.start, trial.grads, trial.params, trial.precision, self.first)

    def _in_rule(self) -> Cause | None:
        """Return an edit of the rule that explains the numbers, if the reference follows a known rule."""
        program = program_of(self.oracle.settings, self.trial.precision.dtype)
        if program is None or not self._describes(program):
            return None
        nearest = self._nearest(edits(program), lambda edit: edit.program.run(self.trial.start, self.trial.wide))
        # Edits may return the same numbers, except for rounding: the smallest one is then the likeliest.
        for edit in sorted(nearest, key=lambda edit: edit.size):
            if (cause := self._explained(edit, self._of_rule(edit))) is not None:
                return cause
        return None

    def _describes(self, program: Program) -> bool:
        """Return whether a program returns the reference's numbers, except for rounding."""
        try:
            steps = program.run(self.trial.start, self.trial.wide)
        except RefusedError:
            return False
        right = [Step({name: value.astype(self.trial.precision.dtype) for name, value in step.params.items()}) for step in steps]
        found = replace(self.trial, found=right)
        return found.agreement(self.trial.expected) is not None

    def _nearest(self, faults: Iterator[T], run: Callable[[T], Sequence[Step]]) -> list[T]:
        """Return the mistakes whose numbers are closest to those found, if they are close enough and far closer than the right ones."""
        nearest: list[tuple[float, T]] = []
        limit = min(self.trial.distance(self.trial.expected.steps) / 2, self.trial.count * np.log1p(_WORTH_MEASURING))
        for fault in faults:
            with suppress(RefusedError):
                distance = self.trial.distance(run(fault))
                if distance < limit:
                    nearest.append((distance, fault))
        nearest.sort(key=lambda one: one[0])
        return [fault for _, fault in nearest[:_MEASURED]]

    def _of_rule(self, edit: Edit) -> Callable[[Trial], Expected]:
        return lambda trial: expected_of(edit.program, trial.start, trial.wide, trial.precision)

    def _in_gradients(self) -> Cause | None:
        """Return a change of the gradients that explains the numbers. Its limit is fitted to more and more runs until it explains another one."""
        trials = [self.trial]
        for number in range(1, _OTHERS + 1):
            nearest = self._nearest(gradient_faults(self.oracle, trials), lambda fault: self.oracle.run(self.trial.start, fault.on(self.trial.wide)))
            for fault in nearest:
                if (cause := self._explained(fault, self._of_gradients(fault), number)) is not None:
                    return cause
            if not nearest or not self._other(number):
                return None
            trials += self._other(number)
        return None

    def _of_gradients(self, fault: GradientFault) -> Callable[[Trial], Expected]:
        return lambda trial: expected_of(self.oracle, trial.start, fault.on(trial.wide), trial.precision)

    def _explained(self, fault: Edit | GradientFault, expected: Callable[[Trial], Expected], number: int = 1) -> Cause | None:
        """Return a mistake as the cause if it explains the failing run and the other runs with a number."""
        with suppress(RefusedError):
            mine = expected(self.trial)
            worst = self.trial.agreement(mine)
            if worst is None or self.trial.covers(mine) or not (others := self._other(number)):
                return None
            if all(other.agreement(expected(other)) is not None for other in others):
                fitted = isinstance(fault, GradientFault) and fault.fitted
                return Cause(fault.name, fault.words, self.first.units, worst.units, worst.fraction, fitted, confirmed=True)
        return None
