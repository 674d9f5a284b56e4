"""Pairs checked: every check run, contained and timed, its verdict put beside what was expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from crosscheck.checks import Check, CheckResult, Settings, checks_of
from crosscheck.checks.check import joined
from crosscheck.containment import SubjectError, TimeLimitError, time_limit
from crosscheck.declaration import Declaration, PairError
from crosscheck.judgement import Verdict


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
        verdict = joined([result.counted for result in self.results])
        # Contracts alone compare no value with anything.
        compared = any(result.counted is Verdict.MATCH and not result.check.startswith("contract-") for result in self.results)
        only = all(result.check.startswith("contract-") for result in self.results)
        return Verdict.SKIPPED if verdict is Verdict.MATCH and not compared and not only else verdict

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
        with time_limit(settings.timeout):
            result = check.run(pair.prepared, settings)
    except TimeLimitError:
        result = CheckResult(check.name, Verdict.UNDECIDED, f"did not end within {settings.timeout:g} s; a longer limit is set with --timeout")
    except SubjectError as error:
        result = CheckResult(check.name, Verdict.MISMATCH, error.reason)
    if not expected:
        return result
    if result.verdict is Verdict.MATCH:
        return CheckResult(check.name, Verdict.MISMATCH, f"expected to differ ({expected}) and agrees: take it out of the expected differences")
    result.expected = expected
    return result


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
    result = PairResult(pair)
    checks = checks_of(pair)
    try:
        _expected_are_checks(pair, checks)
        with time_limit(settings.timeout):
            result.inferred = pair.prepared.inferred
    except PairError as error:
        result.error = str(error)
        return result
    except SubjectError as error:
        result.error = f"{pair.title}: {error.reason}"
        return result
    except TimeLimitError:
        result.error = f"{pair.title}: making it ready did not end within {settings.timeout:g} s"
        return result
    for check in checks:
        if only is None or only(check.name):
            if progress:
                progress(check.name)
            try:
                result.results.append(run_check(pair, check, settings))
            except PairError as error:
                result.error = str(error)
                return result
    return result


def _expected_are_checks(pair: Declaration, checks: Iterable[Check]) -> None:
    """Raise where an expected difference names no check."""
    names = [check.name for check in checks]
    for pattern in pair.expected:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise pair.error(f"expected names {pattern!r}, which is no check; there are {names[0]}, ... {names[-1]}")
