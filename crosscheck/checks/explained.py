"""Why a check of values failed: edits of the reference, tested on the failing call and on further calls of the same pair."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crosscheck.causes.variants.example import Example
from crosscheck.causes.variants.explain import EditsOfCall, Explainer
from crosscheck.core.arguments import Case
from crosscheck.core.check_layer import LayerCheck
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
class Explained(EditsOfCall):
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

    def _explainer(self) -> Explainer:
        explainer: Explainer = self.prepared.explainers.setdefault("", Explainer(self.prepared.references[0].oracle, self.seconds))
        return explainer

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
