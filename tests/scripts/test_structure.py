"""The structure that is counted: floors and circles of a small graph, and what a program's calls pass."""

from __future__ import annotations

import re
import tomllib

import pytest
from source.graph import Graph, circles, floors, packages
from structure import MOST_FLOORS

from tests.support import ROOT

TOWER: Graph = {name: frozenset(imported) for name, imported in {"a": "", "b": "a", "c": "ab", "d": "c"}.items()}
RING: Graph = {name: frozenset(imported) for name, imported in {"a": "c", "b": "a", "c": "b", "d": "a", "e": ""}.items()}


def test_a_floor_is_one_above_the_highest_that_it_imports() -> None:
    assert floors(TOWER) == {"a": 1, "b": 2, "c": 3, "d": 4}


def test_a_tower_has_no_circle() -> None:
    assert circles(TOWER) == []


def test_a_circle_is_found_and_stands_on_one_floor() -> None:
    assert circles(RING) == [["a", "b", "c"]]
    assert floors(RING) == {"a": 1, "b": 1, "c": 1, "d": 2, "e": 1}


def test_packages_import_what_their_modules_do() -> None:
    graph: Graph = {
        "crosscheck.low": frozenset(),
        "crosscheck.low.one": frozenset({"crosscheck.low.two"}),
        "crosscheck.low.two": frozenset(),
        "crosscheck.high": frozenset(),
        "crosscheck.high.one": frozenset({"crosscheck.low.one"}),
    }
    assert packages(graph) == {"low": frozenset(), "high": frozenset({"low"})}


def test_modules_without_a_circle_may_make_one_of_their_packages() -> None:
    graph: Graph = {"crosscheck.a.x": frozenset({"crosscheck.b.x"}), "crosscheck.b.x": frozenset(), "crosscheck.b.y": frozenset({"crosscheck.a.x"})}
    assert circles(graph) == []
    assert circles(packages(graph)) == [["a", "b"]]


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
