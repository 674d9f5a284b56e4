"""How crosscheck/ is built: its packages, the floors that they stand on, and how far a check travels through them.

A package stands one floor above the highest that it imports; imports for types and those inside functions count. A circle is a set of modules, or of
packages, each of which reaches the others by imports. Exit status: 0 no circle and no more floors than there are names for, 1 otherwise.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import graphlib
import inspect
import io
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "crosscheck"
MOST_FLOORS = 8
"""As many floors as the rule for imports in pyproject.toml names."""

Graph = Mapping[str, frozenset[str]]
"""What each module or package imports."""


def modules() -> Graph:
    """Return the modules below the package, and what each imports of the others."""
    import grimp  # noqa: PLC0415 - it comes with the rules for imports, and nothing else here needs it

    sys.path.insert(0, str(ROOT))  # counted without being installed
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    names = {name for name in graph.modules if "." in name and name != f"{PACKAGE}.__main__"}
    return {name: frozenset(graph.find_modules_directly_imported_by(name)) & names for name in names}


def packages(graph: Graph) -> Graph:
    """Return the packages that modules stand in, and what each imports of the others."""
    result: dict[str, set[str]] = collections.defaultdict(set)
    for name, imported in graph.items():
        result[room(name)] |= {room(other) for other in imported} - {room(name)}
    return {name: frozenset(imported) for name, imported in result.items()}


def room(module: str) -> str:
    """Return the package of a module, which is itself where it stands loose at the top."""
    return module.split(".")[1]


def circles(graph: Graph) -> list[list[str]]:
    """Return the sets of more than one that reach each other."""
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
    """Return the floor of each name, the ground floor being 1; those of a circle share what they import from outside it."""
    group = {name: frozenset(circle) for circle in circles(graph) for name in circle}
    above = {group.get(name, frozenset({name})) for name in graph}
    imports = {one: {group.get(other, frozenset({other})) for name in one for other in graph[name]} - {one} for one in above}
    result: dict[frozenset[str], int] = {}
    for one in graphlib.TopologicalSorter(imports).static_order():
        result[one] = 1 + max((result[other] for other in imports[one]), default=0)
    return {name: floor for one, floor in result.items() for name in one}


class Travel:
    """Counts the calls of one module by another while a program runs.

    Attributes
    ----------
    moves : Counter of tuple of str
        How often the first module called the second.
    passed : Counter of str
        How many calls each module got.
    """

    def __init__(self) -> None:
        self.moves: collections.Counter[tuple[str, str]] = collections.Counter()
        self.passed: collections.Counter[str] = collections.Counter()

    def run(self, script: str, arguments: Sequence[str]) -> None:
        """Run a script or a module as a command, and count."""
        before, sys.argv = sys.argv, [script, *arguments]
        sys.setprofile(self._seen)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                run: Callable[..., Any] = runpy.run_path if script.endswith(".py") else runpy.run_module
                run(script, run_name="__main__")
        except SystemExit as end:
            if end.code not in (None, 0):
                raise
        finally:
            sys.setprofile(None)
            sys.argv = before

    def _seen(self, frame: FrameType, event: str, _: Any) -> None:
        # What is not optimised is the body of a module or a class: it is run by an import.
        if event != "call" or not frame.f_code.co_flags & inspect.CO_OPTIMIZED or (module := _module(frame)) is None:
            return
        self.passed[module] += 1
        caller = frame.f_back
        while caller is not None and _module(caller) is None:
            caller = caller.f_back
        if caller is not None and (origin := _module(caller)) is not None and origin != module:
            self.moves[origin, module] += 1


def _module(frame: FrameType) -> str | None:
    name: str = frame.f_globals.get("__name__", "")
    return name if name.startswith(f"{PACKAGE}.") else None


def check_of_a_layer() -> tuple[int, int]:
    """Return how many modules `crosscheck check` passes through on one layer, and its moves between them."""
    for _ in range(2):  # The first imports, and fills what is kept for later.
        travel = Travel()
        with tempfile.TemporaryDirectory() as folder:
            pair = Path(folder) / "pair.py"
            pair.write_text(LAYER)
            travel.run(PACKAGE, ["check", str(pair)])
    return len(travel.passed), travel.moves.total()


LAYER = """
import numpy as np
from torch import nn
import crosscheck

class Linear:
    def __init__(self):
        self.params, self.grads = {"weight": np.zeros((4, 3)), "bias": np.zeros(4)}, {}
    def forward(self, x):
        self.x = x
        return x @ self.params["weight"].T + self.params["bias"]
    def backward(self, grad_output):
        self.grads = {"weight": grad_output.T @ self.x, "bias": grad_output.sum(axis=0)}
        return grad_output @ self.params["weight"]

pair = crosscheck.Pair(Linear(), nn.Linear(3, 4), shapes=[(5, 3)])
"""


def checked_step() -> tuple[int, int]:
    """Return the same of one step of a network beside PyTorch that is right: what three steps pass more than two."""
    travels = []
    for steps in (2, 2, 3):  # The first imports, and fills what is kept for later.
        travel = Travel()
        with tempfile.TemporaryDirectory() as folder:
            options = ["--steps", str(steps), "--train-size", "100", "--test-size", "10", "--perturbed", "0", "--out", folder]
            travel.run(str(ROOT / "scripts" / "compare_training.py"), options)
        travels.append(travel)
    more = travels[2].moves - travels[1].moves
    return len(travels[2].passed - travels[1].passed), more.total()


def lines(paths: Iterable[Path]) -> int:
    """Return the number of lines of some files."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def write(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the structure, and say whether it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--travel", action="store_true", help="also run one check and some training steps, and count the modules that they pass")
    parsed = parser.parse_args(arguments)
    graph = modules()
    rooms = packages(graph)
    found = circles(graph) + circles(rooms)
    stands = floors(rooms)
    write(f"{len(graph)} modules and packages, {lines((ROOT / PACKAGE).rglob('*.py')):,} lines, {len(rooms)} names at the top,")
    write(f"{max(floors(graph).values())} floors of modules, {max(stands.values())} of packages, {len(found)} circles")
    for floor in range(1, max(stands.values()) + 1):
        write(f"{floor:3} {', '.join(sorted(name for name, own in stands.items() if own == floor))}")
    for circle in found:
        write(f"circle: {', '.join(circle)}")
    if parsed.travel:
        for name, (passed, moves) in {"crosscheck check on one layer": check_of_a_layer(), "one checked step": checked_step()}.items():
            write(f"{name}: {passed} modules, {moves:,} moves between them")
    return 1 if found or max(stands.values()) > MOST_FLOORS else 0


if __name__ == "__main__":
    sys.exit(main())
