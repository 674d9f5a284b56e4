"""Explain the mismatches of one operation by edits of its reference, and remember what was found for the calls that follow."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from crosscheck.causes.confirmation import permuted
from crosscheck.causes.evidence import EDIT, Cause
from crosscheck.causes.variants.example import Example
from crosscheck.causes.variants.explanation import Explanation, Mode
from crosscheck.causes.variants.programs import Programs
from crosscheck.causes.variants.search import Search
from crosscheck.causes.variants.trial import holds
from crosscheck.causes.variants.words import sentence
from crosscheck.core.check_layer import LayerCheck, check_layer
from crosscheck.core.guard import silenced
from crosscheck.core.operation import Oracle
from crosscheck.oracles.graph.operations import Value

SECONDS = 10.0
"""How long the searches for the causes of one pair may take together, if nothing else is asked for."""

Examples = Callable[[], Iterable[Example]]


@dataclass(frozen=True)
class Known:
    """What identifies an explanation in the programs of other calls."""

    form: str
    mode: Mode
    key: tuple[Hashable, ...]


@dataclass
class Explainer:
    """Looks for edits of a reference, within a time that all calls share.

    Attributes
    ----------
    oracle : Oracle
    seconds : float
        How long all searches may take together.
    spent : float
        How long they took so far.
    why_not : str
        Why the last search found nothing, if it could not be carried out or finished.
    """

    oracle: Oracle
    seconds: float
    spent: float = 0.0
    tried: int = 0
    why_not: str = ""
    known: list[Known] = field(default_factory=list)
    _programs: Programs | None = None

    @property
    def _too_late(self) -> str:
        return f"no explanation was found within {self.seconds:g} s; --explain {max(60, round(6 * self.seconds))} goes on"

    def cause(self, example: Example, again: Examples, elsewhere: Examples) -> Cause | None:
        """Return the edit that explains a call, as a cause; None if none was found.

        Parameters
        ----------
        example : Example
        again, elsewhere : callable
            Return further calls, which take no part in the search: with other numbers of the same shapes, and of other shapes.
        """
        self.why_not = ""
        if self._programs is None:
            self._programs = Programs(self.oracle)
        started = time.thread_time()
        try:
            found = self._remembered(example) or self._searched(example, again, elsewhere)
        finally:
            self.spent += time.thread_time() - started
        return found

    def _remembered(self, example: Example) -> Cause | None:
        """Return an explanation of an earlier call if it holds on this one, too."""
        assert self._programs is not None
        for known in self.known:
            program = self._programs.of(example, known.form)
            edit = None if program is None else self._programs.edit(program, known.mode is not Mode.BACKWARD, known.key)
            if program is None or edit is None:
                continue
            explanation = Explanation(program, edit, known.mode)
            base = self._programs.values(program, example)
            if holds(explanation, example, base):
                return _as_cause(explanation, example, base)
        return None

    def _searched(self, example: Example, again: Examples, elsewhere: Examples) -> Cause | None:
        assert self._programs is not None
        if self.spent >= self.seconds:
            self.why_not = self._too_late
            return None
        search = Search(self._programs, example, again, elsewhere, time.thread_time() + self.seconds - self.spent)
        found = search.run()
        self.tried += search.tried
        self.why_not = search.why_not
        if search.out_of_time:
            self.why_not = self._too_late
        if not found:
            return None
        first = found[0]
        self.known.append(Known(first.program.form, first.mode, first.edit.key))
        return _as_cause(first, example, self._programs.values(first.program, example))


def _as_cause(explanation: Explanation, example: Example, base: Sequence[Value]) -> Cause:
    results = explanation.results(base)
    name = next(name for name in example.found if name in example.wrong)
    found, right = example.found[name], example.expected[name]
    unit = float(np.max(example.tolerance[name], initial=0.0)) or 1.0
    before = float(np.abs(found - right).max(initial=0.0)) / unit if found.shape == right.shape else float("inf")
    after = float(np.abs(found - results[name]).max(initial=0.0)) / unit
    return Cause(f"{EDIT}{explanation.edit.kind}", sentence(explanation), before, after, after, confirmed=True)


class EditsOfCall(ABC):
    """The search for an edit that explains a judged call; it begins when its result is first asked for."""

    check: LayerCheck
    seconds: float

    @property
    def cause(self) -> Cause | None:
        """The edit that explains all wrong quantities of the call; None if none was found."""
        return self._found[0]

    @property
    def why_not(self) -> str:
        """Why none was found, if the search could not be carried out or finished."""
        return self._found[1]

    @cached_property
    def _found(self) -> tuple[Cause | None, str]:
        example = Example.of(self.check) if self.seconds else None
        if example is None or not example.wrong:
            return None, ""
        explainer = self._explainer()
        with silenced():
            return explainer.cause(example, self._again, self._elsewhere), explainer.why_not

    @abstractmethod
    def _explainer(self) -> Explainer:
        """Return what searches, with what it remembers of earlier calls."""

    @abstractmethod
    def _again(self) -> Iterable[Example]:
        """Return calls of the same shapes with other numbers."""

    @abstractmethod
    def _elsewhere(self) -> Iterable[Example]:
        """Return calls of other shapes."""


@dataclass(frozen=True)
class EditsOfLayer(EditsOfCall):
    """The search for an edit that explains a layer tested alone, as in a training step; its further calls hold the same numbers in other places.

    Attributes
    ----------
    check : LayerCheck
        The judged call.
    seconds : float
        How long the search may take.
    """

    check: LayerCheck
    seconds: float = SECONDS

    def _explainer(self) -> Explainer:
        return Explainer(self.check.oracle, self.seconds)

    def _again(self) -> Iterator[Example]:
        check = self.check
        again = check_layer(check.subject, check.oracle, permuted(check.call), check.precision, check.judgements[0].place.layer)
        if (example := Example.of(again)) is not None:
            yield example

    def _elsewhere(self) -> tuple[Example, ...]:
        return ()
