"""The command measures the README's file and the examples, or some of them."""

from __future__ import annotations

import json
from pathlib import Path

import measure_checks
import pytest


@pytest.mark.slow("checks three pairs several times; tests/scripts/cost/test_files.py checks one file")
def test_command(tmp_path: Path) -> None:
    assert measure_checks.main(["--runs", "1", "--only", "dicts", "--json", str(tmp_path / "checks.json")]) == 0
    rows = json.loads((tmp_path / "checks.json").read_text())
    assert [row["name"] for row in rows] == ["examples/params_grads_dicts.py"]


def test_no_file_of_this_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        measure_checks.main(["--only", "nothing"])
    assert "--only nothing: no file has this in its name; there are README: mine.py, examples/" in capsys.readouterr().err
