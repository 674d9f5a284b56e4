"""The pytest plugin: options, the verdict in the terminal summary, one report of all workers.

What a check found travels with its test's report, be it from another process; the reports are put together where the run was started. Nothing of
the harness is imported before a test or an option asks for it: whoever has the plugin installed and checks no pair waits for nothing.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crosscheck.run.cli import LONGEST

if TYPE_CHECKING:
    from crosscheck.checks import Check, Settings
    from crosscheck.core.judge import Facts

_DTYPES = ("float64", "float32")
_NOT_CALLED = "the test did not call check(pair), so nothing was checked"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("crosscheck", "neural networks beside a reference")
    group.addoption(
        "--crosscheck-report", action="append", default=[], metavar="FILE", help="write the verdicts to FILE.html or FILE.json; may be given twice"
    )
    group.addoption("--crosscheck-seed", type=_whole, default=0, metavar="N", help="seed of inputs, weights and cotangents (default 0)")
    group.addoption("--crosscheck-dtype", action="append", default=[], choices=_DTYPES, help="only this precision; both if left out")
    group.addoption(
        "--crosscheck-timeout", type=_seconds, default=60.0, metavar="SECONDS", help="give a check up after so long (default 60); 0 for no limit"
    )
    group.addoption("--crosscheck-strict", action="store_true", help="let warnings count as mismatches")
    group.addoption("--crosscheck-no-shrink", action="store_true", help="do not look for small cases that show the same fault")


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(f"{value}: expected a whole number of at least 0")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= LONGEST:
        raise ValueError(f"{text}: expected a number of seconds of at most {LONGEST:,}, or 0 for no limit")
    return value


def pytest_configure(config: pytest.Config) -> None:
    """Make sure that the reports can be written, before anything is run."""
    paths = [Path(name) for name in config.getoption("crosscheck_report")]
    if paths:
        from crosscheck.core.files import NotWritableError
        from crosscheck.report.write import expect_reports_writable

        try:
            expect_reports_writable(paths)
        except NotWritableError as error:
            raise pytest.UsageError(f"--crosscheck-report {error}") from None
    _RUNS.append(Run(config, paths))
    config.pluginmanager.register(_RUNS[-1], "crosscheck-run")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Forget the run."""
    if _RUNS and _RUNS[-1].config is config:
        _RUNS.pop()


@dataclass(frozen=True)
class Outcome:
    """What a test found: the facts of its pair and of its check, which are None where the pair could not be checked at all."""

    pair: Facts
    check: Facts | None


class PositionedCheck:
    """A check that a test gets.

    Attributes
    ----------
    check : Check
    position : (int, int)
        Of the pair among the pairs of the test function, and of the check among the pair's checks.
    """

    check: Check
    position: tuple[int, int]


@dataclass
class Run:
    """One run of tests, in the process that it was started in or in one of its workers.

    Attributes
    ----------
    config : pytest.Config
    paths : list of Path
        Of the reports.
    found : list of dict
        What the tests found, with where each stands: file, test function, pair, check.
    asked, deselected : int
        How many checks were to be run, and how many were left out.
    item : pytest.Item or None
        The test that is running now.
    facts : dict or None
        Of the whole run, once it has ended.
    refused : str
        Why a report could not be written.
    """

    config: pytest.Config
    paths: list[Path]
    found: list[Facts] = field(default_factory=list)
    asked: int = 0
    deselected: int = 0
    item: pytest.Item | None = None
    facts: Facts | None = None
    refused: str = ""
    started: float = field(default_factory=time.monotonic)

    @property
    def settings(self) -> Settings:
        """How checks are run."""
        from crosscheck.checks import Settings

        option = self.config.getoption
        timeout, shrink = option("crosscheck_timeout"), not option("crosscheck_no_shrink")
        return Settings(option("crosscheck_seed"), timeout, shrink, tuple(option("crosscheck_dtype")), option("crosscheck_strict"))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out the checks of a precision that was not asked for."""
        asked = config.getoption("crosscheck_dtype")
        if not asked:
            return
        left_out = [item for item in items if (check := _check_of(item)) is not None and check.check.dtype not in (*asked, "")]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item not in left_out]

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Count the checks that are left out."""
        self.deselected += sum(_check_of(item) is not None for item in items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count the checks that are to be run."""
        self.asked = sum(_check_of(item) is not None for item in session.items)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note which test is running, for the check that it calls."""
        self.item = item
        try:
            return (yield)
        finally:
            self.item = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Let the test's report carry what the check found; a test that called none has not passed."""
        report = yield
        check = _check_of(item)
        if check is None or report.when != "call":
            return report
        if (outcome := item.stash.get(OUTCOME, None)) is not None:
            place = [str(item.path), item.nodeid.partition("[")[0], *check.position]
            vars(report)["crosscheck"] = {"place": place, "pair": outcome.pair, "check": outcome.check}
        elif report.passed:
            report.outcome, report.longrepr = "failed", _NOT_CALLED
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in what a check found, here or in a worker."""
        if (found := getattr(report, "crosscheck", None)) is not None:
            self.found.append(found)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take over a worker's counts: every worker collects the same."""
        self.asked, self.deselected = getattr(node, "workeroutput", {}).get("crosscheck", (self.asked, self.deselected))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Put the report together and write it; a run that could not check what it was asked to has not passed."""
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["crosscheck"] = (self.asked, self.deselected)
            return
        if not self.found and not self.paths:
            return
        from crosscheck.checks.facts import PairRun, collect
        from crosscheck.core.files import NotWritableError
        from crosscheck.report.write import write

        pairs, unready = _by_pair(self.found)
        seconds, seed = time.monotonic() - self.started, self.config.getoption("crosscheck_seed")
        interrupted = session.exitstatus == pytest.ExitCode.INTERRUPTED
        run = PairRun(_command(self.config), seed, max(self.asked - unready, 0), self.deselected, interrupted, seconds)
        self.facts = collect(pairs, run)
        try:
            write(self.facts, self.paths)
        except NotWritableError as error:
            self.refused, session.exitstatus = str(error), pytest.ExitCode.INTERNAL_ERROR
        if session.exitstatus == pytest.ExitCode.OK and self.facts["exit_status"]:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say the verdict."""
        if self.facts is None:
            return
        from crosscheck.report.words import summary_line, warnings

        colour = {"match": {"green": True}, "mismatch": {"red": True}}
        terminalreporter.write_sep("=", "crosscheck")
        terminalreporter.write_line(self.facts["headline"], bold=True, **colour.get(self.facts["verdict"], {"yellow": True}))
        for pair in self.facts["pairs"]:
            terminalreporter.write(f"{pair['verdict'].upper():<10}", **colour.get(pair["verdict"], {"yellow": True}))
            terminalreporter.write_line(f"{pair['name']}  {summary_line(pair)}")
            for check in warnings(pair):
                terminalreporter.write_line(f"WARNING   {pair['name']}  {check['check']}: {check['reason']}", yellow=True)
        if self.refused:
            terminalreporter.write_line(self.refused, red=True)
        if not self.paths:
            self._show_scripts(terminalreporter)
        for path in () if self.refused else self.paths:
            terminalreporter.write_line(f"report: {path}")

    def _show_scripts(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the small case of each pair's first mismatch, where no report keeps it."""
        from crosscheck.report.words import first_mismatch

        assert self.facts is not None
        for pair in self.facts["pairs"]:
            first = first_mismatch(pair)
            if first and first["reproduction"]:
                terminalreporter.write_line(f"\n{pair['name']}: a small case that shows it, as a script\n")
                terminalreporter.write_line(first["reproduction"]["script"])


_RUNS: list[Run] = []
"""The runs in this process, the innermost last: a test of a plugin may start another one."""

OUTCOME: pytest.StashKey[Outcome] = pytest.StashKey()
"""Where a test keeps what its check found."""


def _check_of(item: pytest.Item) -> PositionedCheck | None:
    """Return the check that a test is made of; None for every other test."""
    check = getattr(getattr(item, "callspec", None), "params", {}).get("check")
    return check if isinstance(check, PositionedCheck) else None


def running() -> Run:
    """Return the run whose test is running now.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    if not _RUNS or _RUNS[-1].item is None:
        raise RuntimeError("a check runs inside a test of its own, with the plugin crosscheck loaded; elsewhere call crosscheck.check(pair)")
    return _RUNS[-1]


def _by_pair(found: Sequence[Facts]) -> tuple[list[Facts], int]:
    """Return the facts of the pairs in the order of their declaration, and how many checks were not run because their pair is not ready."""
    pairs: dict[tuple[Any, ...], Facts] = {}
    for one in sorted(found, key=lambda one: one["place"]):
        pair = pairs.setdefault(tuple(one["place"][:3]), one["pair"] | {"checks": []})
        pair["checks"] += [] if one["check"] is None else [one["check"]]
    return list(pairs.values()), sum(one["check"] is None for one in found)


def _command(config: pytest.Config) -> str:
    """Return the command line without what it says about workers, on which no verdict depends."""
    kept: list[str] = []
    arguments = iter(map(str, config.invocation_params.args))
    for argument in arguments:
        if argument in ("-n", "--numprocesses"):
            next(arguments, None)
        elif not argument.startswith(("-n", "--numprocesses=")):
            kept.append(argument)
    return shlex.join(["pytest", *kept])
