"""One run, three forms of the same facts: nothing is lost, nothing escapes into markup, nothing is left half-written."""

from __future__ import annotations

import io
import json
import math
import os
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from rich.console import Console
from training.run import Plan
from training.subjects import Choice, chosen

from crosscheck.causes.divergence import divergence_facts
from crosscheck.core.judge import Judgement, Kind, Verdict, Worst, number
from crosscheck.core.trace import Place
from crosscheck.report import html
from crosscheck.report import write as files
from crosscheck.report.html import environment, render, short
from crosscheck.report.terminal import show
from crosscheck.report.words import WIDTH, consequence_in_words, decision_in_words, divergence_message, fraction_in_words, rows
from crosscheck.training.facts import POINTS, RunFacts, SideTest, collect, thinned, verdict_of
from crosscheck.training.listened import TrainingComparison
from crosscheck.training.record import Means, Record
from tests.support.networks import trained

STEPS = 3
pytestmark = pytest.mark.xdist_group("report")  # one process with --dist loadgroup, which trains and draws once
HOSTILE = "<script>alert(1)</script>\"'&<b onload=x>"


def of_tutorial() -> TrainingComparison:
    """Return a short comparison of the tutorial's own code with PyTorch: a mismatch with a cause and with consequences."""
    twins = chosen(Choice("article", "tutorial", ["torch"], np.float64, 0.005, None, 1), np.random.default_rng(0))
    return trained(twins, Plan(np.dtype(np.float64), 1, STEPS, 1, 2, 0))


@pytest.fixture(scope="module")
def differing() -> TrainingComparison:
    return of_tutorial()


def run_facts(name: str = "the subject") -> RunFacts:
    """Return what a caller knows about that run, with one name put wherever a text can stand."""
    image = {"pixels": [[0, 255], [255, 0]], "label": 3, "subject": 5, "reference": 3}
    return RunFacts(
        subject=name,
        reference=name,
        settings={"out": name},
        environment={"blas": {name: name}, "seed": name},
        steps_asked=STEPS,
        checks_asked=STEPS,
        command=name,
        without_steps=name,
        losses=Means([(2.3, 2.3), (math.nan, 2.2), (math.inf, 2.1)], filled=1),
        test={"subject": SideTest(math.nan, 0.1), "reference": SideTest(2.3, 0.2)},
        predictions_differing=1,
        images=[image],
    )


def strict(text: str) -> Any:
    """Read JSON as the standard has it, without NaN and infinity."""

    def unknown(name: str) -> NoReturn:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=unknown)


class Tags(HTMLParser):
    """The tags and attributes of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def printed(facts: dict[str, Any]) -> str:
    """Return what the terminal shows, unwrapped."""
    console = Console(file=io.StringIO(), width=500)
    show(facts, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


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
    assert f"{len(names) - 40:,} more quantities, with smaller errors beside their tolerances, are in the report" in shown
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


@pytest.mark.slow("draws a page that is wrong on purpose; test_pair_report.py shows the same on a smaller one")
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


@pytest.fixture(scope="module")
def agreeing() -> TrainingComparison:
    """Return a comparison that matches, whatever the network under test does: its judgements are made up."""
    comparison = of_tutorial()
    comparison.record, comparison.first, comparison.decisions = Record(), None, {}
    comparison.broken.clear()
    comparison.consequences.clear()
    comparison.record.add([Judgement(Place(1, "conv", "output"), Kind.LAYER, Verdict.MATCH, 4)])
    assert comparison.free is not None
    comparison.free.history = [replace(look, distance=0.0) for look in comparison.free.history]
    return comparison


def test_complete_run_matches(agreeing: TrainingComparison) -> None:
    facts = collect(agreeing, run_facts())
    assert (facts["verdict"], facts["exit_status"]) == ("match", 0)
    assert facts["headline"].startswith("MATCH: ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"interrupted": True}, "interrupted after step 3 of 3"),
        ({"failed": "the loss is not finite"}, "stopped at step 3 of 3: the loss is not finite"),
        ({"steps_asked": STEPS + 1}, "3 of 4 steps checked"),
        ({"checks_asked": STEPS + 1}, ""),
    ],
    ids=["interrupted", "failed", "steps", "checks"],
)
def test_less_than_asked_is_never_a_match(agreeing: TrainingComparison, change: dict[str, Any], said: str) -> None:
    facts = collect(agreeing, replace(run_facts(), **change))
    assert (facts["verdict"], facts["exit_status"]) == ("undecided", 2)
    assert facts["headline"].startswith("UNDECIDED: ")
    assert said in facts["headline"]


def test_mismatch_stays_one_when_interrupted(differing: TrainingComparison) -> None:
    """What was found stays found; the headline says that there was more to do."""
    facts = collect(differing, replace(run_facts(), interrupted=True))
    assert (facts["verdict"], facts["exit_status"]) == ("mismatch", 1)
    assert "interrupted after step 3 of 3" in facts["headline"]


def test_nothing_compared_is_not_checked(agreeing: TrainingComparison) -> None:
    empty = replace(agreeing, record=Record(), free=None, first=None)
    empty.steps = empty.steps_checked = 0
    run = replace(run_facts(), interrupted=True, losses=Means(), test={}, predictions_differing=None, images=[])
    assert verdict_of(empty, run) is Verdict.SKIPPED
    facts = collect(empty, run)
    assert (facts["verdict"], facts["exit_status"]) == ("skipped", 2)
    assert "NOT CHECKED" in printed(facts)
    assert "NOT CHECKED" in Tags(render(facts)).text


def test_thinned_curve_keeps_its_peaks() -> None:
    steps = list(range(1, 10 * POINTS + 1))
    values = [0.5] * len(steps)
    values[1234] = 7.0
    thin_steps, thin = thinned(steps, values)
    assert len(thin) == len(thin_steps) == POINTS
    assert thin[thin_steps.index(1235)] == 7.0


def test_short_curve_is_kept() -> None:
    assert thinned([1, 2, 5], [0.1, 0.3, 0.2]) == ([1, 2, 5], [0.1, 0.3, 0.2])


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


def test_record_keeps_the_worst_and_the_first() -> None:
    """A mismatch before a match, whatever the fractions; the first one stays the first."""
    place, record = Place(1, "conv", "output"), Record()
    judgements = [
        Judgement(place, Kind.LAYER, Verdict.MATCH, 5, fraction=0.9),
        Judgement(place._replace(step=2), Kind.LAYER, Verdict.MISMATCH, 5, 1, 3.0, 2.0, Worst((0,), 1.0, 2.0)),
        Judgement(place._replace(step=3), Kind.LAYER, Verdict.MISMATCH, 5, 1, 9.0, 4.0, Worst((0,), 1.0, 2.0)),
        Judgement(place._replace(step=4), Kind.LAYER, Verdict.UNDECIDED, reason="why not"),
        Judgement(place._replace(step=5), Kind.LAYER, Verdict.MATCH, 5, fraction=0.1),
    ]
    record.add(judgements)
    series = record.series[Kind.LAYER, "conv", "output"]
    assert (series.first, series.worst, series.reason) == (judgements[1], judgements[2], "why not")
    assert (series.curve.steps, series.curve.values) == ([1, 2, 3, 5], [0.9, 2.0, 4.0, 0.1])
    assert (record.compared, record.elements, record.count(Verdict.UNDECIDED)) == (4, 20, 1)


def test_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    files.write_text(path, "new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Neither half a report nor a temporary file is left."""
    path = tmp_path / "report.json"
    path.write_text("old")

    def refuse(*arguments: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(type(error)):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_nan_never_reaches_a_file(tmp_path: Path) -> None:
    """Facts that JSON does not know are refused before anything is written."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "report.json", {"loss": math.nan})
    assert list(tmp_path.iterdir()) == []
