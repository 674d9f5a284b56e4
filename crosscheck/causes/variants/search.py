"""The search for one edit of the reference that computes the numbers that your code returned.

An edit counts only if it computes all results of the failing call, and of other calls that took no part in the search: with other numbers, and of
other shapes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crosscheck.causes.variants import fitted
from crosscheck.causes.variants.change import Edit
from crosscheck.causes.variants.example import Example
from crosscheck.causes.variants.explanation import Explanation, Mode, Noise
from crosscheck.causes.variants.program import Program
from crosscheck.causes.variants.programs import FORMS, Programs
from crosscheck.causes.variants.trial import Trial, holds
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.precision import Bound
from crosscheck.core.trace import Place
from crosscheck.oracles.graph.operations import Value
from crosscheck.oracles.theories.measured import RUNS, SCALES, terms_of_runs

_SAY_LESS = frozenset(("number", "passed on", "divided", "multiplied", "summed", "extra", "format", "alone", "reversed"))
"""Kinds of edits that name the effect of a mistake; of several explanations another kind is reported first."""

_MOST = 12
"""The most explanations that are judged by their own rounding errors, the plainest first."""


@dataclass
class Search:
    """A search for the edits that explain an example.

    Attributes
    ----------
    programs : Programs
    example : Example
        The failing call.
    again, elsewhere : callable
        Return further calls: with the same shapes and other numbers, and of other shapes.
    until : float
        When to give up, on the clock of :func:`time.thread_time`, which stands still while other processes run.
    tried : int
        The number of edits that were tested.
    out_of_time : bool
        Whether the search was given up.
    why_not : str
        Why there was nothing to search; empty if there was.
    """

    programs: Programs
    example: Example
    again: Callable[[], Iterable[Example]]
    elsewhere: Callable[[], Iterable[Example]]
    until: float
    tried: int = 0
    out_of_time: bool = False
    why_not: str = ""

    def run(self) -> list[Explanation]:
        """Return the explanations, the plainest first; none if no single edit explains the example."""
        if self.programs.of(self.example, FORMS[0]) is None:
            self.why_not = self.programs.why_not
            return []
        for explaining in (self._listed, self._fitted):
            for form in FORMS:
                program = self.programs.of(self.example, form)
                for together in explaining(program) if program is not None else ():
                    if found := self._confirmed(together):
                        return found
        return []

    def _listed(self, program: Program) -> Iterator[list[Explanation]]:
        """Yield the edits that explain the failing call, those of one stage together; the next ones are looked for if further calls refute these."""
        forward = self._forward(program)
        must = self.example.wrong & frozenset(program.forward_outputs) if forward else self.example.wrong
        trial = Trial(program, self.example, self.programs.values(program, self.example))
        found: list[Explanation] = []
        for edit in self.programs.edits(program, forward):
            if found and edit.stage > max(found[0].edit.stage, 1):
                yield found
                found = []
            if self._is_late():
                break
            if must <= trial.reached(edit):
                self.tried += 1
                if (mode := trial.mode(edit, forward)) is not None:
                    found.append(Explanation(program, edit, mode))
        yield found

    def _fitted(self, program: Program) -> Iterator[list[Explanation]]:
        """Yield the edits of one constant, whose value is fitted to the wrong numbers, that explain the failing call."""
        forward = self._forward(program)
        trial = Trial(program, self.example, self.programs.values(program, self.example))

        def residual(edit: Edit) -> Value | None:
            return None if self._is_late() else trial.residual(edit, forward)

        for edit in fitted.edits_of(program, forward, residual):
            self.tried += 1
            if (mode := trial.mode(edit, forward)) is not None:
                yield [Explanation(program, edit, mode)]
                return

    @cached_property
    def _again(self) -> Sequence[Example]:
        return [*self.again()]

    @cached_property
    def _elsewhere(self) -> Sequence[Example]:
        return [*self.elsewhere()]

    def _forward(self, program: Program) -> bool:
        return bool(self.example.wrong & set(program.forward_outputs))

    def _is_late(self) -> bool:
        self.out_of_time = self.out_of_time or time.thread_time() > self.until
        return self.out_of_time

    def _confirmed(self, found: list[Explanation]) -> list[Explanation]:
        """Return the explanations that hold on further calls, and within their own rounding errors."""
        for example in self._again if found else ():
            found = [one for one in found if holds(one, example, self.programs.values(one.program, example))]
        for example in self._elsewhere if found else ():
            found = [one for one in found if self._holds_elsewhere(one, example)]
        base = self.programs.values(found[0].program, self.example) if found else ()
        return [one for one in sorted(found, key=_plainness)[:_MOST] if judged(one, self.example, base).verdict is Verdict.MATCH]

    def _holds_elsewhere(self, explanation: Explanation, example: Example) -> bool:
        """Return whether the same edit holds on a call of other shapes; true if the program is another one there, so that there is no such edit."""
        program = self.programs.of(example, explanation.program.form)
        if program is None or program.outline != explanation.program.outline:
            return True
        if (edit := self.programs.edit(program, explanation.mode is not Mode.BACKWARD, explanation.edit.key)) is None:
            return True
        return holds(Explanation(program, edit, explanation.mode), example, self.programs.values(program, example))


def judged(explanation: Explanation, example: Example, base: Sequence[Value]) -> Judgement:
    """Judge the numbers found by what the edited program computes, with the bound of its own rounding errors, measured by perturbed runs.

    Returns
    -------
    Judgement
        That of the first quantity that does not match, or else of the first wrong one.
    """
    precision, rng = example.precision, np.random.default_rng(0)
    results = explanation.results(base)
    halves = []
    for scale in SCALES:
        noise = Noise(scale, rng, precision.underflow * scale)
        halves.append([explanation.noisy(base, noise) for _ in range(RUNS // len(SCALES))])
    judgements = {}
    for name, found in example.found.items():
        terms = terms_of_runs(results[name], [np.stack([run[name] for run in half]) for half in halves], precision)
        if found.shape == example.expected[name].shape:
            terms = np.maximum(terms, example.tolerance[name] / (precision.unit * precision.sides))
        place = Place(0, "", name)
        judgements[name] = judge(place, Kind.ISOLATED, found.astype(precision.dtype), results[name], Bound(terms, 1.0), precision)
    broken = (judgement for judgement in judgements.values() if judgement.verdict is not Verdict.MATCH)
    return next(broken, judgements[next(name for name in judgements if name in example.wrong)])


def _plainness(explanation: Explanation) -> tuple[int, bool, bool, int]:
    """Return what puts the plainest of several explanations first."""
    edit = explanation.edit
    return edit.stage, edit.kind in _SAY_LESS, explanation.mode is Mode.RIGHT, len(edit.words)
