"""The README's section on other people's code: its files are run as they stand there, and print what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crosscheck.core.inputs import FAMILIES
from crosscheck.run.cli import main
from tests.support import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = README[README.index("## Your own code") : README.index("## How to read a verdict")]
PYTHON = re.findall(r"```python\n(.*?)```", SECTION, flags=re.DOTALL)
OUTPUT = re.findall(r"```text\n(.*?)```", SECTION, flags=re.DOTALL)
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the files of the section."""
    (tmp_path / "mine.py").write_text(PYTHON[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(text: str) -> list[str]:
    """Return a text's words, every number the same: versions and last digits differ from machine to machine."""
    return NUMBER.sub("0", text).split()


def test_first_verdict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The output is the README's, as far as it shows it."""
    assert main(["check", "mine.py"]) == 1
    shown = words(OUTPUT[0].partition("\n...")[0])
    assert words(capsys.readouterr().out)[: len(shown)] == shown


def test_tests_of_the_section(folder: Path, pytester: pytest.Pytester) -> None:
    """The test file finds the mistake, in all checks of values, and nowhere else."""
    for name, text in (("mine", PYTHON[0]), ("test_mine", PYTHON[2])):
        (pytester.path / f"{name}.py").write_text(text)
    result = pytester.runpytest_inprocess("-p", "no:randomly", "--crosscheck-no-shrink", "--crosscheck-report", "report.html")
    assert result.parseoutcomes() == {"failed": 2 * len(FAMILIES), "passed": 17, "skipped": 5}
    assert "MISMATCH" in (pytester.path / "report.html").read_text()


def test_recorded_in_the_section(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands of the section, one after the other."""
    commands = [line.split()[1:] for line in SECTION.splitlines() if line.startswith(("    crosscheck trace", "    crosscheck compare"))]
    assert [main(command) for command in commands] == [0, 0, 1]
    assert "Linear.bias.grad" in capsys.readouterr().out


@pytest.mark.parametrize("example", re.findall(r"`(examples/\w+\.py)`", SECTION))
def test_named_examples_exist(example: str) -> None:
    assert (ROOT / example).is_file()
