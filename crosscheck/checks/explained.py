"""Why a check of values failed: edits of the reference, tested on the failing call and on further calls of the same pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from crosscheck.causes.evidence import Cause
from crosscheck.causes.variants.example import Example
from crosscheck.causes.variants.explain import Explainer
from crosscheck.core.arguments import Case
from crosscheck.core.check_layer import LayerCheck
from crosscheck.core.guard import silenced
from crosscheck.core.inputs import FAMILIES, Family
from crosscheck.core.operation import Call, RefusedError
from crosscheck.pairs.prepared import Prepared

Judged = Callable[[Prepared, Call, str], LayerCheck]
"""Lets the subject compute a call in a precision, and judges it."""

_LARGEST = 4_000
"""Calls of other shapes have at most this many numbers, so that a search takes no longer for them."""

_FURTHER = 2
"""An explanation has to hold on this many calls of other shapes, if the pair has them."""


@dataclass(frozen=True)
class Explained:
    """The causes of one failing call of a pair.

    Attributes
    ----------
    prepared : Prepared
    check : LayerCheck
        The judged call.
    case : Case
        What the call was drawn from.
    family : Family
    dtype : str
    seed : int
    seconds : float
        How long all searches for edits of this pair may take together.
    judged : callable
    """

    prepared: Prepared
    check: LayerCheck
    case: Case
    family: Family
    dtype: str
    seed: int
    seconds: float
    judged: Judged

    @cached_property
    def cause(self) -> Cause | None:
        """The edit that explains all wrong quantities of the call; None if there is none."""
        return self._found[0]

    @property
    def why_not(self) -> str:
        """Why no edit was found, if the search could not be carried out or finished."""
        return self._found[1]

    @cached_property
    def _found(self) -> tuple[Cause | None, str]:
        if not self.seconds:
            return None, ""
        example = Example.of(self.check)
        if example is None or not example.wrong:
            return None, ""
        explainer = self.prepared.explainers.setdefault("", Explainer(self.prepared.references[0].oracle, self.seconds))
        with silenced():
            return explainer.cause(example, self._again, self._elsewhere), explainer.why_not

    def _again(self) -> Iterator[Example]:
        """Yield examples of the same shapes: other numbers of the same family, normal ones and, if they are right, numbers of many sizes.

        On numbers of many sizes a second mistake, such as an overflow, often comes on top of the first.
        """
        yield from self._example(self.case, self.seed + 1, self.family)
        if self.family.name != "normal":
            yield from self._example(self.case, self.seed, FAMILIES["normal"])
        yield from (one for one in self._example(self.case, self.seed, FAMILIES["wide"]) if not one.wrong)

    def _elsewhere(self) -> Iterator[Example]:
        """Yield examples of the largest other cases, those with axes of different lengths first."""
        others = [case for case in (*self.prepared.cases, *self.prepared.derived) if case.shapes != self.case.shapes]
        small = [case for case in others if sum(map(math.prod, case.shapes.values())) <= _LARGEST]
        for case in sorted(small, key=lambda one: (len(set(one.sizes.values())), one.elements), reverse=True)[:_FURTHER]:
            yield from self._example(case, self.seed, self.family)

    def _example(self, case: Case, seed: int, family: Family) -> Iterator[Example]:
        try:
            call = self.prepared.call(case, family, self.dtype, seed)
            example = Example.of(self.judged(self.prepared, call, self.dtype))
        except RefusedError:
            return
        if example is not None:
            yield example
