"""Two faults in one quantity: a second hypothesis tested on what the layer computes with the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.arithmetic import Arithmetic, Array, Bound
from crosscheck.causes.candidate import Candidate, Hypothesis
from crosscheck.causes.evidence import Cause, Evidence
from crosscheck.failure import Failure
from crosscheck.operation import Arrays, Call, Oracle, RefusedError, Rounding

_CALLS = 200
"""How often the oracle is asked at most on top of a first fault. Hypotheses that move numbers about need no answer."""

_FEWEST = 4
"""How many numbers a quantity has to have at least: of so many pairs some one fits a single number by chance."""


def two_at_once(failure: Failure, hypotheses: Sequence[Hypothesis], on_top: Sequence[Hypothesis]) -> Cause | None:
    """Return the first two hypotheses that explain a mismatch together, in the order in which they were made; None where no two do.

    Parameters
    ----------
    failure : Failure
    hypotheses : sequence of Hypothesis
        The first of both.
    on_top : sequence of Hypothesis
        The second, which gets the failure as it is when the first one is taken for right.
    """
    if failure.found.size < _FEWEST:
        return None
    evidence, oracle = Evidence(failure), Frugal(failure.oracle, _Purse(_CALLS))
    for one in hypotheses:
        for first in evidence.candidates(one):
            if not _may_be_first(first, evidence):
                continue
            with np.errstate(all="ignore"):
                changed = replace(failure, expected=first.expected, bound=first.limits(failure), call=first.call or failure.call, oracle=oracle)
            found = Evidence(changed).explanations(on_top)
            if found and not found[0].candidate.fitted:
                second = found[0].cause
                return replace(second, name=f"{first.name} + {second.name}", words=f"two faults: {first.words}; and {second.words}")
    return None


def _may_be_first(first: Candidate, evidence: Evidence) -> bool:
    """Return whether a candidate is worth a second one: it says something definite, and where most numbers are right, it makes more of them right."""
    if first.fitted or first.shown or first.expected.shape != evidence.found.shape or not first.expected.any():
        return False
    wrong, exceeding = np.abs(evidence.found - first.expected) > evidence.tolerance, evidence.exceeding
    return bool(2 * np.count_nonzero(exceeding) > exceeding.size or np.count_nonzero(wrong) < np.count_nonzero(exceeding))


@dataclass
class _Purse:
    """How many calls are left."""

    calls: int


@dataclass(frozen=True)
class Frugal:
    """An oracle that answers so many calls and refuses from then on: a bounded search, the same on every machine."""

    right: Oracle
    purse: _Purse

    @property
    def rounding(self) -> Rounding:
        """The oracle's own."""
        return _OwnRounding(self.right)

    @property
    def settings(self) -> Mapping[str, tuple[int, ...]]:
        """The oracle's own."""
        return self.right.settings

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the oracle's answer.

        Raises
        ------
        RefusedError
            If it was asked too often.
        """
        if not self.purse.calls:
            raise RefusedError("the oracle was asked too often")
        self.purse.calls -= 1
        return self.right.vjp(call)

    def decisions(self, x: Array) -> npt.NDArray[Any] | None:
        """Return the oracle's own."""
        return self.right.decisions(x)


@dataclass(frozen=True)
class _OwnRounding:
    """The error theory of an oracle, which may want that very oracle."""

    right: Oracle

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, arithmetic: Arithmetic) -> dict[str, Bound]:
        return self.right.rounding.bounds(self.right, call, result, arithmetic)

    def carried(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        return self.right.rounding.carried(self.right, call, result, error_x, error_grad_output)
