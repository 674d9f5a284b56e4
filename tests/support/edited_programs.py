"""Edited programs as subjects: what a reference computes with one edit is what "your code" returns, so that the right explanation is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from crosscheck.causes.variants.example import Example
from crosscheck.causes.variants.explanation import Explanation, Mode
from crosscheck.causes.variants.program import Program
from crosscheck.causes.variants.programs import FORMS, Programs
from crosscheck.causes.variants.search import Search
from crosscheck.core.check_layer import check_layer
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.operation import Arrays, Call, Oracle, Rounding
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.graph.derivatives import NoDerivativeError
from crosscheck.oracles.graph.graph import Graph
from crosscheck.oracles.graph.passes import differentiate, results_of
from crosscheck.pairs.prepare_layer import prepare_layer
from crosscheck.pairs.prepared import Prepared
from tests.support.edited import LAYERS
from tests.support.graph_slopes import Build, built, call_of

_BROKEN = (ValueError, IndexError, TypeError, NoDerivativeError)
"""What an edited program raises if its arrays do not fit, or if a derivative is not known."""

FOREVER = float("inf")


@dataclass(frozen=True)
class Returns:
    """A layer that returns given numbers."""

    results: Callable[[Call], dict[str, Array]]
    absent: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return them in the precision of the call."""
        return {name: np.asarray(value, call.dtype) for name, value in self.results(call).items()}

    def reading(self, quantity: str, call: Call, value: Array) -> None:
        """Return None: every number is returned."""


@cache
def prepared(name: str) -> Prepared:
    """Return a layer of the table beside its reference, ready for calls."""
    row = LAYERS[name]
    return prepare_layer(row.pair(row.layer))


@dataclass(frozen=True)
class Edited:
    """What identifies an edit in the programs of all calls, and its words."""

    form: str
    mode: Mode
    key: tuple[Any, ...]
    words: str = ""


@dataclass(frozen=True)
class Explained:
    """What a subject computes on the failing call and on further ones."""

    example: Example
    again: Sequence[Example]
    elsewhere: Sequence[Example]


@dataclass
class Loop:
    """A reference, its programs, and calls of it.

    Attributes
    ----------
    oracle : Oracle
    precision : Precision
    call : Call
        The failing one.
    again, elsewhere : list of Call
        Further calls, with other numbers of the same shapes, and of other shapes.
    unseen : Call
        A call that no search is shown.
    """

    oracle: Oracle
    precision: Precision
    call: Call
    again: list[Call]
    elsewhere: list[Call]
    unseen: Call

    def __post_init__(self) -> None:
        self.programs = Programs(self.oracle)
        self._right: dict[int, Example] = {}

    def example(self, call: Call, results: Callable[[Call], dict[str, Array]]) -> Example | None:
        """Return a judged call on which the subject returns given results; None if they are not finite."""
        check = check_layer(Returns(results), self.oracle, call, self.precision, "layer", witness={})
        return Example.of(check)

    def right(self, call: Call) -> Example:
        """Return a call on which the subject is right."""
        if id(call) not in self._right:
            right = self.example(call, lambda given: dict(self.oracle.vjp(call.astype(np.float64))))
            assert right is not None
            self._right[id(call)] = right
        return self._right[id(call)]

    def program(self, form: str, call: Call | None = None) -> Program | None:
        """Return the program of a call in a form."""
        return self.programs.of(self.right(call or self.call), form)

    def explanation(self, call: Call, edited: Edited) -> Explanation | None:
        """Return an edit of a program of a call; None if there is none."""
        program = self.program(edited.form, call)
        edit = None if program is None else self.programs.edit(program, edited.mode is not Mode.BACKWARD, edited.key)
        return None if program is None or edit is None else Explanation(program, edit, edited.mode)

    def edited(self, call: Call, edited: Edited) -> Example | None:
        """Return a call on which the subject computes what an edited program does; None if it cannot, or if its numbers are not finite."""
        if (explanation := self.explanation(call, edited)) is None:
            return None
        right = self.right(call)
        with np.errstate(all="ignore"), suppress(*_BROKEN):
            results = explanation.results(self.programs.values(explanation.program, right))
            return self.example(call, lambda given: {name: results[name] for name in right.expected})
        return None

    def computed(self, edited: Edited) -> Explained | None:
        """Return the calls on which the subject computes what an edited program does; None if the edit changes no result, or not a finite one."""
        if (example := self.edited(self.call, edited)) is None or not example.wrong:
            return None
        alone = "alone" in edited.words  # the number of a turn has another meaning in a loop of another length
        again, elsewhere = ([self.edited(call, edited) for call in calls] for calls in (self.again, () if alone else self.elsewhere))
        return Explained(example, [*filter(None, again)], [*filter(None, elsewhere)])

    def search(self, example: Example, again: Iterable[Example] = (), elsewhere: Iterable[Example] = ()) -> Search:
        """Return a search that has no limit of time."""
        return Search(self.programs, example, lambda: again, lambda: elsewhere, FOREVER)

    def drawn(self, mode: Mode, most: int) -> Iterator[Edited]:
        """Yield edits in a random order in which each form, stage and kind has its turn."""
        rng, kinds = np.random.default_rng(mode.value), dict[Any, list[Edited]]()
        for form in FORMS:
            program = self.program(form)
            for edit in () if program is None else self.programs.edits(program, mode is not Mode.BACKWARD):
                kinds.setdefault((form, edit.stage, edit.kind), []).append(Edited(form, mode, edit.key, edit.words))
        keys = sorted(kinds)
        rng.shuffle(keys)
        yield from (kinds[key][rng.integers(len(kinds[key]))] for key in itertools.islice(itertools.cycle(keys), most))

    def having(self, form: str, mode: Mode, kind: str, stage: int, words: str = "") -> Edited:
        """Return the first edit of a kind and a stage whose words contain a text."""
        program = self.program(form)
        assert program is not None
        edits = self.programs.edits(program, mode is not Mode.BACKWARD)
        found = next(edit for edit in edits if (edit.kind, edit.stage) == (kind, stage) and words in edit.words)
        return Edited(form, mode, found.key, found.words)


def loop(name: str, dtype: str = "float64", others: int = 2) -> Loop:
    """Return a layer of the table with its calls."""
    ready = prepared(name)
    family, (case, *_) = FAMILIES["normal"], ready.cases
    elsewhere = [one for one in (*ready.cases, *ready.derived) if one.shapes != case.shapes]
    largest = sorted(elsewhere, key=lambda one: (len(set(one.sizes.values())), one.elements), reverse=True)[:others]
    call, again, unseen = (ready.call(case, family, dtype, seed) for seed in range(3))
    further = [ready.call(one, family, dtype, 0) for one in largest]
    return Loop(ready.references[0].oracle, ready.precision(dtype), call, [again], further, unseen)


@dataclass(frozen=True)
class Rounded:
    """A theory for small formulas: each result is rounded a few times."""

    def bounds(self, oracle: Oracle, call: Call, expected: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the bounds of all results."""
        return {name: Bound(np.abs(value), 8.0) for name, value in expected.items()}

    def propagated(self, *given: Any) -> dict[str, Array]:
        """Raise an error: nothing asks a formula for this."""
        raise NotImplementedError


@dataclass(frozen=True)
class Formula:
    """A formula of elementary steps as a reference."""

    build: Build
    rounding: Rounding = Rounded()
    settings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def decisions(self, x: Array) -> None:
        """Return None: a formula has no kinks."""

    def graph(self, call: Call) -> Graph:
        """Return the forward pass."""
        return built(self.build, call)

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the results of both passes."""
        graph = differentiate(self.graph(call), call, by_units=True)
        return {name: np.asarray(value, np.float64) for name, value in results_of(graph, call, graph.values).items()}


def formula(build: Build, dtype: str, *shapes: tuple[int, ...]) -> Loop:
    """Return a formula of one array: it fails on the first shape, and is called again on it and on the other shapes."""
    rng = np.random.default_rng(0)
    first, again, unseen, *others = (call_of(build, {"input": rng.standard_normal(shape)}) for shape in (shapes[0], shapes[0], *shapes))
    return Loop(Formula(build), Precision(np.dtype(dtype), 1000), first, [again], others, unseen)
