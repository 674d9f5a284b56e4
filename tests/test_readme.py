"""The README's section on other people's code: its files are run as they stand there, and print what it says."""

from __future__ import annotations

import re
import runpy
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

import crosscheck
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
    for name, text in (("mine", PYTHON[0]), ("test_mine", next(text for text in PYTHON if "parametrize_with_checks" in text))):
        (pytester.path / f"{name}.py").write_text(text)
    result = pytester.runpytest_inprocess("-p", "no:randomly", "--crosscheck-no-shrink", "--crosscheck-report", "report.html")
    assert result.parseoutcomes() == {"failed": 2 * len(FAMILIES), "passed": 17, "skipped": 5}
    assert "MISMATCH" in (pytester.path / "report.html").read_text()


@pytest.mark.parametrize(("wrong", "gradient"), [(False, False), (True, False), (False, True)])
def test_inside_an_existing_test(folder: Path, wrong: bool, gradient: bool) -> None:
    """The changed line and the one with gradients pass on right code, and neither passes on wrong code."""
    lines = [block for block in PYTHON if "crosscheck.assert_close" in block]
    (folder / "one_line.py").write_text(lines[0].splitlines()[1])
    torch.manual_seed(0)
    (folder / "gradients.py").write_text(lines[1])
    x, w, b, dy = (torch.randn(*shape, dtype=torch.float64) for shape in ((5, 9), (4, 9), (4,), (5, 4)))
    given = {"crosscheck": crosscheck, "torch": torch, "F": functional, "nn": nn}
    image, kernel = torch.randn(2, 3, 7, 7), torch.randn(4, 3, 3, 3)
    factor = 1 + wrong / 1000
    conv = {"x": image, "w": kernel, "my_conv": lambda x, w: factor * functional.conv2d(x, w)}
    linear = {"x": x, "w": w, "b": b, "dy": dy, "y": x @ w.T + b, "dx": dy @ w, "dw": (1 + gradient / 1000) * dy.T @ x, "db": dy.sum(0)}
    with pytest.raises(AssertionError) if wrong else nullcontext():
        runpy.run_path("one_line.py", given | conv)
    with pytest.raises(AssertionError, match=r"weight\.grad") if gradient else nullcontext():
        runpy.run_path("gradients.py", given | linear)


def test_recorded_in_the_section(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands of the section, one after the other."""
    commands = [line.split()[1:] for line in SECTION.splitlines() if line.startswith(("    crosscheck trace", "    crosscheck compare"))]
    assert [main(command) for command in commands] == [0, 0, 1]
    assert "Linear.bias.grad" in capsys.readouterr().out


@pytest.mark.parametrize("example", re.findall(r"`(examples/\w+\.py)`", SECTION))
def test_named_examples_exist(example: str) -> None:
    assert (ROOT / example).is_file()
