"""The variables that a line of code assigns to."""

from __future__ import annotations

from pathlib import Path

import pytest

from crosscheck.references.statements import place_at, targets_at

CODE = """\
mean = x.mean()
a, b = split(
    x,
    2,
)
self.scale: float = 1.0
total += mean
def f(x):
    return x
double = lambda x: x + x
"""


@pytest.mark.parametrize(
    ("line", "first", "names"),
    [(1, 1, ("mean",)), (2, 2, ("a", "b")), (4, 2, ("a", "b")), (6, 6, ("scale",)), (7, 7, ("total",)), (9, 9, ()), (10, 10, ()), (20, 20, ())],
)
def test_line_belongs_to_a_statement(tmp_path: Path, line: int, first: int, names: tuple[str, ...]) -> None:
    file = tmp_path / "code.py"
    file.write_text(CODE, encoding="utf-8")
    place = place_at(str(file), line)
    assert place.line == first
    assert tuple(targets_at(place)) == names


def test_file_that_is_no_code_has_no_names(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text("this is (no code", encoding="utf-8")
    assert targets_at(place_at(str(file), 1)) == ()
