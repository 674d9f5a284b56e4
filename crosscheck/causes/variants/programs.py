"""The programs of a reference, one for each shape of its calls, remembered between calls."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, cast

from crosscheck.causes.variants import fitted
from crosscheck.causes.variants.candidates import edits
from crosscheck.causes.variants.change import Edit
from crosscheck.causes.variants.example import Example
from crosscheck.causes.variants.explanation import close
from crosscheck.causes.variants.program import Program, values_of
from crosscheck.core.operation import Oracle
from crosscheck.oracles.graph.derivatives import NoDerivativeError
from crosscheck.oracles.graph.operations import Value
from crosscheck.oracles.graph.passes import NoGraphError, Traceable, arguments_of, differentiate
from crosscheck.oracles.graph.spelled import SPELLINGS, spelled

FORMS = ("units", "steps", *SPELLINGS)
"""The forms of a program: units are differentiated by the formula that people write; each step by the chain rule; functions are spelled out."""


@dataclass
class Programs:
    """Makes the programs of a reference, each in several forms.

    Attributes
    ----------
    oracle : Oracle
        The reference; without a method ``graph`` it has no programs.
    why_not : str
        Why the last call has no program; empty if it has one.
    """

    oracle: Oracle
    why_not: str = ""
    _known: dict[Hashable, Program | str] = field(default_factory=dict)
    _edits: dict[tuple[Program, bool], list[Edit]] = field(default_factory=dict)
    _values: tuple[Program, Example, list[Value]] | None = None

    def of(self, example: Example, form: str) -> Program | None:
        """Return the program for a call in a form; None if there is none, or if it does not compute what is right."""
        key = (example.call.shapes(), bool(example.call.cotangents), form)
        found = self._known.get(key)
        if isinstance(found, Program) and not self._is_right(found, example):
            found = None  # the reference took another way on the call that this program was made for
        if found is None:
            found = self._made(example, form)
            if isinstance(found, Program) and not self._is_right(found, example):
                found = "the steps of the reference do not give its results here"
            self._known[key] = found
        self.why_not = found if isinstance(found, str) else ""
        return None if isinstance(found, str) else found

    def _is_right(self, program: Program, example: Example) -> bool:
        """Return whether a program computes what is right for a call."""
        results = values_of(program, self.values(program, example))
        return all(name in results and close(example.expected[name], results[name], example.near[name]) for name in example.expected)

    def _made(self, example: Example, form: str) -> Program | str:
        if not hasattr(self.oracle, "graph"):
            return "the reference cannot be taken apart into steps"
        try:
            graph = cast("Traceable", self.oracle).graph(example.call)
            other = spelled(graph, form) if form in SPELLINGS else graph
            if other is None or (form == "steps" and not graph.units):
                return "it is the same in another form"
            return Program(differentiate(other, example.call, form != "steps"), example.call, form)
        except (NoGraphError, NoDerivativeError) as error:
            return f"the reference cannot be taken apart into steps: {error}"

    def values(self, program: Program, example: Example) -> list[Value]:
        """Return the values of all steps of a program for a call."""
        if self._values is None or self._values[0] is not program or self._values[1] is not example:
            self._values = (program, example, program.graph.evaluated(arguments_of(example.call)))
        return self._values[2]

    def edits(self, program: Program, forward: bool) -> list[Edit]:
        """Return all edits of one pass of a program, sorted by stage."""
        key = (program, forward)
        if key not in self._edits:
            self._edits[key] = edits(program, forward)
        return self._edits[key]

    def edit(self, program: Program, forward: bool, key: tuple[Any, ...]) -> Edit | None:
        """Return the edit of a program with a key; None if it has none."""
        if key[0] == "fitted":
            _, group, number, value = key
            return fitted.with_constant(program, group, number, value) if group in program.groups else None
        return next((edit for edit in self.edits(program, forward) if edit.key == key), None)
