"""What the checks say about a wrong layer, up to the first check that sees it in finite numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest import mock

from crosscheck.causes import Cause, Edits
from crosscheck.causes import diagnose as original
from crosscheck.checks import CheckResult, Settings, checks_of
from crosscheck.checks.check import NOT_TRIED
from crosscheck.core.check_layer import Failure
from crosscheck.core.guard import TimeLimitError
from crosscheck.core.judge import CONTRACT, Verdict
from crosscheck.pairs.pair import Pair
from crosscheck.run.check import PairResult, run_checks, why_not

EQUAL, CRASHED, UNDECIDED, SEEN = "equal", "crashed", "undecided", "seen"
"""The checks match; the layer only raises, hangs, or returns other shapes or no finite numbers; the checks do not decide; they see a difference."""

_LATE = "did not end within"


@dataclass
class Outcome:
    """What the checks say about a layer."""

    outcome: str
    check: str = ""  # the check that sees the difference
    quantity: str = ""  # the first wrong quantity
    causes: list[tuple[str, str, str]] = field(default_factory=list)  # quantity, name and sentence of each cause that is named
    words: str = ""  # what else the check says
    worst: str = ""  # where the worst element of the first wrong quantity is, and its value
    seconds: float = 0.0
    search_seconds: float = 0.0  # how many of these the search for causes took


@dataclass
class _Search:
    """How long the search for causes took, and whether a check's time limit ended it."""

    seconds: float = 0.0
    ended: bool = False


@contextmanager
def _timed(search: bool) -> Iterator[_Search]:
    """Measure the search for causes in this context, or leave it out."""
    found = _Search()

    def diagnose(failure: Failure, edits: Edits | None = None) -> Cause | None:
        if not search:
            return None
        started = time.perf_counter()
        try:
            return original(failure, edits)
        except TimeLimitError:
            found.ended = True
            raise
        finally:
            found.seconds += time.perf_counter() - started

    with mock.patch("crosscheck.causes.divergence.diagnose", diagnose):
        yield found


def outcome_of(make: Callable[[], Pair], seed: int, limit: float, search: bool = True) -> Outcome:
    """Check a pair up to the first check that sees a difference in finite numbers.

    Parameters
    ----------
    make : callable
        Returns the pair. What it raises, the layer has raised.
    limit : float
        Seconds that one check may take.
    search : bool
        Whether causes are looked for.
    """
    started = time.perf_counter()
    with _timed(search) as measured:
        found = _outcome(make, Settings(seed=seed, timeout=limit, shrink=False))
        if found.outcome == CRASHED and measured.ended:
            found = Outcome(SEEN, found.check, words="the search for causes exceeded the time limit")
    found.seconds, found.search_seconds = time.perf_counter() - started, measured.seconds
    return found


def _outcome(make: Callable[[], Pair], settings: Settings) -> Outcome:
    try:
        pair = make()
    except Exception as error:  # noqa: BLE001 - an edited class may raise anything
        return Outcome(CRASHED, words=f"{type(error).__name__}: {error}")
    if words := why_not(pair, settings):
        return Outcome(CRASHED, words=words)
    crash, broken, results = None, None, PairResult(pair)
    for check, result, _ in run_checks(pair, checks_of(pair), settings):
        results.results.append(result)
        if result.reason.startswith(_LATE):
            return Outcome(CRASHED, check.name, words=result.reason)
        if result.counted is not Verdict.MISMATCH:
            continue
        if _finite(result):
            return _seen(result)
        if check.name.startswith(CONTRACT) and not result.reason.startswith(NOT_TRIED):
            broken = broken or Outcome(SEEN, check.name, words=result.reason)
        else:
            crash = crash or Outcome(CRASHED, check.name, words=_words(result))
    return crash or broken or _unseen(results)


def _unseen(results: PairResult) -> Outcome:
    """Return the outcome if no check sees a difference."""
    if results.verdict is Verdict.MATCH:
        return Outcome(EQUAL)
    undecided = [f"{one.check}: {one.reason}" for one in results.results if one.counted is Verdict.UNDECIDED]
    return Outcome(UNDECIDED, words="; ".join(undecided[:1] or results.unjudged or [str(results.verdict)]))


def _finite(result: CheckResult) -> bool:
    """Return whether the first mismatch of a check is a difference between finite numbers."""
    worst = result.divergence.judgement.worst if result.divergence else None
    return worst is not None and math.isfinite(worst.subject)


def _seen(result: CheckResult) -> Outcome:
    assert result.divergence is not None
    divergences = [result.divergence, *result.others]
    causes = [(one.judgement.place.quantity, one.cause.name, one.cause.words) for one in divergences if one.cause is not None]
    first = result.divergence.judgement
    worst = "" if first.worst is None else f"{list(first.worst.index)}: {first.worst.subject!r}"
    return Outcome(SEEN, result.check, first.place.quantity, causes, _words(result), worst)


def _words(result: CheckResult) -> str:
    return result.reason or (result.divergence.judgement.reason if result.divergence else "")
