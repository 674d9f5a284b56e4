"""Tables and sentences of a study in Markdown and in the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from study.pages import Sheet, markdown, measured_with, percent, print_headline, table

SHEET = Sheet("figures", ("name", "seconds"), [("a|b", "1.5"), ("<c>", "")])


def test_markdown_escapes_and_aligns() -> None:
    assert markdown(SHEET) == "| name | seconds |\n| --- | ---: |\n| a\\|b | 1.5 |\n| &lt;c> | |"


def test_terminal_shows_text_as_it_is() -> None:
    console = Console(file=io.StringIO(), width=60)
    console.print(table(Sheet("figures", ("name",), [("[red]x",)])))
    print_headline({"headline": "KEPT", "verdict": "match"}, ["one [b]line"], console)
    assert "[red]x" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "KEPT\n  one [b]line\n" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("part", "whole", "words"), [(1, 3, "33 %"), (1, 3000, "0.033 %"), (0, 7, "0"), (0, 0, "-"), (3, 3, "100 %")])
def test_percent_has_two_digits(part: int, whole: int, words: str) -> None:
    assert percent(part, whole) == words


def test_sentence_on_how_it_was_measured() -> None:
    facts = {"versions": {"numpy": "2.0"}, "seed": 0, "command": "python x.py"}
    assert measured_with(facts) == "Measured with numpy 2.0, seed 0; `python x.py` measures it again."
