"""The default test suite: which tests it leaves out, what the output says about them, and how to run them all the same."""

from __future__ import annotations

import re

import pytest

from tests.support import ROOT

TESTS = """
import itertools
from dataclasses import dataclass

import pytest
from tests.support import ROOT

@dataclass(frozen=True)
class Run:
    row: str
    family: str

    def __str__(self):
        return f"{self.row}-{self.family}"

RUNS = [Run(*values) for values in itertools.product("ab", "xyz")]

@pytest.mark.pairwise("run.row", "run.family", "dtype")
@pytest.mark.parametrize("dtype", ["double", "single"])
@pytest.mark.parametrize("run", RUNS, ids=str)
def test_product(run, dtype):
    pass

@pytest.mark.each_choice("run.row", "run.family")
@pytest.mark.parametrize(("run", "quantity"), [(run, quantity) for run in RUNS for quantity in ("output", "gradient")], ids=str)
def test_quantities(run, quantity):
    pass

@pytest.mark.each_choice("row.0", "row.1")
@pytest.mark.parametrize("row", itertools.product("ab", "xyz"), ids="-".join)
def test_rows(row):
    pass

class TestTraining:
    @pytest.mark.slow("a hundred steps; three are in test_short")
    def test_long(self):
        pass

    def test_short(self):
        pass

@pytest.mark.slow("each row is slow, and one shows what they show", default=["b-y"])
@pytest.mark.parametrize("second", ["x", "y"])
@pytest.mark.parametrize("first", ["a", "b"])
def test_slow(first, second):
    pass

@pytest.mark.parametrize("steps", [3, pytest.param(100, marks=pytest.mark.slow("takes long, and 3 shows the same"))])
def test_steps(steps):
    pass
"""
PRODUCT, QUANTITIES, ROWS, SLOW, OTHERS = 12, 12, 6, 4, 4
DEFAULT = 6 + 3 * 2 + 3 + 1 + 2
"""Of the product as many as its two largest factors have pairs; all quantities of as many runs as the largest factor has values, and as many rows."""

LEFT = PRODUCT + QUANTITIES + ROWS + SLOW + OTHERS - DEFAULT


@pytest.fixture
def folder(pytester: pytest.Pytester) -> pytest.Pytester:
    """Return a folder with the plugin and tests that have marks."""
    pytester.makeconftest(f"import sys\nsys.path.append({str(ROOT)!r})\npytest_plugins = ['tests.support.default_suite']")
    pytester.makepyfile(test_it=TESTS)
    return pytester


def run(folder: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run the tests in this process, without plugins that take longer than they do."""
    spared = [f"-pno:{plugin}" for plugin in ("randomly", "cacheprovider", "hypothesispytest", "unraisableexception", "crosscheck")]
    return folder.runpytest_inprocess(*spared, *arguments)


def test_output_says_what_is_left_out(folder: pytest.Pytester) -> None:
    result = run(folder)
    result.assert_outcomes(passed=DEFAULT, deselected=LEFT)
    result.stdout.fnmatch_lines(["suite: default; *", f"{LEFT} tests not in the default suite; pytest --all runs every test, *"])


def test_all_leaves_nothing_out(folder: pytest.Pytester) -> None:
    result = run(folder, "--all")
    result.assert_outcomes(passed=DEFAULT + LEFT, deselected=0)
    result.stdout.no_fnmatch_line("*not in the default suite*")


def test_rest_is_what_the_default_leaves_out(folder: pytest.Pytester) -> None:
    result = run(folder, "--rest", "-v")
    result.assert_outcomes(passed=LEFT, deselected=DEFAULT)
    assert set(ids(result)).isdisjoint(ids(run(folder, "-v")))
    result.stdout.fnmatch_lines([f"{DEFAULT} tests left out because they are in the default suite; *"])


def test_file_alone_has_the_same_default(folder: pytest.Pytester) -> None:
    run(folder, "test_it.py").assert_outcomes(passed=DEFAULT, deselected=LEFT)


NAMED = {
    "test_it.py::TestTraining::test_long": 1,
    "test_it.py::TestTraining": 2,
    "test_it.py::test_product": PRODUCT,
    "test_it.py::test_slow": SLOW,
    "test_it.py::test_steps[100]": 1,
    "test_it.py::test_steps[100]@group": 1,
    "test_it.py::test_product[a-x-double]": 1,
    "test_it.py::test_product[a-x-single]": 1,
}


@pytest.mark.parametrize("name", NAMED)
def test_named_tests_are_run(folder: pytest.Pytester, name: str) -> None:
    """Also by the id that a failure prints: with pytest-xdist it ends in the name of a group."""
    run(folder, name).assert_outcomes(passed=NAMED[name], deselected=0)


def test_test_named_by_its_absolute_path_is_run(folder: pytest.Pytester) -> None:
    run(folder, f"{folder.path / 'test_it.py'}::TestTraining::test_long").assert_outcomes(passed=1, deselected=0)


def test_others_stay_left_out(folder: pytest.Pytester) -> None:
    """A name does not change the suite: of another file the default tests are run."""
    folder.makepyfile(test_other=TESTS)
    result = run(folder, "test_it.py::TestTraining::test_long", "test_other.py")
    result.assert_outcomes(passed=1 + DEFAULT, deselected=LEFT)


def test_all_orders_and_processes_choose_the_same(folder: pytest.Pytester) -> None:
    """pytest-xdist stops if its workers collect different tests. The process that collects none says how many they leave out."""
    result = folder.runpytest_subprocess("-n", "2", "-p", "randomly", "-v")
    result.assert_outcomes(passed=DEFAULT)
    result.stdout.fnmatch_lines([f"{LEFT} tests not in the default suite; *"])
    alone = run(folder, "-v")
    assert set(ids(result)) == set(ids(alone))


def ids(result: pytest.RunResult) -> list[str]:
    """Return the ids of the tests that passed."""
    return re.findall(r"test_it\.py::\S+", "\n".join(line for line in result.outlines if "PASSED" in line))


@pytest.mark.parametrize("mark", ["slow", "slow()", "slow('')", "slow(reason='because')", "slow('because', every_day=['a'])"])
def test_mark_without_a_reason_is_refused(folder: pytest.Pytester, mark: str) -> None:
    folder.makepyfile(f"import pytest\n@pytest.mark.{mark}\ndef test_slow(): pass")
    result = run(folder, "--all")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*::test_slow: the mark slow takes a reason, which says what shows the same in the default suite"])


def test_default_row_that_does_not_exist_is_refused(folder: pytest.Pytester) -> None:
    """A row that is renamed does not leave the default suite unnoticed."""
    folder.makepyfile(
        """
        import pytest
        @pytest.mark.slow("the rows are alike", default=["renamed", "left"])
        @pytest.mark.parametrize("row", ["left", "right"])
        def test_rows(row): pass
        """
    )
    result = run(folder)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*keeps rows in the default suite that do not exist: test_rows*renamed*"])
