"""The command measures the layers that are named, and refuses a folder that is no checkout."""

from __future__ import annotations

import json
from pathlib import Path

import measure_layers
import pytest


@pytest.mark.slow("starts a process for each run; tests/scripts/cost/test_layers.py measures a layer in this one")
def test_command(tmp_path: Path) -> None:
    assert measure_layers.main(["--runs", "1", "--only", "Linear(12", "--json", str(tmp_path / "layers.json")]) == 0
    (row,) = json.loads((tmp_path / "layers.json").read_text())
    assert row["layer"] == "Linear(12, 7)"
    assert row["seconds"] > 0
    assert row["beside"] is None


@pytest.mark.parametrize(("option", "message"), [("--beside", "not a checkout"), ("--only", "no layer has this in its name")])
def test_refused(option: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        measure_layers.main([option, str(tmp_path)])
    assert message in capsys.readouterr().err
