"""Pairs checked: every check run, contained and timed, its verdict put beside what was expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from crosscheck.checks import Check, CheckResult, Settings, checks_of
from crosscheck.checks.check import overall
from crosscheck.containment import SubjectError, TimeLimitError, own_surroundings, time_limit
from crosscheck.declaration import Declaration, PairError
from crosscheck.judgement import Verdict
from crosscheck.pair import Pair
from crosscheck.reproduction import Reproduction, reproduction


@dataclass
class PairResult:
    """What was found about a pair.

    Attributes
    ----------
    pair : Declaration
    results : list of CheckResult
        In the order of the checks.
    error : str
        Why the pair could not be checked at all.
    inferred : list of str
        What was not declared and had exactly one way.
    """

    pair: Declaration
    results: list[CheckResult] = field(default_factory=list)
    error: str = ""
    inferred: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """``mismatch`` where any check is one, ``undecided`` where any could not be decided, ``skipped`` where nothing was compared."""
        if self.error:
            return Verdict.UNDECIDED
        return overall((result.check, result.counted) for result in self.results)

    @property
    def first(self) -> CheckResult | None:
        """The first mismatch that was not expected."""
        return next((result for result in self.results if result.counted is Verdict.MISMATCH), None)


def run_check(pair: Declaration, check: Check, settings: Settings) -> CheckResult:
    """Run one check of a pair; whatever the subject does ends as a verdict.

    Raises
    ------
    PairError
        If the pair cannot be checked as it was declared.
    """
    expected = pair.reason_expected(check.name)
    try:
        with own_surroundings(settings.seed) as printed, time_limit(settings.timeout):
            result = check.run(pair.prepared, settings)
    except TimeLimitError:
        result = CheckResult(check.name, Verdict.UNDECIDED, f"did not end within {settings.timeout:g} s; a longer limit is set with --timeout")
    except SubjectError as error:
        result = CheckResult(check.name, Verdict.MISMATCH, error.reason)
    if printed.note:
        result.notes.append(printed.note)
    if not expected:
        if settings.shrink and result.verdict is Verdict.MISMATCH:
            result.reproduction = _reproduction(pair, result, settings)
        return result
    if result.verdict is Verdict.MATCH:
        reason = f"expected to differ ({expected}) and agrees: take it out of the expected differences"
        return replace(result, verdict=Verdict.MISMATCH, reason=reason)
    result.expected = expected
    return result


def _reproduction(pair: Declaration, result: CheckResult, settings: Settings) -> Reproduction | None:
    """Return the small case of a mismatch; None where it is not one of numbers computed from a call."""
    if not isinstance(pair, Pair) or result.given is None or result.divergence is None or not pair.prepared.references:
        return None
    return reproduction(pair.prepared, result.given, result.divergence, settings)


def check_pair(
    pair: Declaration, settings: Settings | None = None, only: Callable[[str], bool] | None = None, progress: Callable[[str], None] | None = None
) -> PairResult:
    """Run every check of a pair.

    Parameters
    ----------
    pair : Declaration
    settings : Settings, optional
    only : callable, optional
        Gets a check's name and says whether it is to be run.
    progress : callable, optional
        Gets the name of each check before it is run.
    """
    settings = settings or Settings()
    result = PairResult(pair, error=why_not(pair, settings))
    if result.error:
        return result
    result.inferred = list(pair.prepared.inferred)
    for check in checks_of(pair):
        if only is None or only(check.name):
            if progress:
                progress(check.name)
            try:
                result.results.append(run_check(pair, check, settings))
            except PairError as error:
                result.error = str(error)
                return result
    return result


def why_not(pair: Declaration, settings: Settings) -> str:
    """Return why a pair cannot be checked at all; empty where it can."""
    try:
        _expected_are_checks(pair, checks_of(pair))
        with own_surroundings(settings.seed), time_limit(settings.timeout):
            _ = pair.prepared
    except PairError as error:
        return str(error)
    except SubjectError as error:
        return f"{pair.title}: {error.reason}"
    except TimeLimitError:
        return f"{pair.title}: making it ready did not end within {settings.timeout:g} s"
    return ""


def _expected_are_checks(pair: Declaration, checks: Iterable[Check]) -> None:
    """Raise where an expected difference names no check."""
    names = [check.name for check in checks]
    for pattern in pair.expected:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise pair.error(f"expected names {pattern!r}, which is no check; there are {names[0]}, ... {names[-1]}")
