"""The command measures every example."""

from __future__ import annotations

import json
from pathlib import Path

import measure_checks
import pytest

from tests.support import ROOT


@pytest.mark.slow("checks every example; tests/scripts/cost/test_files.py checks one file")
def test_command(tmp_path: Path) -> None:
    assert measure_checks.main(["--runs", "1", "--json", str(tmp_path / "checks.json")]) == 0
    rows = json.loads((tmp_path / "checks.json").read_text())
    assert [row["name"] for row in rows[1:]] == sorted(f"examples/{path.name}" for path in (ROOT / "examples").glob("*.py"))
