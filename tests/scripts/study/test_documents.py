"""Generated text of pages: it goes between its markers and nowhere else, comes from all results or from their summary, and is kept with its day."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from study.benchmark.pages import DOCUMENT as BENCHMARK
from study.detection.figures import DOCUMENT as DETECTION
from study.documents import DOCS, Block, Document, PageError
from study.operations.pages import DOCUMENT as OPERATIONS

PAGE = "before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n"


@pytest.fixture
def document(tmp_path: Path) -> Document:
    """Return a document of one page; its figure is the sum of many numbers."""
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    block = Block(page, "figures", lambda facts: f"sum: {facts['sum']}")
    return Document("command", tmp_path / "kept.json", [block], lambda facts: {"sum": facts["sum"]})


def written(folder: Path, facts: object) -> Path:
    """Return a JSON file."""
    source = folder / "study.json"
    source.write_text(json.dumps(facts), encoding="utf-8")
    return source


def test_summary_makes_the_same_page_and_stays_as_it_is(document: Document, tmp_path: Path) -> None:
    document.write(written(tmp_path, {"sum": 6, "numbers": [1, 2, 3]}))
    page, kept = (tmp_path / "page.md").read_text(encoding="utf-8"), document.kept.read_text(encoding="utf-8")
    assert page == PAGE.replace("old", "sum: 6")
    assert set(json.loads(kept)) == {"sum", "measured"}
    document.write(document.kept)
    assert ((tmp_path / "page.md").read_text(encoding="utf-8"), document.kept.read_text(encoding="utf-8")) == (page, kept)


def test_day_of_the_measurement_is_kept(document: Document, tmp_path: Path) -> None:
    document.write(written(tmp_path, {"sum": 6, "measured": "2025-01-02"}))
    assert json.loads(document.kept.read_text(encoding="utf-8"))["measured"] == "2025-01-02"


@pytest.mark.parametrize("page", ["text\n", PAGE + PAGE, PAGE.replace("begin", "start")], ids=["none", "twice", "no beginning"])
def test_page_without_its_markers(document: Document, tmp_path: Path, page: str) -> None:
    (tmp_path / "page.md").write_text(page, encoding="utf-8")
    with pytest.raises(PageError, match="the page needs the line <!-- figures: begin -->"):
        document.write(written(tmp_path, {"sum": 6}))
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == page


def test_block_without_text_leaves_the_page() -> None:
    assert Block(Path("page.md"), "figures", lambda facts: "").put(PAGE, {}) == PAGE


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"total": 6}', "is not what command --json writes"), ("[]", "is not what command"), ("{", "cannot be read as JSON")],
    ids=["other figures", "no figures", "no JSON"],
)
def test_other_files_are_refused(document: Document, tmp_path: Path, text: str, message: str) -> None:
    source = tmp_path / "other.json"
    source.write_text(text, encoding="utf-8")
    with pytest.raises(PageError, match=message):
        document.write(source)
    assert not document.kept.exists()


@pytest.mark.parametrize("document", [BENCHMARK, DETECTION, OPERATIONS], ids=["benchmark", "detection", "operations"])
def test_pages_say_what_was_measured(document: Document) -> None:
    facts = document.facts(document.kept)
    for block in document.blocks:
        page = block.page.read_text(encoding="utf-8")
        assert block.put(page, facts) == page


def test_raw_results_are_not_in_the_repository() -> None:
    assert sum(path.stat().st_size for path in DOCS.glob("*.json")) < 100_000
