"""Writing reports: whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from crosscheck.core.files import NotWritableError, atomic_write, expect_writable, shown
from crosscheck.core.judge import Facts
from crosscheck.report.html import render


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is never there half."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, facts: Facts) -> None:
    """Write the facts as JSON, without NaN or infinity, which JSON does not know."""
    write_text(path, json.dumps(facts, indent=1, allow_nan=False) + "\n")


SUFFIXES = (".json", ".html")


_SCRIPT = re.compile(r"\d{2,}-[A-Za-z0-9_-]+-[A-Za-z0-9_-]+\.py")
"""What the script of a small case is called."""

_IMPORTS = re.compile(rb"^from crosscheck(\.reproduction)? import .*\breproduce$", re.MULTILINE)
"""What it imports; those of version 0.1 named the module."""


def expected_reports(html: Path | None, json: Path | None) -> list[Path]:
    """Return the reports that are asked for by their form, once they are known to be writable.

    Raises
    ------
    NotWritableError
        If one of them is not, or has the name of the other form.
    """
    for path, suffix in ((html, ".html"), (json, ".json")):
        if path is not None:
            expect_writable(path, (suffix,))
    paths = [path for path in (html, json) if path is not None]
    expect_reports_writable(paths)
    return paths


def expect_reports_writable(paths: Sequence[Path]) -> None:
    """Make sure before the work begins that reports, and the small cases beside them, can be written.

    Raises
    ------
    NotWritableError
        If one of them cannot, or two are one file.
    """
    for path in paths:
        expect_writable(path, SUFFIXES)
    if len({path.resolve() for path in paths}) < len(paths):
        raise NotWritableError(f"{paths[-1]}: is asked for twice; name two files")
    if paths and (folder := _folder(paths)).exists() and not folder.is_dir():
        raise NotWritableError(f"{folder}: is a file, where the small cases of {paths[0]} go into a folder; move it, or name another report")


def _folder(paths: Sequence[Path]) -> Path:
    """Return where the small cases go."""
    return paths[0].with_name(f"{paths[0].stem}-small-cases")


def write(facts: Facts, paths: Sequence[Path]) -> None:
    """Write a report in every form that was asked for, and beside the first one the small cases, whose files are noted in the facts.

    Raises
    ------
    NotWritableError
        If a report cannot be written; those that can be are. A small case that cannot is a note of its check.
    """
    if paths:
        _remove_small_cases(_folder(paths))
        _write_small_cases(facts, _folder(paths))
    refused = []
    for path in paths:
        try:
            if path.suffix == ".json":
                write_json(path, facts)
            else:
                write_text(path, render(facts))
        except OSError as error:
            refused.append(f"{path}: cannot be written ({error.strerror or error})")
    if refused:
        raise NotWritableError("; ".join(refused))


def _remove_small_cases(folder: Path) -> None:
    """Remove the scripts of an earlier run, which may show what is no longer so; whatever else lies there is somebody's own."""
    for path in folder.glob("*.py"):
        with suppress(OSError):
            if _SCRIPT.fullmatch(path.name) and _IMPORTS.search(path.read_bytes()):
                path.unlink()


def _write_small_cases(facts: Facts, folder: Path) -> None:
    for number, pair in enumerate(facts["pairs"], start=1):
        for check in pair["checks"]:
            if check["reproduction"]:
                path = folder / f"{number:02}-{_safe(pair['name'])}-{_safe(check['check'])}.py"
                try:
                    folder.mkdir(exist_ok=True)
                    write_text(path, check["reproduction"]["script"])
                except OSError as error:
                    check["notes"].append(f"the small case could not be saved as {shown(path)} ({error.strerror or error})")
                else:
                    check["reproduction"]["file"] = shown(path.resolve())


def _safe(name: str) -> str:
    """Return a name without anything that means something in a path."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:60] or "unnamed"
