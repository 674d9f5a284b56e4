"""The cost of a file is counted: lines between the markers, pairs, checks, quantities, small cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from cost.files import adapting_lines, first_file, measured

from tests.support import SUPPORT


def test_adapting_lines_are_those_between_the_markers(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import x\n# --- adapting ---\n\none\ntwo\n# --- end ---\nthree\n")
    assert adapting_lines(file) == 2
    file.write_text("no markers\n")
    assert adapting_lines(file) is None


def test_figures_of_a_file_with_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SUPPORT)
    file = tmp_path / "pairs.py"
    file.write_text("from plain import Negated, pair\nPAIR = pair(Negated)\n")
    row = measured("mine", file, 1)
    assert (row.name, row.pairs, row.adapting_lines) == ("mine", 1, None)
    assert row.checks > 1
    assert row.quantities > row.checks
    assert row.seconds == row.seconds_a_pair > 0
    assert row.small_cases


def test_first_file_of_the_readme(tmp_path: Path) -> None:
    assert "Pair(" in first_file(tmp_path).read_text(encoding="utf-8")
