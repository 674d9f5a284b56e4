"""Writing reports: whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from crosscheck.report.findings import Facts


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is never there half: to a temporary neighbour first, then renamed."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(name).chmod(0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, facts: Facts) -> None:
    """Write the facts as JSON, without NaN or infinity, which JSON does not know."""
    write_text(path, json.dumps(facts, indent=1, allow_nan=False) + "\n")
