"""``crosscheck trace`` and ``crosscheck compare``: what they refuse, and what they leave where they are stopped."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from crosscheck.run.cli import main
from tests.support.command import declare, declare_pair, recorded_both


def test_trace_that_cannot_be_finished_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    declare_pair(folder, "pair()")
    monkeypatch.setattr(os, "replace", full)
    assert main(["trace", "pairs.py", "--side", "reference", "--only", "values-float64-normal", "--out", "t.safetensors"]) == 2
    assert capsys.readouterr().err == "crosscheck: t.safetensors: cannot be written ([Errno 28] No space left on device)\n"
    assert not [path for path in folder.iterdir() if "safetensors" in path.name]


def test_interrupted_recording_leaves_no_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    interrupts = "class Interrupts(Scale):\n    def forward(self, x):\n        if x.dtype == np.float32:\n            raise KeyboardInterrupt\n"
    declare(folder, f"{interrupts}        return super().forward(x)\nPAIR = pair(Interrupts)")
    assert main(["trace", "pairs.py", "--side", "subject", "--out", "t.safetensors"]) == 2
    doing = "Interrupts/values-float32-normal"
    assert capsys.readouterr().err == f"crosscheck: interrupted while recording {doing}; t.safetensors was not written\n"
    assert not [path for path in folder.iterdir() if "safetensors" in path.name]


@pytest.mark.parametrize(
    ("out", "error"),
    [("t.npz", "t.npz: the name has to end in .safetensors"), ("nowhere/t.safetensors", "there is no folder nowhere")],
    ids=["suffix", "folder"],
)
def test_trace_that_cannot_be_written(folder: Path, out: str, error: str, capsys: pytest.CaptureFixture[str]) -> None:
    declare_pair(folder, "pair()")
    assert main(["trace", "pairs.py", "--side", "subject", "--out", out]) == 2
    assert error in capsys.readouterr().err


def test_sides_exchanged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded_both(folder, "pair()", "--only", "values-float64-normal")
    capsys.readouterr()
    assert main(["compare", "r.safetensors", "s.safetensors"]) == 2
    assert "r.safetensors: a reference's trace, expected a subject's" in capsys.readouterr().err


def test_other_seed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded_both(folder, "pair()", "--only", "values-float64-normal")
    main(["trace", "pairs.py", "--side", "subject", "--out", "s.safetensors", "--seed", "1", "--only", "values-float64-normal"])
    capsys.readouterr()
    assert main(["compare", "s.safetensors", "r.safetensors"]) == 2
    assert "s.safetensors was recorded with seed 1, r.safetensors with seed 0" in capsys.readouterr().err
