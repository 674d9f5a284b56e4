"""Write reports atomically: a report file is either complete or absent."""

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
    """Write a file atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, facts: Facts) -> None:
    """Write the facts as JSON; they must not contain NaN or infinity, which JSON cannot hold."""
    write_text(path, json.dumps(facts, indent=1, allow_nan=False) + "\n")


SUFFIXES = (".json", ".html")


_SCRIPT = re.compile(r"\d{2,}-[A-Za-z0-9_-]+-[A-Za-z0-9_-]+\.py")
"""Matches the file names of small-case scripts."""

_IMPORTS = re.compile(rb"^from crosscheck(\.reproduction)? import .*\breproduce$", re.MULTILINE)
"""Matches the import line of a small-case script. Version 0.1 imported from ``crosscheck.reproduction``."""


def expected_reports(html: Path | None, json: Path | None) -> list[Path]:
    """Return the paths of the requested reports, after making sure that they can be written.

    Raises
    ------
    NotWritableError
        If one of them cannot be written or does not end in ``.html`` or ``.json``, as its option demands.
    """
    for path, suffix in ((html, ".html"), (json, ".json")):
        if path is not None:
            expect_writable(path, (suffix,))
    paths = [path for path in (html, json) if path is not None]
    expect_reports_writable(paths)
    return paths


def expect_reports_writable(paths: Sequence[Path]) -> None:
    """Raise before the work begins if reports, or the small cases beside them, cannot be written.

    Raises
    ------
    NotWritableError
        If one of them cannot be written, or two of them are the same file.
    """
    for path in paths:
        expect_writable(path, SUFFIXES)
    if len({path.resolve() for path in paths}) < len(paths):
        raise NotWritableError(f"{paths[-1]}: is named twice; name two different files")
    if paths and (folder := _folder(paths)).exists() and not folder.is_dir():
        raise NotWritableError(
            f"{folder}: is a file, but the small cases of {paths[0]} need a folder with this name; move it, or name another report"
        )


def _folder(paths: Sequence[Path]) -> Path:
    """Return the folder for small cases."""
    return paths[0].with_name(f"{paths[0].stem}-small-cases")


def write(facts: Facts, paths: Sequence[Path]) -> None:
    """Write the reports, and the scripts of small cases beside the first report. The scripts' paths are added to the facts.

    Raises
    ------
    NotWritableError
        If a report cannot be written; the other reports are still written. A small case that cannot be written becomes a note of its check.
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
    """Remove the scripts of an earlier run, which may be out of date, and no other files."""
    for path in folder.glob("*.py"):
        with suppress(OSError):
            if _SCRIPT.fullmatch(path.name) and _IMPORTS.search(path.read_bytes()):
                path.unlink()


def _write_small_cases(facts: Facts, folder: Path) -> None:
    for number, pair in enumerate(facts["pairs"], start=1):
        for check in pair["checks"]:
            if check["small_case"]:
                path = folder / f"{number:02}-{_safe(pair['name'])}-{_safe(check['check'])}.py"
                try:
                    folder.mkdir(exist_ok=True)
                    write_text(path, check["small_case"]["script"])
                except OSError as error:
                    check["notes"].append(f"the small case could not be saved as {shown(path)} ({error.strerror or error})")
                else:
                    check["small_case"]["file"] = shown(path.resolve())


def _safe(name: str) -> str:
    """Return a name that is safe in a path."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")[:60] or "unnamed"
