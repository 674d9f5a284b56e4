"""Where the command's output goes: whatever becomes of it, the reports are written whole and the status is the verdict's."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crosscheck.report import write as pair_files
from crosscheck.report.write import write_text
from crosscheck.run.cli import main
from tests.support.command import declare


@pytest.fixture
def folder(folder: Path) -> Path:
    does_before(folder)
    return folder


def does_before(folder: Path, before: str = "", kind: str = "Negated") -> None:
    """Declare a pair in a file that does something before."""
    declare(folder, f"import os, sys\n{before}\nPAIR = pair({kind})")


def started(*options: str, stdout: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "crosscheck", "check", "pairs.py", "--only", "values-float64-normal", *options]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE)  # noqa: S603 - our own interpreter


def test_reader_that_has_gone_costs_neither_report_nor_verdict(folder: Path) -> None:
    process = started("--json", "r.json", "--html", "r.html", stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(60) == 1
    process.stderr.close()
    assert (folder / "r.json").is_file()
    assert (folder / "r.html").is_file()


@pytest.mark.slow("starts a process; test_reader_that_has_gone_costs_neither_report_nor_verdict shows an output that cannot be written")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_full_disk_behind_standard_output(folder: Path) -> None:
    with Path("/dev/full").open("wb") as full, started(stdout=full) as process:
        assert process.communicate(timeout=60)[1] == b""
        assert process.returncode == 1


@pytest.mark.slow("each starts a process; one way to close shows it", default=["sys.stdout.close()"])
@pytest.mark.parametrize("before", ["os.close(1)", "sys.stdout.close()", "sys.__stdout__.close()"])
def test_output_that_the_file_closes(folder: Path, before: str) -> None:
    does_before(folder, before)
    with started("--json", "r.json", stdout=subprocess.PIPE) as process:
        assert process.communicate(timeout=60)[1] == b""
        assert process.returncode == 1
    assert (folder / "r.json").read_text().startswith("{")


def test_what_a_file_prints_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    does_before(folder, "print('loading', 3)\nprint('[bold]more', file=sys.stderr)", "Scale")
    assert main(["check", "pairs.py"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("pairs.py printed 2 lines, the first: 'loading 3'\n")
    assert "more" not in captured.out + captured.err


def test_terminal_without_width_still_shows_words(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    assert main(["check", "pairs.py", "--no-shrink"]) == 1
    assert "mismatch" in capsys.readouterr().out.lower()


def test_scripts_of_an_earlier_run_go_and_nothing_else_does(folder: Path) -> None:
    main(["check", "pairs.py", "--json", "r.json"])
    cases = folder / "r-small-cases"
    own = ["01-my-notes.py", "01-notes.txt", "my_notes.py"]
    for name in own:
        (cases / name).touch()
    assert len(list(cases.iterdir())) > len(own)
    does_before(folder, kind="Scale")
    main(["check", "pairs.py", "--json", "r.json"])
    assert sorted(path.name for path in cases.iterdir()) == own


def test_report_is_written_where_a_small_case_cannot_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write_text

    def full(path: Path, text: str) -> None:
        if path.suffix == ".py":
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, text)

    monkeypatch.setattr(pair_files, "write_text", full)
    assert main(["check", "pairs.py", "--only", "values-float64-normal", "--html", "r.html"]) == 1
    page = (folder / "r.html").read_text()
    assert "the small case could not be saved as r-small-cases/01-Negated-values-float64-normal.py (No space left on device)" in page


def test_report_that_cannot_be_finished_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert main(["check", "pairs.py", "--only", "values-float64-normal", "--no-shrink", "--json", "r.json"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "crosscheck: r.json: cannot be written (No space left on device)\n"
    assert "MISMATCH" in captured.out
    assert not [path for path in folder.iterdir() if "r.json" in path.name]


@pytest.mark.parametrize("step", ["crosscheck.run.cli_output.write", "crosscheck.run.cli_output.show"], ids=["writing", "showing"])
def test_interrupted_report_keeps_the_verdict(folder: Path, step: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(step, interrupted)
    assert main(["check", "pairs.py", "--no-shrink"]) == 1
    assert capsys.readouterr().err.startswith("crosscheck: interrupted while reporting: MISMATCH: 1 of 1 pair differs")
