"""Names and reasons from outside: whatever stands in them, they can be printed, written, selected and sent to another process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from crosscheck.checks import checks_of
from crosscheck.core.guard import SubjectError
from crosscheck.run.cli import main
from crosscheck.run.select import selected
from tests.support import ROOT, SUPPORT, plain

NASTY = "a\ud800b\x1b[31m\x00c\nd"
SHOWN = "a\\ud800b\\x1b[31m\\x00c\\nd"


def test_title_is_one_printable_line() -> None:
    assert plain.pair(name=NASTY).title == SHOWN


def test_reason_is_printable() -> None:
    error = SubjectError("\ud800\x1b")
    assert (error.reason, str(error)) == ("\\ud800\\x1b", "\\ud800\\x1b")


@pytest.mark.parametrize("pattern", ["two  words", "two words", " two\nwords/values-*"], ids=["two-spaces", "one-space", "line"])
def test_white_space_does_not_matter(pattern: str) -> None:
    assert selected([plain.pair(name="two   words")], [pattern], [])


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
        raise ValueError({NASTY!r})

@parametrize_with_checks([pair(Raises, name={NASTY!r})])
def test_layers(pair, check):
    check(pair)
"""
    )
    options = ["-p", "no:randomly", "-p", "no:cacheprovider", "-n", workers, "-k", "values-float64", "--crosscheck-report", "r.json"]
    result = (pytester.runpytest_inprocess if workers == "0" else pytester.runpytest_subprocess)(*options)
    assert result.parseoutcomes()["failed"] == sum(check.name.startswith("values-float64") for check in checks_of(plain.pair()))
    assert not {"\x1b", "\x00"} & set(result.stdout.str())
    assert json.loads((pytester.path / "r.json").read_text())["pairs"][0]["name"] == SHOWN


def test_command_on_a_nasty_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(SUPPORT)
    Path("pairs.py").write_text(f"from plain import *\nPAIR = pair(Negated, name={NASTY!r})\n")
    assert main(["check", "pairs.py", "--only", "values-float64-normal", "--json", "r.json", "--html", "r.html"]) == 1
    assert not {"\x1b", "\x00", "\ud800"} & set(capsys.readouterr().out)
    pair = json.loads(Path("r.json").read_text())["pairs"][0]
    assert pair["name"] == SHOWN
    assert Path(pair["checks"][0]["small_case"]["file"]).is_file()
