"""ARCHITECTURE.md and CONTRIBUTING.md say what is linted, and name paths that exist."""

from __future__ import annotations

import re
import tomllib

import pytest
from structure import MOST_FLOORS

from tests.support import ROOT

PAGE, CONTRIBUTING = ((ROOT / name).read_text(encoding="utf-8") for name in ("ARCHITECTURE.md", "CONTRIBUTING.md"))
LINTED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]


def test_page_has_the_floors_that_are_linted() -> None:
    (contract,) = (contract for contract in LINTED if contract["type"] == "layers")
    linted = {name: floor for floor, names in enumerate(reversed(contract["layers"]), start=1) for name in names.split(" | ")}
    assert {name: int(floor) for floor, name in re.findall(r"^\| (\d) \| `(\w+)/` \|", PAGE, flags=re.MULTILINE)} == linted
    assert len(contract["layers"]) == MOST_FLOORS


@pytest.mark.parametrize("page", [PAGE, CONTRIBUTING], ids=["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_paths_that_a_page_names_exist(page: str) -> None:
    paths = sorted(set(re.findall(r"`([\w/.-]+/[\w.-]*)`", page)))
    assert paths
    assert [path for path in paths if not (ROOT / path).exists() and not (ROOT / "crosscheck" / path).exists()] == []
