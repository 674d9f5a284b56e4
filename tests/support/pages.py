"""What tests of reports look with: a parser of pages, strict JSON, the text of a terminal, a text that is an attack."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, NoReturn

from rich.console import Console

from crosscheck.checks import Settings, checks_of
from crosscheck.checks.facts import PairRun, check_facts, collect, pair_facts
from crosscheck.core.judge import Facts
from crosscheck.pairs.pair import Pair
from crosscheck.report.terminal import show
from crosscheck.run.check import run_check
from tests.support import plain

HOSTILE = "<script>alert(1)</script>\"'&<b onload=x>"


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


NO_SHRINKING = Settings(shrink=False)


def checked(pair: Pair, kind: str = "") -> Facts:
    facts = pair_facts(pair)
    facts["checks"] = [check_facts(c, run_check(pair, c, NO_SHRINKING), "again", 0.5) for c in checks_of(pair) if c.name.startswith(kind)]
    return facts


def report(*pairs: Facts, **outcome: Any) -> Facts:
    asked = sum(len(pair["checks"]) for pair in pairs)
    return collect(pairs, replace(PairRun("crosscheck check", 0, asked), **outcome))


def made(**changes: Any) -> Facts:
    """Return a pair with one check, the facts of which are changed."""
    check: Facts = {
        "check": "values-float64-normal",
        "about": "",
        "dtype": "float64",
        "verdict": "match",
        "counts_as": "match",
        "reason": "",
        "expected_difference": "",
        "warning": False,
        "notes": [],
        "quantities": [],
        "first_divergence": None,
        "reproduce": "again",
        "small_case": None,
        "seconds": 0.0,
    }
    return pair_facts(plain.pair()) | {"checks": [check | changes]}
