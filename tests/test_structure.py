"""The structure that is counted: floors and circles of a small graph, and what a program's calls pass."""

from __future__ import annotations

from structure import Graph, circles, floors, packages

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
