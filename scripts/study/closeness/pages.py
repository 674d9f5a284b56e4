"""The study of ``crosscheck.assert_close`` as facts, in the terminal and in docs/assert_close.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from crosscheck.core.judge import Facts
from crosscheck.report.words import counted
from study.closeness.work import ONE, OWN, SIZES, WHOLE, kind
from study.detection.rivals import CLOSENESS_RULES
from study.documents import DOCS, Block, Document
from study.pages import Rows, Sheet, markdown, percent, print_headline, table, title, wrapped
from study.state import kept_in_words
from study.workers import FAILED

PAGE = DOCS / "assert_close.md"
RULES = (OWN, *CLOSENESS_RULES)
KINDS = [kind(size, extent) for size in SIZES for extent in (WHOLE, ONE)]
"""The kinds of faults: how large, and how far they reach."""


def facts_of(results: Mapping[str, Facts], run: Facts, command: str) -> Facts:
    """Return the study as plain data. The promise: no right result is rejected, and at least as many faults are seen as by any rule that keeps it."""
    failed = {name: one[FAILED] for name, one in results.items() if FAILED in one}
    rows = [{"name": name, **one} for name, one in results.items() if FAILED not in one]
    facts: Facts = {"study": "closeness", "command": command, **run, "rows": rows, "failed": failed}
    facts["compared"] = sum(one["seeds"] for one in rows)
    facts["rules"] = {rule: _total(rows, rule) for rule in RULES}
    facts["planted"] = {kind: sum(_planted(one, kind) for one in rows) for kind in KINDS}
    own = facts["rules"][OWN]
    facts["alarms"] = [f"right and rejected: {one['name']}, {one['rejected'][OWN]} of {one['seeds']}" for one in rows if one["rejected"][OWN]]
    facts["status"], facts["verdict"], word = kept_in_words(not facts["alarms"], not failed)
    shares = ", ".join(f"{name} {percent(own['seen'][name], facts['planted'][name])}" for name in KINDS)
    facts["headline"] = f"{word}: {own['rejected']:,} of {counted(facts['compared'], 'right result')} rejected; faults seen: {shares}"
    return facts


def _planted(one: Mapping[str, Any], kind: str) -> int:
    return int(one["faults"].get(kind, {}).get("planted", 0))


def _seen(one: Mapping[str, Any], kind: str, rule: str) -> int:
    return int(one["faults"][kind]["seen"][rule]) if _planted(one, kind) else 0


def _total(rows: Sequence[Facts], rule: str) -> Facts:
    return {
        "rejected": sum(one["rejected"][rule] for one in rows),
        "comparisons": sum(bool(one["rejected"][rule]) for one in rows),
        "seen": {kind: sum(_seen(one, kind, rule) for one in rows) for kind in KINDS},
    }


def show(facts: Facts, console: Console) -> None:
    """Print the verdict, what was rejected, and the tables."""
    print_headline(facts, [*facts["alarms"], *(f"could not be compared: {name}: {why}" for name, why in facts["failed"].items())], console)
    for sheet in (rules_sheet(facts), rows_sheet(facts)):
        console.print(table(sheet))


def rules_sheet(facts: Facts) -> Sheet:
    """Return a row for each rule."""
    headings = ("rule", "right results rejected", "in comparisons", *KINDS)
    rows: Rows = [
        (
            rule,
            f"{one['rejected']:,} of {facts['compared']:,} ({percent(one['rejected'], facts['compared'])})",
            f"{one['comparisons']}",
            *(percent(one["seen"][name], facts["planted"][name]) for name in KINDS),
        )
        for rule, one in facts["rules"].items()
    ]
    return Sheet("right results rejected, and faults seen, by rule", headings, rows)


def rows_sheet(facts: Facts, ways: bool = False) -> Sheet:
    """Return a row for each comparison: right results that each rule rejected, and the faults that crosscheck saw; and ``ways`` of the code."""
    headings = ("comparison", *["the code's own way"] * ways, *(rule.rpartition(".")[0].partition(".")[0] or rule for rule in RULES), *KINDS)
    rows: Rows = [
        (
            one["name"],
            *[one["way"]] * ways,
            *(f"{one['rejected'][rule]:,}" for rule in RULES),
            *(percent(_seen(one, name, OWN), _planted(one, name)) for name in KINDS),
        )
        for one in facts["rows"]
    ]
    return Sheet(f"right results rejected of {facts['seeds']:,}, by rule, and faults that crosscheck sees", headings, rows, (0, 1) if ways else (0,))


def page(facts: Facts) -> str:
    """Return the generated part of docs/assert_close.md."""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    source = f"Measured with {versions}, {counted(facts['seeds'], 'seed')}; `{facts['command']}` measures it again."
    parts = [f"## {title(sheet.title)}\n\n{markdown(sheet)}" for sheet in (rules_sheet(facts), rows_sheet(facts, ways=True))]
    rules = "; ".join(f"{name}: {rule.words.removeprefix('allclose, ')}" for name, rule in CLOSENESS_RULES.items())
    return "\n\n".join([wrapped(facts["headline"]), *parts, wrapped(f"The other rules: {rules}."), wrapped(source)])


def summary(facts: Facts) -> Facts:
    """Return the facts without what only a run that continues has to know."""
    return {name: value for name, value in facts.items() if name != "code"}


DOCUMENT = Document("scripts/measure_assert_close.py", DOCS / "assert_close.json", [Block(PAGE, "figures", page)], summary)
