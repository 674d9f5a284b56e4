"""The pytest plugin: one test a check under a stable name, outcomes, options, one report of all workers."""

from __future__ import annotations

import errno
import json
import os
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

import crosscheck.report.write
from crosscheck.checks import checks_of
from tests.support import ROOT, SUPPORT, plain
from tests.support.suites import CONTRACTS, MOOT, NAMES, VALUES, outcomes


def facts(pytester: pytest.Pytester, name: str = "r.json") -> dict[str, Any]:
    read: dict[str, Any] = json.loads((pytester.path / name).read_text())
    return read


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(part) for name, part in value.items() if name != "seconds"}
    return [without_times(part) for part in value] if isinstance(value, list) else value


def test_right_layer_passes(suite: Any) -> None:
    result = suite("pair()")
    assert result.ret == 0
    assert result.parseoutcomes() == {"passed": VALUES + CONTRACTS - MOOT, "skipped": MOOT}
    headline = f"MATCH: rounding explains every difference of Scale; {len(NAMES)} checks, * quantities compared, {MOOT} checks do not apply"
    result.stdout.fnmatch_lines([headline, "MATCH     Scale*"])


def test_wrong_layer_fails_with_place_and_cause(suite: Any) -> None:
    result = suite("pair(Negated)", "-k", "values-float64-normal")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "MISMATCH: test_layers[[]Negated-values-float64-normal]",
            "*where*Negated.weight.grad*",
            "*computed in*plain.py:*Negated.backward",
            "*likely cause*has the wrong sign*",
            "*reproduce*pytest 'test_mine.py::test_layers[[]Negated-values-float64-normal]'",
        ]
    )


@pytest.mark.parametrize("options", [[], ["--crosscheck-strict"]], ids=["warned", "strict"])
def test_broken_contract_that_only_warns(suite: Any, pytester: pytest.Pytester, options: list[str]) -> None:
    """It passes, with a line in the summary, even where warnings are errors; strictly it fails."""
    result = suite("pair(ReadsItsMode)", "-Werror", "--crosscheck-report", "r.json", *options)
    assert result.ret == len(options)
    assert result.parseoutcomes().get("failed", 0) == len(options)
    assert facts(pytester)["warnings"] == 1 - len(options)
    warning = "*contract-backward_uses_the_mode_of_forward: float64: changed by switching to evaluation mode between forward and backward: grad_input"
    if options:
        result.stdout.fnmatch_lines(["*reproduce*pytest *", "*--crosscheck-strict"])
    else:
        result.stdout.fnmatch_lines(["MATCH: *, 1 warning", "MATCH *; 1 warning", f"WARNING   ReadsItsMode  {warning}"])


@pytest.mark.parametrize(("seconds", "searched"), [("5", True), ("0", False)])
def test_time_for_explanations_is_given(suite: Any, pytester: pytest.Pytester, seconds: str, searched: bool) -> None:
    result = suite("pair(Cubed)", "-k", "values-float64-normal", "--crosscheck-explain", seconds, "--crosscheck-report", "r.json")
    assert result.ret == 1
    (check,) = facts(pytester)["pairs"][0]["checks"]
    assert ("the reference cannot be taken apart into steps" in check["first_divergence"]["cause_in_words"]) == searched


def test_workers_report_as_one_process_does(suite: Any, pytester: pytest.Pytester) -> None:
    """The facts and the page of two workers are those of none, but for times."""
    pairs = ", ".join(f"pair({subject}dtypes=('float32',))" for subject in ("", "Negated, ", "WritesToInput, "))
    pages = []
    for workers in ("0", "2"):
        suite(pairs, "-n", workers, "--crosscheck-report", "r.json", "--crosscheck-report", "r.html", beside=True)
        found = without_times(facts(pytester))
        # pytester gives each of its runs a folder of its own for temporary files.
        page = re.sub(r"--basetemp=\S+ ", "", (pytester.path / "r.html").read_text())
        pages.append((found | {"command": re.sub(r"--basetemp=\S+ ", "", found["command"])}, page))
    assert pages[0] == pages[1]
    assert pages[0][0]["checks_done"] == 3 * (VALUES + CONTRACTS)
    assert [pair["verdict"] for pair in pages[0][0]["pairs"]] == ["match", "mismatch", "mismatch"]


def test_dtype_leaves_the_other_out(suite: Any, pytester: pytest.Pytester) -> None:
    result = suite("pair()", "--crosscheck-dtype", "float64", "--crosscheck-report", "r.json")
    assert result.parseoutcomes() == {"passed": VALUES // 2 + CONTRACTS - MOOT, "skipped": MOOT, "deselected": VALUES // 2}
    assert facts(pytester)["checks_deselected"] == VALUES // 2
    assert facts(pytester)["headline"].endswith(f"{VALUES // 2} checks were not selected")


def test_seed_changes_the_numbers_and_nothing_else_does(suite: Any, pytester: pytest.Pytester) -> None:
    found = []
    for seed in ("0", "1", "1"):
        suite("pair()", "--crosscheck-seed", seed, "--crosscheck-dtype", "float64", "--crosscheck-report", "r.json")
        found.append(without_times(facts(pytester)["pairs"]))
    assert found[0] != found[1]
    assert found[1] == found[2]


def test_seed_is_part_of_how_to_reproduce(suite: Any) -> None:
    result = suite("pair(Negated)", "--crosscheck-seed", "3", "-k", "values-float64-normal")
    result.stdout.fnmatch_lines(["*reproduce*--crosscheck-seed 3"])


def test_junit_holds_the_facts(suite: Any, pytester: pytest.Pytester) -> None:
    suite("pair(Negated)", "-k", "values-float64-normal", "--junitxml", "j.xml")
    found = {p.get("name"): p.get("value") for p in ET.parse(pytester.path / "j.xml").iter("property")}  # noqa: S314 - written here
    assert found["crosscheck_verdict"] == "mismatch"
    assert found["crosscheck_quantity"] == "weight.grad"
    assert found["crosscheck_cause"] == "constant factor"
    assert float(found["crosscheck_error_units"] or 0) > 1e15


def test_expected_difference_is_an_expected_failure(suite: Any, pytester: pytest.Pytester) -> None:
    declared = "pair(WritesToInput, expected={'contract-inputs_are_left_alone': 'saves memory'})"
    result = suite(declared, "--crosscheck-report", "r.json")
    assert result.ret == 0
    assert result.parseoutcomes() == {"passed": VALUES + CONTRACTS - MOOT - 1, "skipped": MOOT, "xfailed": 1}
    assert "1 check is expected to differ" in facts(pytester)["headline"]


def test_nothing_compared_is_no_success(suite: Any) -> None:
    result = suite("pair(dtypes=('float64',))", "-k", "values-float32")
    assert result.parseoutcomes() == {"skipped": VALUES // 2, "deselected": VALUES // 2 + CONTRACTS}
    assert result.ret == 1
    result.stdout.fnmatch_lines(["NOT CHECKED: nothing was compared*"])


def test_run_that_stops_early_says_so(suite: Any) -> None:
    result = suite("pair(Negated), pair()", "-x")
    assert result.parseoutcomes() == {"failed": 1}
    result.stdout.fnmatch_lines([f"MISMATCH: only 1 of {2 * len(NAMES)} checks were run; 1 of 1 pair differs: Negated*"])


def test_pair_that_cannot_be_checked_fails_with_its_error(suite: Any) -> None:
    result = suite("pair(params={'W': 'weight'})", "-k", "values-float64-normal")
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(["*params has the key 'W', expected a parameter of your code: weight*", "UNDECIDED: *could not be checked: Scale*"])


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("report.txt", "report.txt: the name has to end in .json or .html"),
        ("missing/r.json", "missing/r.json: there is no folder missing"),
        ("blocked.json", "blocked-small-cases: is a file"),
        ("./twice.json", "twice.json: is named twice; name two different files"),
    ],
)
def test_report_that_cannot_be_written_ends_the_run_at_once(suite: Any, pytester: pytest.Pytester, path: str, error: str) -> None:
    (pytester.path / "blocked-small-cases").touch()
    twice = ["--crosscheck-report", "twice.json"] if "twice" in path else []
    result = suite("pair()", "--crosscheck-report", path, *twice)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert error in result.stderr.str()


@pytest.mark.parametrize(
    ("option", "value"), [("--crosscheck-seed", "-1"), ("--crosscheck-seed", "x"), ("--crosscheck-timeout", "nan"), ("--crosscheck-timeout", "1e300")]
)
def test_wrong_number_is_a_usage_error(suite: Any, option: str, value: str) -> None:
    result = suite("pair()", f"{option}={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert option in result.stderr.str()


def test_folder_with_a_conftest_of_its_own(pytester: pytest.Pytester) -> None:
    """Beside another folder pytest looks each plugin up in a set."""
    for folder in ("one", "two"):
        pytester.mkpydir(folder).joinpath("test_it.py").write_text("def test_it(): pass")
    pytester.path.joinpath("one", "conftest.py").write_text("")
    assert outcomes(pytester.runpytest_inprocess("-p", "no:randomly")) == {"passed": 2}


def test_run_without_pairs_says_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_other(): pass")
    result = pytester.runpytest_inprocess("-p", "no:randomly")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*crosscheck*MATCH*")


def test_script_of_the_first_mismatch_is_printed_once(suite: Any) -> None:
    result = suite("pair(Negated)", "-k", "values-float64-normal or values-float64-wide")
    assert result.parseoutcomes()["failed"] == 2
    assert result.stdout.str().count("reproduce(\n") == 1
    result.stdout.fnmatch_lines(["*small case*--crosscheck-report saves it as a script", "Negated: a small case that shows it, as a script"])


def test_script_that_a_report_keeps_is_not_printed(suite: Any) -> None:
    result = suite("pair(Negated)", "-k", "values-float64-normal", "--crosscheck-report", "r.json")
    assert "reproduce(\n" not in result.stdout.str()


def test_report_that_cannot_be_finished_is_one_line_and_no_success(suite: Any, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(crosscheck.report.write, "write_json", full)
    result = suite("pair()", "-k", "values-float64-normal", "--crosscheck-report", "r.json")
    assert result.parseoutcomes()["passed"] == 1
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(["r.json: cannot be written (No space left on device)"])
    result.stdout.no_fnmatch_line("report: r.json")


@pytest.mark.slow("starts processes of its own; one of them meets the names as two do", default=["0"])
@pytest.mark.parametrize("workers", ["0", "2"])
def test_tests_of_a_nasty_pair(workers: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrong layer raises with such a message, too: ids, reports and terminal hold none of it."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SUPPORT), str(ROOT)]))
    pytester.syspathinsert(SUPPORT)
    pytester.makepyfile(
        test_mine=f"""
from crosscheck import parametrize_with_checks
from plain import Scale, pair

class Raises(Scale):
    def backward(self, grad_output):
        raise ValueError({plain.NASTY!r})

@parametrize_with_checks([pair(Raises, name={plain.NASTY!r})])
def test_layers(pair, check):
    check(pair)
"""
    )
    options = ["-p", "no:randomly", "-p", "no:cacheprovider", "-n", workers, "-k", "values-float64", "--crosscheck-report", "r.json"]
    result = (pytester.runpytest_inprocess if workers == "0" else pytester.runpytest_subprocess)(*options)
    assert result.parseoutcomes()["failed"] == sum(check.name.startswith("values-float64") for check in checks_of(plain.pair()))
    assert not {"\x1b", "\x00"} & set(result.stdout.str())
    assert json.loads((pytester.path / "r.json").read_text())["pairs"][0]["name"] == plain.SHOWN
