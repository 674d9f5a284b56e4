"""Run the checks of a pair: guarded, with a time limit, and compared with the declared expected differences."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, overload

from crosscheck.checks import Check, CheckResult, Settings, checks_of
from crosscheck.checks.check import NOT_TRIED, Reproduction, never_judged, overall
from crosscheck.core.guard import SubjectError, TimeLimitError, own_surroundings, said, time_limit, where
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import PairError
from crosscheck.pairs.declaration import Declaration
from crosscheck.pairs.pair import Pair
from crosscheck.pairs.prepare import prepare
from crosscheck.shrinking.script import reproduction

Only = Callable[[str], bool]
"""Gets a check's name and returns whether to run it."""

Progress = Callable[[str], None]
"""Gets the name of each check before it runs."""


@dataclass
class PairResult:
    """The results of a pair's checks.

    Attributes
    ----------
    results : list of CheckResult
        In the order of the checks.
    error : str
        Why the pair could not be checked at all.
    inferred : list of str
        Sentences that say what was not declared but could be inferred in exactly one way.
    """

    pair: Declaration
    results: list[CheckResult] = field(default_factory=list)
    error: str = ""
    inferred: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """``mismatch`` if any check is a mismatch, else ``undecided`` if any is undecided, ``skipped`` if nothing was compared, or ``match``."""
        if self.error:
            return Verdict.UNDECIDED
        return overall([(result.check, result.counted) for result in self.results], self.unjudged)

    @property
    def unjudged(self) -> list[str]:
        """Quantities that no check could judge, each with its precision."""
        judged = [(result.dtype, judgement) for result in self.results for _, judgement in result.judgements]
        return never_judged([(f"{dtype} {j.place.quantity}", j.verdict, j.reason) for dtype, j in judged])

    @property
    def first(self) -> CheckResult | None:
        """The first mismatch that was not expected."""
        return next((result for result in self.results if result.counted is Verdict.MISMATCH), None)


def run_check(pair: Declaration, check: Check, settings: Settings, known: set[str] | None = None) -> CheckResult:
    """Run one check of a pair. An error of the subject becomes a verdict. With ``settings.shrink``, a numerical mismatch gets a small case.

    The cause of the first mismatch is looked for. With ``known``, so are the causes of all wrong quantities not in ``known``, which are added to it.
    """
    expected, raised = pair.reason_expected(check.name), ""
    try:
        with own_surroundings(settings.seed) as printed, time_limit(settings.timeout):
            result = check.run(prepare(pair), settings)
            if known is not None:
                result.examine(known)
    except TimeLimitError:
        result = CheckResult(check.name, Verdict.UNDECIDED, f"did not end within {settings.timeout:g} s; set a longer limit with --timeout")
    except SubjectError as error:
        raised = error.reason
        result = CheckResult(check.name, Verdict.MISMATCH, raised)
    except PairError as error:
        result = CheckResult(check.name, Verdict.UNDECIDED, str(error))
    except Exception as error:
        result = CheckResult(check.name, Verdict.UNDECIDED, f"could not be checked: {said(error)}{where(error)}")
    result.dtype = check.dtype
    if note := printed.note():
        result.notes.append(note)
    if expected and result.verdict is Verdict.MATCH:
        reason = f"declared to differ ({expected}), but it agrees: remove it from the expected differences"
        return replace(result, verdict=Verdict.MISMATCH, reason=reason)
    if expected and (other := raised or _unexpected(pair, result)):
        result.reason = f"declared to differ ({expected}), but not in this way: {other}"
    else:
        result.expected = expected
    result.warning = check.warns and not settings.strict and not expected and result.verdict is Verdict.MISMATCH
    if settings.shrink:
        result.reproduction = _reproduction(pair, result, settings)
    return result


def _unexpected(pair: Declaration, result: CheckResult) -> str:
    """Return what is wrong in a check beyond the declared difference: another quantity, or something other than finite numbers."""
    if result.reason.startswith(NOT_TRIED):
        return result.reason
    for shape, judgement in result.judgements:
        if judgement.verdict is not Verdict.MISMATCH:
            continue
        quantity, worst = judgement.place.quantity, judgement.worst
        if not pair.expects(result.check, quantity):
            return f"{quantity} differs, too, on {shape}"
        if not (judgement.fraction > 0 if worst is None else math.isfinite(worst.subject)):
            return f"{quantity} on {shape}: {judgement.reason}"
    return ""


def run_checks(
    pair: Declaration, checks: Iterable[Check], settings: Settings, before: Callable[[Check], None] = lambda check: None
) -> Iterator[tuple[Check, CheckResult, float]]:
    """Run checks of a pair and yield each with its result and the seconds that it took; ``before`` is called before each check.

    Only the first mismatch of each quantity in each precision gets a small case, because the others nearly always show the same fault.
    """
    shrunk: set[tuple[str, str]] = set()
    known: set[str] = set()
    for check in checks:
        before(check)
        started = time.monotonic()
        result = run_check(pair, check, replace(settings, shrink=False), known)
        if settings.shrink and result.given is not None and (fault := (result.given.quantity, result.given.dtype)) not in shrunk:
            shrunk.add(fault)
            try:
                result.reproduction = _reproduction(pair, result, settings)
            except KeyboardInterrupt:
                # An interrupted search must not lose what the check has found.
                yield check, result, time.monotonic() - started
                raise
        yield check, result, time.monotonic() - started


def _reproduction(pair: Declaration, result: CheckResult, settings: Settings) -> Reproduction | None:
    """Return the small case of a mismatch; None if the mismatch was expected or was not found in the numbers of one call."""
    if result.counted is not Verdict.MISMATCH or result.given is None or result.divergence is None:
        return None
    if not isinstance(pair, Pair) or not prepare(pair).references:
        return None
    prepared = prepare(pair).evaluating if result.given.evaluation else prepare(pair)
    return reproduction(prepared, result.given, result.divergence, settings)


def check_pair(pair: Declaration, settings: Settings | None = None, only: Only | None = None, progress: Progress | None = None) -> PairResult:
    """Run every check of a pair.

    Parameters
    ----------
    only : callable, optional
        Gets a check's name and returns whether to run it.
    progress : callable, optional
        Gets the name of each check before it runs.
    """
    settings = settings or Settings()
    result = PairResult(pair, error=why_not(pair, settings))
    if result.error:
        return result
    result.inferred = list(prepare(pair).inferred)
    checks = [check for check in checks_of(pair) if only is None or only(check.name)]
    found = run_checks(pair, checks, settings, lambda check: progress(check.name) if progress else None)
    result.results.extend(one for _, one, _ in found)
    return result


@overload
def check(pairs: Declaration, settings: Settings | None = None, only: Only | None = None, progress: Progress | None = None) -> PairResult: ...


@overload
def check(
    pairs: Sequence[Declaration], settings: Settings | None = None, only: Only | None = None, progress: Progress | None = None
) -> list[PairResult]: ...


def check(pairs: Any, settings: Settings | None = None, only: Only | None = None, progress: Progress | None = None) -> PairResult | list[PairResult]:
    """Run every check of a pair and return its result, or of several pairs and return a list of their results.

    The other parameters are those of :func:`check_pair`. TypeError says what was given in place of a pair.
    """
    several = list(pairs) if isinstance(pairs, list | tuple) else None
    for pair in [pairs] if several is None else several:
        if not isinstance(pair, Declaration):
            hint = "; for the pairs of a file, run: crosscheck check FILE.py" if isinstance(pair, str | Path) else ""
            raise TypeError(
                f"crosscheck.check got a {type(pair).__name__}, expected a Pair, an OptimizerPair or a ModelPair, or a list of them{hint}"
            )
    if several is None:
        return check_pair(pairs, settings, only, progress)
    return [check_pair(pair, settings, only, progress) for pair in several]


def why_not(pair: Declaration, settings: Settings) -> str:
    """Return why a pair cannot be checked at all; empty if it can."""
    try:
        if pair.wrong is not None:
            raise pair.wrong
        names = [check.name for check in checks_of(pair)]
        for pattern in pair.expected:
            if not any(fnmatchcase(name, pattern.partition(":")[0]) for name in names):
                raise pair.error(f"expected names {pattern!r}, which is not a check; the checks are {names[0]}, ..., {names[-1]}")
        with own_surroundings(settings.seed), time_limit(settings.timeout):
            known = _quantities(pair)
        for pattern in pair.expected:
            if known and (quantity := pattern.partition(":")[2]) and quantity not in known:
                raise pair.error(f"expected names {pattern!r}, but there is no quantity {quantity!r}; the quantities are {', '.join(known)}")
    except PairError as error:
        return str(error)
    except SubjectError as error:
        return f"{pair.title}: {error.reason}"
    except TimeLimitError:
        return f"{pair.title}: preparing the pair did not end within {settings.timeout:g} s; set a longer limit with --timeout"
    except Exception as error:
        return f"{pair.title}: cannot be prepared: {said(error)}{where(error)}"
    return ""


def _quantities(pair: Declaration) -> list[str]:
    """Prepare a pair. Return the names of its quantities if it is a pair of layers, else an empty list."""
    if not isinstance(pair, Pair):
        _ = prepare(pair)
        return []
    ready = prepare(pair)
    return ready.quantities
