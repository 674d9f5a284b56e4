"""Writing reports: whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

from crosscheck.files import whole
from crosscheck.report.findings import Facts


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is never there half."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, facts: Facts) -> None:
    """Write the facts as JSON, without NaN or infinity, which JSON does not know."""
    write_text(path, json.dumps(facts, indent=1, allow_nan=False) + "\n")
