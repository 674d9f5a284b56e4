"""Floors and circles of small graphs of imports, and the calls that a program makes between modules."""

from __future__ import annotations

from pathlib import Path

from source.graph import Graph, circles, floors, packages
from source.travel import Travel

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


JUDGED = """
import numpy as np
from crosscheck.core.judge import Kind, judge
from crosscheck.core.precision import Bound, Precision
from crosscheck.core.trace import Place
one = np.ones(1)
judge(Place(0, "layer", "output"), Kind.ISOLATED, one + 1, one, Bound.exact(one), Precision(one.dtype, 1))
"""


def test_travel_counts_calls_from_module_to_module(tmp_path: Path) -> None:
    """Calls within a module are no moves, and what the script itself calls is none either."""
    script = tmp_path / "script.py"
    script.write_text(JUDGED)
    travel = Travel()
    travel.run(str(script), [])
    assert travel.moves["crosscheck.core.judge", "crosscheck.core.precision"] > 0
    assert {caller for caller, _ in travel.moves} <= set(travel.passed)
    assert [move for move in travel.moves if move[0] == move[1]] == []
