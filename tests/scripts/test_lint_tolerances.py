"""The check against tolerances set by hand finds every way of setting one, and leaves the derived ones alone."""

from __future__ import annotations

from pathlib import Path

import lint_tolerances
import pytest
from lint_tolerances import main
from source.tolerances import findings

PLANTED = [
    "np.testing.assert_allclose(a, b)",
    "assert np.allclose(a, b)",
    "assert torch.isclose(a, b).all()",
    "torch.testing.assert_close(a, b)",
    "assert a == pytest.approx(b)",
    "assert a == approx(b, rel=1e-6)",
    "compare(a, b, rtol=1e-5)",
    "compare(a, b, atol=small)",
    "compare(a, b, rel_tol=1e-9)",
    "compare(a, b, tolerance=1e-5)",
    "rtol = 1e-5",
    "TOLERANCE = 10 * 2**-24",
    "tol: float = 1e-5",
    "def compare(a, b, rtol=1e-5): ...",
    "def compare(a, b, *, tolerance=-1e-5): ...",
    "compare = lambda a, b, atol=1e-5: a",
    "from torch.testing import assert_close; assert_close(a, b)",
    "import crosscheck; assert_close(a, b)",
    "from crosscheck import assert_close; torch.testing.assert_close(a, b)",
    "from crosscheck import assert_close; assert_close(a, b, rtol=1e-5)",
]
RIGHT = [
    "assert np.array_equal(a, b)",
    "tolerance = precision.tolerance(bound)",
    "judge(a, b, tolerance=precision.tolerance(bound))",
    "def compare(a, b, tolerance): ...",
    "def compare(a, b, *, tolerance=None): ...",
    "crosscheck.assert_close(a, reference, b)",
    "from crosscheck import assert_close; assert_close(a, reference, b)",
    "print('rtol=1e-5')",
    "steps = 100",
]


@pytest.mark.parametrize("source", PLANTED)
def test_planted_tolerance_is_found(source: str) -> None:
    assert [finding.line for finding in findings(f"\n{source}\n")] == [2]


@pytest.mark.parametrize("source", RIGHT)
def test_derived_tolerance_is_left_alone(source: str) -> None:
    assert list(findings(source)) == []


def test_finding_is_printed_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "module.py").write_text("x = 1\nrtol = 1e-5\n", encoding="utf-8")
    status = main([str(tmp_path)])
    assert status == 1
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'inner' / 'module.py'}:2: rtol is a number; ")


@pytest.mark.slow("reads every file of the project, which the environment lint does")
def test_project_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    status = main([])
    assert (status, capsys.readouterr().out) == (0, "")


def test_only_the_rivals_may_have_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The module that implements other tools' rules is passed over, and has what it is passed over for; one that is called like it is not."""
    source = lint_tolerances.RIVALS.read_text(encoding="utf-8")
    namesake = tmp_path / lint_tolerances.RIVALS.name
    namesake.write_text(source, encoding="utf-8")
    assert main([str(lint_tolerances.RIVALS)]) == 0
    assert main([str(namesake)]) == 1
    assert "assert_close() compares with a tolerance of its own" in capsys.readouterr().out


def test_all_of_the_project_is_looked_through() -> None:
    missing = [folder for folder in lint_tolerances.FOLDERS if not list((lint_tolerances.ROOT / folder).rglob("*.py"))]
    assert missing == []


def test_wrong_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path / "nowhere")])
