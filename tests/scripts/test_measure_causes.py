"""The command measures the search for causes, of all common mistakes or of some."""

from __future__ import annotations

import json
from pathlib import Path

import measure_causes
import pytest


@pytest.mark.slow("checks a layer three times; test_sheet shows the table of figures that are given")
def test_command(tmp_path: Path) -> None:
    assert measure_causes.main(["--only", "another slope", "--json", str(tmp_path / "causes.json")]) == 0
    (row,) = json.loads((tmp_path / "causes.json").read_text())
    assert (row["name"], row["layer"], row["cause"]) == ("another slope", "leaky ReLU", measure_causes.EDIT)
    assert 0 < row["search"] < row["wrong"]


def test_sheet() -> None:
    found = [
        measure_causes.Row(name, "layer", measure_causes.NONE, search, 1.0, 1.0 + search, 1.0)
        for name, search in (("a", 0.5), ("b", 2.0), ("c", 1.0))
    ]
    *_, median, worst = measure_causes.sheet(found).rows
    assert median[3:] == ("1.00", "1.00", "2.00", "1.00", "1.00")
    assert worst[3:] == ("2.00", "1.00", "3.00", "2.00", "1.00")


def test_no_mistake_of_this_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        measure_causes.main(["--only", "nothing of it"])
    assert "--only nothing of it: no mistake has this in its name or its layer" in capsys.readouterr().err
