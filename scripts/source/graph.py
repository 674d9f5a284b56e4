"""The imports of crosscheck/ as a graph: its packages, their floors, and circles.

A package is one floor above the highest package that it imports; imports for types and imports inside functions count. A circle is a set of modules,
or of packages, each of which reaches the others by imports.
"""

from __future__ import annotations

import collections
import graphlib
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "crosscheck"

Graph = Mapping[str, frozenset[str]]
"""For each module or package, what it imports."""


def modules() -> Graph:
    """Return, for each module of crosscheck/, the other modules that it imports."""
    import grimp  # noqa: PLC0415 - import-linter brings it, and nothing else here needs it

    sys.path.insert(0, str(ROOT))  # the project need not be installed
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    names = {name for name in graph.modules if "." in name and name != f"{PACKAGE}.__main__"}
    return {name: frozenset(graph.find_modules_directly_imported_by(name)) & names for name in names}


def packages(graph: Graph) -> Graph:
    """Return, for each package, the other packages that its modules import."""
    result: dict[str, set[str]] = collections.defaultdict(set)
    for name, imported in graph.items():
        result[room(name)] |= {room(other) for other in imported} - {room(name)}
    return {name: frozenset(imported) for name, imported in result.items()}


def room(module: str) -> str:
    """Return the package of a module; for a module at the top, that is its own name."""
    return module.split(".")[1]


def circles(graph: Graph) -> list[list[str]]:
    """Return the circles: sets of names each of which reaches the others by imports."""
    reached = {name: _reached(graph, name) for name in graph}
    together = {frozenset(other for other in reached[name] if name in reached[other]) for name in graph}
    return sorted(sorted(circle) for circle in together if len(circle) > 1)


def _reached(graph: Graph, start: str) -> set[str]:
    found, new = {start}, [start]
    while new:
        more = graph[new.pop()] - found
        found |= more
        new += more
    return found


def floors(graph: Graph) -> dict[str, int]:
    """Return the floor of each name, 1 for the ground floor; the names of a circle share a floor."""
    group = {name: frozenset(circle) for circle in circles(graph) for name in circle}
    above = {group.get(name, frozenset({name})) for name in graph}
    imports = {one: {group.get(other, frozenset({other})) for name in one for other in graph[name]} - {one} for one in above}
    result: dict[frozenset[str], int] = {}
    for one in graphlib.TopologicalSorter(imports).static_order():
        result[one] = 1 + max((result[other] for other in imports[one]), default=0)
    return {name: floor for one, floor in result.items() for name in one}
