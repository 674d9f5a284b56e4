"""The study in the terminal, as a table in Markdown, and as a file in which verdicts are entered by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from crosscheck.core.judge import Facts
from crosscheck.report.write import write_text
from crosscheck.run.cli import UsageError
from study.edits.facts import OF_FAULTS, SAID
from study.edits.judging import FALSE, HAND, OPEN, RULE, VERDICTS, WRONG
from study.edits.outcome import CRASHED, EQUAL, SEEN, UNDECIDED
from study.pages import Sheet, markdown, measured_with, print_headline, table

_MARKED = {WRONG: "explained wrongly", FALSE: "explained falsely"}


def show(facts: Facts, console: Console) -> None:
    """Print the verdict, what falls short, and the tables."""
    wrong = [f"{_MARKED[row['verdict']]}: {row['row']}: {_edit(row)}: {row['sentence']}" for row in facts["rows"] if row["verdict"] in _MARKED]
    failed = [f"could not be checked: {line}" for line in facts["failed"]]
    unused = [f"a verdict by hand belongs to no row of this run: {line}" for line in facts["unused_verdicts"]]
    by = facts["judged_by"]
    ways = f"sentences judged by rule: {by[RULE]:,}; by hand: {by[HAND]:,}; still to be judged: {len(facts['open']):,}"
    print_headline(facts, [*wrong, *failed, *unused, ways], console)
    for title in ("layers", "kinds"):
        console.print(table(_edits(title, facts)))
    console.print(table(_noise(facts)))


def _edits(by: str, facts: Facts) -> Sheet:
    headings = by[:-1], "edits", "equal", "crashed", "un-\ndecided", "seen", "ex-\nplained", *SAID, "median\ns", "worst\ns", "median s\nno search"
    rows = [_numbers(name, one, SAID) for name, one in (*facts[by].items(), ("all", facts["edits"]))]
    return Sheet(f"edits by {by[:-1]}", headings, rows)


def _numbers(name: str, one: Facts, verdicts: Sequence[str]) -> tuple[str, ...]:
    counts = (str(one[what]) for what in ("rows", EQUAL, CRASHED, UNDECIDED, SEEN, "explained", *verdicts))
    seconds = one["seconds"]["median"], one["seconds"]["worst"], one["seconds_without_search"]["median"]
    return name, *counts, *("-" if value is None else f"{value:.2f}" for value in seconds)


def _noise(facts: Facts) -> Sheet:
    rows = [(name, *(str(one[what]) for what in ("rows", SEEN, *OF_FAULTS))) for name, one in facts["noise"].items()]
    return Sheet("faults that no single edit explains", ("fault", "drawn", "seen", *OF_FAULTS), rows)


def _edit(row: Facts) -> str:
    return row["fault"] or f"{row['before']} -> {row['after']}"


def write_table(path: Path, facts: Facts) -> None:
    """Write all rows as a table in Markdown."""
    headings = "row", "in", "before", "after", "outcome", "first wrong", "the report says", "verdict", "by"
    rows = []
    for row in facts["rows"]:
        said = row["sentence"] or row["words"] or row["failed"]
        cells = row["row"], row["function"], row["before"] or row["fault"], row["after"], row["outcome"], row["quantity"] or row["check"], said
        rows.append((*cells, row["verdict"], row["judged_by"]))
    write_text(path, f"{facts['headline']}\n\n{measured_with(facts)}\n\n{markdown(Sheet('', headings, rows, range(len(headings))))}\n")


def expect_new(path: Path | None, judged: Path | None) -> None:
    """Raise UsageError if verdicts by hand would be overwritten."""
    if path is not None and path.exists() and (judged is None or path.resolve() != judged.resolve()):
        raise UsageError(f"--to-judge {path}: it exists, and may hold verdicts; read it with --judged {path}, or name another file")


def write_sentences(path: Path, facts: Facts) -> None:
    """Write every sentence that no rule judges, with its verdict by hand if it has one."""
    entries = []
    for row in facts["rows"]:
        if row["verdict"] == OPEN or row["judged_by"] == HAND:
            entry = {what: row[what] for what in ("seed", "row", "sentence")}
            entry |= {"verdict": "" if row["verdict"] == OPEN else row["verdict"], "verdicts": " | ".join(VERDICTS[row["group"]])}
            entries.append(entry | {"function": row["function"], "edit": _edit(row), "check": row["check"]})
    write_text(path, json.dumps(entries, indent=1) + "\n")
