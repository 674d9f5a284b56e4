"""The everyday selection: what is left out, what is said of it, and what runs all the same."""

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
    @pytest.mark.whole("a hundred steps; three are in test_short")
    def test_long(self):
        pass

    def test_short(self):
        pass

@pytest.mark.whole("each row is dear, and one shows what they show", everyday=["b-y"])
@pytest.mark.parametrize("second", ["x", "y"])
@pytest.mark.parametrize("first", ["a", "b"])
def test_dear(first, second):
    pass

@pytest.mark.parametrize("steps", [3, pytest.param(100, marks=pytest.mark.whole("takes long, and 3 shows the same"))])
def test_steps(steps):
    pass
"""
PRODUCT, QUANTITIES, ROWS, DEAR, OTHERS = 12, 12, 6, 4, 4
EVERYDAY = 6 + 3 * 2 + 3 + 1 + 2
"""Of the product as many as its two largest factors have pairs; all quantities of as many runs as the largest factor has values, and as many rows."""

LEFT = PRODUCT + QUANTITIES + ROWS + DEAR + OTHERS - EVERYDAY


@pytest.fixture
def folder(pytester: pytest.Pytester) -> pytest.Pytester:
    """Return a folder with the plugin and tests that have marks."""
    pytester.makeconftest(f"import sys\nsys.path.append({str(ROOT)!r})\npytest_plugins = ['tests.support.everyday']")
    pytester.makepyfile(test_it=TESTS)
    return pytester


def run(folder: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run the tests in this process, without plugins that take longer than they do."""
    spared = [f"-pno:{plugin}" for plugin in ("randomly", "cacheprovider", "hypothesispytest", "unraisableexception", "crosscheck")]
    return folder.runpytest_inprocess(*spared, *arguments)


def test_what_is_left_out_is_said(folder: pytest.Pytester) -> None:
    result = run(folder)
    result.assert_outcomes(passed=EVERYDAY, deselected=LEFT)
    result.stdout.fnmatch_lines(["selection: everyday; *", f"{LEFT} tests left out of the everyday selection; pytest --whole runs them, *"])


def test_whole_leaves_nothing_out(folder: pytest.Pytester) -> None:
    result = run(folder, "--whole")
    result.assert_outcomes(passed=EVERYDAY + LEFT, deselected=0)
    result.stdout.no_fnmatch_line("*left out*")


def test_rest_is_what_every_day_leaves_out(folder: pytest.Pytester) -> None:
    result = run(folder, "--rest", "-v")
    result.assert_outcomes(passed=LEFT, deselected=EVERYDAY)
    assert set(ids(result)).isdisjoint(ids(run(folder, "-v")))
    result.stdout.fnmatch_lines([f"{EVERYDAY} tests left out of the rest; pytest --whole runs them, *"])


def test_file_is_run_as_every_day(folder: pytest.Pytester) -> None:
    run(folder, "test_it.py").assert_outcomes(passed=EVERYDAY, deselected=LEFT)


NAMED = {
    "test_it.py::TestTraining::test_long": 1,
    "test_it.py::TestTraining": 2,
    "test_it.py::test_product": PRODUCT,
    "test_it.py::test_dear": DEAR,
    "test_it.py::test_steps[100]": 1,
    "test_it.py::test_steps[100]@group": 1,
    "test_it.py::test_product[a-x-double]": 1,
    "test_it.py::test_product[a-x-single]": 1,
}


@pytest.mark.parametrize("name", NAMED)
def test_what_is_named_is_run(folder: pytest.Pytester, name: str) -> None:
    """As a failure names it, too: under pytest-xdist with the group that it is put into."""
    run(folder, name).assert_outcomes(passed=NAMED[name], deselected=0)


def test_what_is_named_by_its_whole_path_is_run(folder: pytest.Pytester) -> None:
    run(folder, f"{folder.path / 'test_it.py'}::TestTraining::test_long").assert_outcomes(passed=1, deselected=0)


def test_what_is_not_named_stays_left_out(folder: pytest.Pytester) -> None:
    """A name is no switch: of the file beside it that of every day is run."""
    folder.makepyfile(test_other=TESTS)
    result = run(folder, "test_it.py::TestTraining::test_long", "test_other.py")
    result.assert_outcomes(passed=1 + EVERYDAY, deselected=LEFT)


def test_all_orders_and_processes_choose_the_same(folder: pytest.Pytester) -> None:
    """Workers that collect different tests stop pytest-xdist; how many they leave out is said by the process that has none of its own."""
    result = folder.runpytest_subprocess("-n", "2", "-p", "randomly", "-v")
    result.assert_outcomes(passed=EVERYDAY)
    result.stdout.fnmatch_lines([f"{LEFT} tests left out of the everyday selection; *"])
    alone = run(folder, "-v")
    assert set(ids(result)) == set(ids(alone))


def ids(result: pytest.RunResult) -> list[str]:
    """Return the ids of the tests that passed."""
    return re.findall(r"test_it\.py::\S+", "\n".join(line for line in result.outlines if "PASSED" in line))


@pytest.mark.parametrize("mark", ["whole", "whole()", "whole('')", "whole(reason='because')", "whole('because', every_day=['a'])"])
def test_mark_without_a_reason_is_refused(folder: pytest.Pytester, mark: str) -> None:
    folder.makepyfile(f"import pytest\n@pytest.mark.{mark}\ndef test_dear(): pass")
    result = run(folder, "--whole")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*::test_dear: the mark whole takes a reason, which says what shows the same every day"])


def test_row_for_every_day_that_is_not_there_is_refused(folder: pytest.Pytester) -> None:
    """A row that is renamed does not vanish from every day in silence."""
    folder.makepyfile(
        """
        import pytest
        @pytest.mark.whole("the rows are alike", everyday=["renamed", "left"])
        @pytest.mark.parametrize("row", ["left", "right"])
        def test_rows(row): pass
        """
    )
    result = run(folder)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*names rows for every day that are not there: test_rows*renamed*"])
