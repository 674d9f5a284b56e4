"""One run, three forms of the same facts: nothing is lost, nothing escapes into markup, nothing is left half-written."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from crosscheck.causes.divergence import divergence_facts
from crosscheck.core.judge import Kind, number
from crosscheck.report import html
from crosscheck.report import write as files
from crosscheck.report.html import environment, render, short
from crosscheck.report.words import WIDTH, consequence_in_words, decision_in_words, divergence_message, fraction_in_words, rows
from crosscheck.training.facts import collect
from crosscheck.training.listened import TrainingComparison
from tests.support.pages import HOSTILE, Tags, printed, strict
from tests.support.short_training import run_facts, trained

pytestmark = pytest.mark.xdist_group("report")  # one process with --dist loadgroup, which trains and draws once


@pytest.fixture(scope="module")
def differing() -> TrainingComparison:
    """Return the tutorial's own code against PyTorch: a mismatch with a cause and with consequences."""
    return trained("article")


def test_table_of_many_quantities(differing: TrainingComparison) -> None:
    """Of hundreds a terminal shows those closest to their tolerance, and says how many there are besides."""
    facts = collect(differing, run_facts())
    whole = printed(facts)
    others = [dict(q, layer=f"{q['layer']}{n}") for n in range(30) for q in facts["quantities"] if "mismatch" not in q["verdicts"]]
    shown = printed(facts | {"quantities": others + facts["quantities"]})
    wrong = {f"{q['layer']}.{q['quantity']}" for q in facts["quantities"] if "mismatch" in q["verdicts"] and q["kind"] != Kind.WIRE}
    assert wrong
    assert [name for name in wrong if f"│ {name} " not in shown] == []
    rows = [line for line in shown.splitlines() if line.startswith("│")]
    names = {(q["layer"], q["quantity"]) for q in others + facts["quantities"] if q["kind"] != Kind.WIRE}
    assert len(rows) == 40
    assert f"{len(names) - 40:,} more quantities, with smaller errors relative to their tolerances, are in the report" in shown
    assert "more quantities" not in whole


def test_facts_are_json(differing: TrainingComparison, tmp_path: Path) -> None:
    """What is not finite becomes null, and all of it can be read back."""
    facts = collect(differing, run_facts())
    files.write_json(tmp_path / "report.json", facts)
    read = strict((tmp_path / "report.json").read_text())
    assert read == facts
    assert read["losses"]["subject"] == [2.3, None, None]
    assert read["first_divergence"]["fraction_of_tolerance"] is None


def test_texts_are_escaped(differing: TrainingComparison) -> None:
    """Whatever a name, a path or a reason holds, it stays text: in the page and inside its pictures."""
    facts = collect(differing, run_facts(HOSTILE))
    first = facts["first_divergence"]
    first["cause_in_words"] = first["source"] = first["reason"] = first["layer"] = facts["headline"] = HOSTILE
    for quantity in facts["quantities"]:
        quantity["layer"] = quantity["reason"] = HOSTILE
        if quantity["worst"]:
            quantity["worst"]["reason"] = HOSTILE
    for consequence in facts["consequences"]:
        consequence["layer"] = HOSTILE
    for look in facts["free_run"]["measurements"]:
        look["parameter"] = HOSTILE
    facts["weights"] = {HOSTILE: next(iter(facts["weights"].values()))}
    page = Tags(render(facts))
    assert not {"script", "b"} & page.tags
    assert not [name for name in page.attributes if name.startswith("on")]
    assert page.text.count(HOSTILE) > 20


@pytest.fixture(scope="module")
def page(differing: TrainingComparison) -> str:
    """Return the page of that run, drawn once."""
    return render(collect(differing, run_facts()))


@pytest.mark.slow("draws a page that is wrong on purpose; test_report_pairs.py shows the same on a smaller one")
def test_page_without_escaping_would_be_caught(differing: TrainingComparison, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser above sees a tag that is one."""
    careless = environment().overlay(autoescape=False)
    monkeypatch.setattr(html, "environment", lambda: careless)
    page = Tags(render(collect(differing, run_facts(HOSTILE))))
    assert {"script", "b"} <= page.tags
    assert "onload" in page.attributes


def test_page_needs_nothing_from_elsewhere(page: str) -> None:
    assert not {"link", "img", "iframe", "object"} & Tags(page).tags
    assert "@import" not in page
    assert "url(http" not in page


def test_markup_of_the_terminal_stays_text(differing: TrainingComparison) -> None:
    """Square brackets mean colours to the terminal's library."""
    facts = collect(differing, run_facts("[bold red]x[/]"))
    assert "[bold red]x[/] --steps 1" in printed(facts)


def test_the_three_forms_say_the_same(differing: TrainingComparison, page: str) -> None:
    """Each row of a divergence stands in the terminal's text and in the page, word for word."""
    facts = collect(differing, run_facts())
    terminal, shown = printed(facts), Tags(page).text
    found = [text for _, text in rows(facts["first_divergence"])] + [consequence_in_words(c) for c in facts["consequences"]]
    assert len(found) > 6
    for text in [facts["headline"], *found]:
        assert text in terminal
        assert text in shown


def test_divergence_reads_from_the_top_down(differing: TrainingComparison) -> None:
    """Where, how much, why, which element; each once."""
    headings = [heading for heading, _ in rows(collect(differing, run_facts())["first_divergence"])]
    assert headings == ["where", "computed in", "error", "likely cause", "worst element", "tested alone"]


def test_message_of_a_test(differing: TrainingComparison) -> None:
    """Verdict first, the command that repeats it last, no line too wide."""
    assert differing.first is not None
    lines = divergence_message(divergence_facts(differing.first, "pytest 'tests/x.py::test[a-b]'")).splitlines()
    assert lines[0] == "MISMATCH"
    assert lines[1].startswith("  where ")
    assert lines[-1] == "  reproduce     pytest 'tests/x.py::test[a-b]'"
    assert max(map(len, lines)) <= WIDTH
    assert "tie rule" in " ".join(lines)


def test_long_command_is_not_torn(differing: TrainingComparison) -> None:
    """An id of a test can be copied even where it is longer than a line."""
    assert differing.first is not None
    command = "pytest " + "x" * 2 * WIDTH
    assert "x" * 2 * WIDTH in divergence_message(divergence_facts(differing.first, command))


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.0, "0"), (0.333, "0.33"), (0.9999, "0.9999"), (1.00004, "1.00004"), (1.0, "1"), (2.5e12, "2.5e+12"), (math.inf, "inf")]
)
def test_fraction_tells_its_side_of_one(fraction: float, text: str) -> None:
    """0.9999 rounded to 1 would not say whether it matches."""
    assert fraction_in_words(fraction) == text


@pytest.mark.parametrize(("value", "text"), [(None, "∞"), (0.0, "0"), (0.12345, "0.123"), (1.0001, "1.0001")])
def test_number_of_the_page(value: float | None, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_that_json_does_not_know(value: float) -> None:
    assert number(value) is None


@pytest.mark.parametrize(
    ("margin", "end"),
    [(0.0, "always between values that should be equal"), (0.3, "by at most 0.3 of what rounding explains"), (None, "where there is no tie")],
)
def test_decisions(margin: float | None, end: str) -> None:
    text = decision_in_words({"layer": "pool", "different_choices": 1234, "largest_margin": margin})
    assert text.startswith("pool chose another side of a kink or another maximum than expected 1,234 times")
    assert text.endswith(end)


def test_nan_never_reaches_a_file(tmp_path: Path) -> None:
    """Facts that JSON does not know are refused before anything is written."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "report.json", {"loss": math.nan})
    assert list(tmp_path.iterdir()) == []
