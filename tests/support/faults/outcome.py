"""What the harness says about a fault: whether it sees it, where, and why."""

from __future__ import annotations

from dataclasses import dataclass

from crosscheck.checks import Settings, checks_of
from crosscheck.core.judge import Verdict
from crosscheck.pairs.declaration import Declaration
from crosscheck.pairs.model_pair import ModelPair
from crosscheck.run.check import PairResult, check_pair, run_checks, why_not
from tests.support.faults.fault import Fault


@dataclass(frozen=True)
class Outcome:
    """The answer of a whole check of a pair.

    Attributes
    ----------
    verdict : Verdict
    place : str
        The first divergence, in the words of :attr:`Fault.at`, or else the first warning; empty where there is none.
    cause : str
        The name of the hypothesis; empty where it is unknown.
    checks : dict of str to str
        The verdict of each check by name, ``"warning"`` where it is one.
    words : str
        Why the pair could not be checked, or what was wrong, as a person gets to read it.
    """

    verdict: Verdict
    place: str
    cause: str
    checks: dict[str, str]
    words: str


def outcome_of(fault: Fault, seed: int = 0) -> Outcome:
    """Check a fault as anybody's code is checked."""
    return as_outcome(check_pair(fault.pair(), Settings(seed=seed, shrink=False)))


def first_outcome_of(fault: Fault, seed: int = 0) -> Outcome:
    """Check a fault up to the first check that sees it, which decides verdict, place and cause; of the checks after it nothing is said."""
    return up_to_the_first(fault.pair(), Settings(seed=seed, shrink=False))


def up_to_the_first(pair: Declaration, settings: Settings) -> Outcome:
    """Check a pair up to the first check that sees a mistake."""
    result = PairResult(pair, error=why_not(pair, settings))
    if not result.error:
        for _, one, _ in run_checks(pair, checks_of(pair), settings):
            result.results.append(one)
            if one.counted is Verdict.MISMATCH:
                break
    return as_outcome(result)


def as_outcome(result: PairResult) -> Outcome:
    """Return what was found about a pair in the words of the catalogue."""
    checks = {one.check: "warning" if one.warning else str(one.verdict) for one in result.results}
    first = result.first or next((one for one in result.results if one.warning), None)
    if first is None:
        return Outcome(result.verdict, "", "", checks, result.error)
    divergence = first.divergence
    if divergence is None:
        return Outcome(result.verdict, first.check, "", checks, first.reason)
    place, cause = divergence.judgement.place, divergence.cause
    where = f"{place.layer}.{place.quantity}" if isinstance(result.pair, ModelPair) else place.quantity
    return Outcome(result.verdict, where, cause.name if cause else "", checks, first.reason or (str(cause) if cause else "unknown"))
