"""The files of a run of checks: JSON, page, and beside them the small cases as scripts."""

from __future__ import annotations

import re
from pathlib import Path

from crosscheck.report.files import write_json, write_text
from crosscheck.report.findings import Facts
from crosscheck.report.pair_facts import shown_path
from crosscheck.report.pair_html import render

SUFFIXES = (".json", ".html")


def write(facts: Facts, paths: list[Path]) -> None:
    """Write a report in every form that was asked for, and beside the first one the small cases, whose files are noted in the facts."""
    if paths:
        _write_small_cases(facts, paths[0].with_name(f"{paths[0].stem}-small-cases"))
    for path in paths:
        if path.suffix == ".json":
            write_json(path, facts)
        else:
            write_text(path, render(facts))


def _write_small_cases(facts: Facts, folder: Path) -> None:
    for number, pair in enumerate(facts["pairs"], start=1):
        for check in pair["checks"]:
            if check["reproduction"]:
                folder.mkdir(exist_ok=True)
                path = folder / f"{number:02}-{_safe(pair['name'])}-{_safe(check['check'])}.py"
                write_text(path, check["reproduction"]["script"])
                check["reproduction"]["file"] = shown_path(path.resolve())


def _safe(name: str) -> str:
    """Return a name without anything that means something in a path."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:60] or "unnamed"
