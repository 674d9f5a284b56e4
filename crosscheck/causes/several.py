"""Two faults in one quantity: a second hypothesis tested on what the layer computes with the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from crosscheck.causes.candidate import Candidate, Hypothesis
from crosscheck.causes.evidence import Cause, Evidence
from crosscheck.causes.frugal import limited
from crosscheck.failure import Failure

_CALLS = 200
"""How often the oracle is asked at most on top of a first fault. Hypotheses that move numbers about need no answer."""

_FEWEST = 4
"""How many numbers a quantity has to have at least: of so many pairs some one fits a single number by chance."""

_MOST = 1 << 14
"""And how many at most, for that takes time: in the checks of a layer numbers are few, and in a network the same layer can be checked alone."""


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
    if failure.found.size < _FEWEST or max(failure.found.size, failure.call.x.size) > _MOST:
        return None
    evidence, oracle = Evidence(failure), limited(failure.oracle, _CALLS)
    for one in hypotheses:
        for first in evidence.candidates(one):
            if not _may_be_first(first, evidence):
                continue
            with np.errstate(all="ignore"):
                changed = replace(failure, expected=first.expected, bound=first.limits(failure), call=first.call or failure.call, oracle=oracle)
            for second in Evidence(changed).explanations(on_top):
                # Against the right numbers, too: two that cancel each other explain nothing.
                both = evidence.explained(replace(second.candidate, bound=second.candidate.limits(changed)))
                if both is not None and not second.candidate.fitted:
                    words = f"two faults: {first.words}; and {second.cause.words}"
                    return replace(both.cause, name=f"{first.name} + {second.cause.name}", words=words)
    return None


def _may_be_first(first: Candidate, evidence: Evidence) -> bool:
    """Return whether a candidate is worth a second one: it says something definite, and where most numbers are right, it makes more of them right."""
    if first.fitted or first.shown or first.expected.shape != evidence.found.shape or not first.expected.any():
        return False
    wrong, exceeding = np.abs(evidence.found - first.expected) > evidence.tolerance, evidence.exceeding
    return bool(2 * np.count_nonzero(exceeding) > exceeding.size or np.count_nonzero(wrong) < np.count_nonzero(exceeding))
