"""The command that measures assert_close: its table shows false alarms and missed faults, and its exit status says whether there was an alarm."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure_assert_close
import pytest
from study.closeness import pages, work
from study.closeness.comparisons import COMPARISONS
from study.closeness.pages import DOCUMENT, KINDS
from study.closeness.work import OWN
from study.documents import Block

from crosscheck.core.judge import Facts


def measured(folder: Path, *options: str, status: int = 0) -> Facts:
    """Return what a run of two seeds that ends with this status writes."""
    file = folder / "closeness.json"
    assert measure_assert_close.main(["--seeds", "2", "--json", str(file), *options]) == status
    facts: Facts = json.loads(file.read_text(encoding="utf-8"))
    return facts


def judging(answer: Callable[[], bool]) -> Callable[..., bool]:
    return lambda found, comparison, inputs: answer()


def broken() -> bool:
    raise ValueError("no reference")


def test_right_code_is_accepted_and_faults_are_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = measured(tmp_path, "--only", "*normalisation")
    own = facts["rules"][OWN]
    assert (len(facts["rows"]), facts["compared"], own["rejected"], facts["failed"]) == (4, 8, 0, {})
    assert own["seen"]["all x 1.001"] == facts["planted"]["all x 1.001"] == 4
    assert "KEPT: 0 of 8 right results rejected" in capsys.readouterr().out


def test_fixed_tolerances_fail_one_way_or_the_other(tmp_path: Path) -> None:
    """The tight one rejects what is right; the loose ones cannot see a fault of their own size."""
    rules = measured(tmp_path, "--only", "matrix product, 4*")["rules"]
    assert rules["allclose 1e-5"]["rejected"] > 0
    assert [rules[f"allclose {size}"]["seen"]["all x 1.001"] for size in ("1e-3", "1e-2")] == [0, 0]


def test_judge_that_accepts_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The table says that it sees no fault, and that the others do."""
    monkeypatch.setattr(work, "accepts", judging(lambda: True))
    facts = measured(tmp_path, "--only", "matrix*")
    assert (len(facts["rows"]), facts["compared"]) == (3, 6)
    assert facts["rules"][OWN]["seen"] == dict.fromkeys(KINDS, 0)
    assert min(facts["planted"].values()) > 0
    assert facts["rules"]["allclose 1e-5"]["seen"]["all x 1.001"] > 0


def test_run_of_more_seeds_continues(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It adds to what an earlier run has found, and plants faults for the first seed of each part."""
    monkeypatch.setattr(work, "CHUNK", 2)
    monkeypatch.setattr(work, "accepts", judging(lambda: False))
    options = ("--only", "soft*", "--state", str(tmp_path / "state.json"))
    assert measured(tmp_path, *options, status=1)["compared"] == 2
    monkeypatch.setattr(work, "accepts", judging(lambda: True))
    facts = measured(tmp_path, *options, "--resume", "--seeds", "5", status=1)
    assert (facts["compared"], facts["rules"][OWN]["rejected"]) == (5, 2)
    assert facts["planted"] == dict.fromkeys(KINDS, 3)
    assert facts["rules"][OWN]["seen"] == dict.fromkeys(KINDS, 1)


def test_judge_that_rejects_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(work, "accepts", judging(lambda: False))
    facts = measured(tmp_path, "--only", "soft*", status=1)
    assert facts["rules"][OWN]["rejected"] == 2
    shown = capsys.readouterr().out
    assert "NOT KEPT: 2 of 2 right results rejected" in shown
    assert "right and rejected: softmax, 2 of 2" in shown


def test_comparison_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(work, "accepts", judging(broken))
    measured(tmp_path, "--only", "soft*", status=2)
    assert "could not be compared: softmax: ValueError: no reference" in capsys.readouterr().out


def test_unknown_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    assert measure_assert_close.main(["--only", "sofmax"]) == 2
    assert "--only sofmax: no comparison has such a name; there are matrix product, 256 terms, " in capsys.readouterr().err


def test_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Figures of a run go into the page, and their summary beside it."""
    monkeypatch.setattr(work, "accepts", judging(lambda: True))
    measured(tmp_path, "--only", "soft*")
    page, kept = tmp_path / "page.md", tmp_path / "kept.json"
    page.write_text("<!-- figures: begin -->\n<!-- figures: end -->\n", encoding="utf-8")
    changed: dict[str, Any] = {"kept": kept, "blocks": [Block(page, "figures", pages.page)]}
    monkeypatch.setattr(pages, "DOCUMENT", type(DOCUMENT)(DOCUMENT.command, summary=DOCUMENT.summary, **changed))
    assert measure_assert_close.main(["--page", str(tmp_path / "closeness.json")]) == 0
    assert f"| softmax | {COMPARISONS['softmax'].way} | 0 | 0 |" in page.read_text(encoding="utf-8")
    assert json.loads(kept.read_text(encoding="utf-8"))["compared"] == 2
