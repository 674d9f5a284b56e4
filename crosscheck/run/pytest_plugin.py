"""The pytest plugin: options, the verdict in the terminal summary, and one report for all workers.

A check's facts are attached to its test's report, also in worker processes, and the main process collects them. The rest of the harness is imported
only when a test or an option needs it, so that other test runs are not slowed down.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crosscheck.run.cli import seconds, whole

if TYPE_CHECKING:
    from crosscheck.checks import Check, Settings
    from crosscheck.core.judge import Facts

_DTYPES = ("float64", "float32")
_NOT_CALLED = "nothing was checked: the test has to call check(pair)"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("crosscheck", "check neural-network code against a reference")
    group.addoption(
        "--crosscheck-report", action="append", default=[], metavar="FILE", help="write the report to FILE.html or FILE.json; may be given twice"
    )
    group.addoption("--crosscheck-seed", type=whole, default=0, metavar="N", help="seed of random inputs, weights and upstream gradients (default 0)")
    group.addoption("--crosscheck-dtype", action="append", default=[], choices=_DTYPES, help="run only this precision (default: both)")
    group.addoption(
        "--crosscheck-timeout",
        type=seconds,
        default=60.0,
        metavar="SECONDS",
        help="stop a check that takes longer than this (default 60); 0 means no limit",
    )
    group.addoption("--crosscheck-strict", action="store_true", help="count warnings as mismatches")
    group.addoption(
        "--crosscheck-explain",
        type=seconds,
        default=10.0,
        metavar="SECONDS",
        help="search for the cause of a pair's mismatches for at most this long (default 10); 0 tests only the mistakes that are known by name",
    )
    group.addoption("--crosscheck-no-shrink", action="store_true", help="do not look for smaller inputs that show the same fault")


def pytest_configure(config: pytest.Config) -> None:
    """Make sure that the reports can be written before any test runs."""
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
    """What a test found: the facts of its pair and of its check; ``check`` is None if the pair could not be checked at all."""

    pair: Facts
    check: Facts | None


@dataclass(frozen=True)
class PositionedCheck:
    """A check with the position of its pair in the tested list, and its own position among the pair's checks."""

    check: Check
    position: tuple[int, int]


@dataclass(eq=False)  # pytest keeps its plugins in sets
class Run:
    """One test run, in the main process or in a worker."""

    config: pytest.Config
    paths: list[Path]  # the reports to write
    found: list[Facts] = field(default_factory=list)  # what the tests found, each with its place: file, test function, pair, check
    asked: int = 0  # how many checks were selected
    deselected: int = 0  # how many checks were left out
    item: pytest.Item | None = None  # the test that is running now
    facts: Facts | None = None  # the facts of the whole run after its end
    refused: str = ""  # why a report could not be written
    started: float = field(default_factory=time.monotonic)

    @property
    def settings(self) -> Settings:
        """How checks are run."""
        from crosscheck.checks import Settings

        option = self.config.getoption
        timeout, shrink = option("crosscheck_timeout"), not option("crosscheck_no_shrink")
        dtypes, strict, explain = tuple(option("crosscheck_dtype")), option("crosscheck_strict"), option("crosscheck_explain")
        return Settings(option("crosscheck_seed"), timeout, shrink, dtypes, strict, explain)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Deselect the checks of precisions that were not selected."""
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
        """Remember which test is running, for the check that it calls."""
        self.item = item
        try:
            return (yield)
        finally:
            self.item = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the check's facts to the test's report; a test that did not call its check fails."""
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
        """Collect a check's facts, from this process or a worker."""
        if (found := getattr(report, "crosscheck", None)) is not None:
            self.found.append(found)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take over a worker's counts. All workers collect the same tests, so their counts are equal."""
        self.asked, self.deselected = getattr(node, "workeroutput", {}).get("crosscheck", (self.asked, self.deselected))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Make and write the report; the run fails if something could not be checked."""
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["crosscheck"] = (self.asked, self.deselected)
            return
        if not self.found and not self.paths:
            return
        from crosscheck.checks.facts import PairRun, collect
        from crosscheck.core.files import NotWritableError
        from crosscheck.report.write import write

        pairs, unready = _by_pair(self.found)
        seed, interrupted = self.config.getoption("crosscheck_seed"), session.exitstatus == pytest.ExitCode.INTERRUPTED
        asked, took = max(self.asked - unready, 0), time.monotonic() - self.started
        run = PairRun(_command(self.config), seed, asked, self.deselected, interrupted, took)
        self.facts = collect(pairs, run)
        try:
            write(self.facts, self.paths)
        except NotWritableError as error:
            self.refused, session.exitstatus = str(error), pytest.ExitCode.INTERNAL_ERROR
        if session.exitstatus == pytest.ExitCode.OK and self.facts["exit_status"]:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the verdict."""
        if self.facts is None:
            return
        from crosscheck.checks.facts import small_cases
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
        for name, script in () if self.paths else small_cases(self.facts):
            terminalreporter.write_line(f"\n{name}: a small case that shows it, as a script\n")
            terminalreporter.write_line(script)
        for path in () if self.refused else self.paths:
            terminalreporter.write_line(f"report: {path}")


_RUNS: list[Run] = []
"""The runs in this process, the innermost last; a test may start another run."""

OUTCOME: pytest.StashKey[Outcome] = pytest.StashKey()
"""The key of the outcome in a test's stash."""


def _check_of(item: pytest.Item) -> PositionedCheck | None:
    """Return the check of a test; None if the test has none."""
    check = getattr(getattr(item, "callspec", None), "params", {}).get("check")
    return check if isinstance(check, PositionedCheck) else None


def running() -> Run:
    """Return the run whose test is running now."""
    if not _RUNS or _RUNS[-1].item is None:
        raise RuntimeError("check(pair) works only inside its own test, with the pytest plugin crosscheck; elsewhere call crosscheck.check(pair)")
    return _RUNS[-1]


def _by_pair(found: Sequence[Facts]) -> tuple[list[Facts], int]:
    """Return the facts of the pairs in the order of declaration, and how many checks did not run because their pair could not be prepared."""
    pairs: dict[tuple[Any, ...], Facts] = {}
    for one in sorted(found, key=lambda one: one["place"]):
        pair = pairs.setdefault(tuple(one["place"][:3]), one["pair"] | {"checks": []})
        pair["checks"] += [] if one["check"] is None else [one["check"]]
    return list(pairs.values()), sum(one["check"] is None for one in found)


def _command(config: pytest.Config) -> str:
    """Return the command line without the number of workers, which does not affect verdicts."""
    kept: list[str] = []
    arguments = iter(map(str, config.invocation_params.args))
    for argument in arguments:
        if argument in ("-n", "--numprocesses"):
            next(arguments, None)
        elif not argument.startswith(("-n", "--numprocesses=")):
            kept.append(argument)
    return shlex.join(["pytest", *kept])
