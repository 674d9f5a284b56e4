"""What tests of the command have in common: a file that declares pairs of ``plain.py``, and the report that a run leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from crosscheck.run.cli import main


def declare(folder: Path, text: str, name: str = "pairs.py") -> None:
    """Write a file that declares pairs."""
    (folder / name).write_text(f"from plain import *\n{text}\n")


def facts(folder: Path, name: str = "r.json") -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / name).read_text())
    return read


def declare_pair(folder: Path, expression: str) -> None:
    """Write a file that declares one pair."""
    declare(folder, f"PAIR = {expression}")


def recorded_both(folder: Path, expression: str, *options: str) -> None:
    """Record both sides of a pair, as s.safetensors and r.safetensors."""
    declare_pair(folder, expression)
    for side in ("subject", "reference"):
        assert main(["trace", "pairs.py", "--side", side, "--out", f"{side[0]}.safetensors", *options]) == 0


def judged(found: dict[str, Any]) -> list[Any]:
    """Return what a report says of each check: the verdict, and every quantity's."""
    return [(check["check"], check["verdict"], check["reason"], check["quantities"]) for pair in found["pairs"] for check in pair["checks"]]
