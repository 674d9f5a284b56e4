"""A plugin of pytest: what runs every day, and what is left for ``pytest --whole``.

Two marks say it, where the tests stand:

- ``pairwise("run.case", "run.family", "dtype")``: the test is a product of these factors, each a parameter, an attribute of one or a place in a tuple
  (``"row.0"``). Every day every two values of two factors meet in a test that runs (:mod:`tests.support.covering`).
- ``each_choice("name", "family")``: the same for a product whose rows are dear: every day every value of each factor occurs.
- ``whole("takes long; test_short shows the same in three steps")``: the test is dear. The reason says what shows the same every day. Of a table whose
  rows are dear ``whole("...", everyday=("one row", "another"))`` names the ids of those that are run all the same.

How many tests are left out is said at the end. Who names a test, a class or a function by its id gets all that is named. Nothing here depends on the
order in which tests are run or on the process, so that the workers of pytest-xdist choose the same.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from tests.support.covering import covering

LEFT = pytest.StashKey[int]()
"""How many tests were left out."""

STRENGTHS = {"pairwise": 2, "each_choice": 1}
"""How many values of different factors have to meet, by the mark."""

MARKS = (
    "pairwise(*factors): the test is a product of factors, parameters or parts of parameters, of which each pair of values is run every day",
    "each_choice(*factors): the same, of which each value is run every day",
    "whole(reason, everyday=()): the test is run by pytest --whole; the reason says what shows the same every day, rows with these ids included",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the whole be asked for."""
    parser.addoption("--whole", action="store_true", help="run every test, those too that are left out every day")
    parser.addoption("--rest", action="store_true", help="run the tests alone that are left out every day: what remains after a run without options")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known, and take an id as pytest-xdist prints it: the group that it puts behind is no part of it."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)
    config.args[:] = [re.sub(r"(::.*)@[^@\]]*$", r"\1", argument) for argument in config.args]


def pytest_report_header(config: pytest.Config) -> str:
    """Say what is run."""
    if config.getoption("whole"):
        return "selection: the whole"
    return f"selection: {'what is not for every day' if config.getoption('rest') else 'everyday'}; pytest --whole runs every test"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not for every day, unless it was named."""
    left_out = dear(items)
    if config.getoption("whole"):
        return
    left_out |= spared(items)
    names = [Name.of(argument, config.invocation_params.dir) for argument in config.args if "::" in argument]
    if not names and (unknown := unknown_rows(items)):
        raise pytest.UsageError(f"the mark whole names rows for every day that are not there: {', '.join(unknown)}")
    if config.getoption("rest"):
        left_out = set(items) - left_out
    left_out -= {item for item in left_out if any(name.means(item) for name in names)}
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]
    config.stash[LEFT] = len(left_out)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let the process that handed out the tests know how many its worker left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left out"] = session.config.stash.get(LEFT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take over a worker's number: all choose alike."""
    node.config.stash[LEFT] = getattr(node, "workeroutput", {}).get("left out", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how much was left out, and how to run it."""
    if left := config.stash.get(LEFT, 0):
        selection = "rest" if config.getoption("rest") else "everyday selection"
        terminalreporter.write_line(f"{left:,} tests left out of the {selection}; pytest --whole runs them, and so does naming one by its id")


def dear(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    """Return the tests that are marked ``whole``, but for the rows that are for every day.

    Raises
    ------
    pytest.UsageError
        If a mark is without a reason.
    """
    marked = {item: mark for item in items if (mark := item.get_closest_marker("whole"))}
    for item, mark in marked.items():
        if len(mark.args) != 1 or not isinstance(mark.args[0], str) or not mark.args[0] or mark.kwargs.keys() - {"everyday"}:
            raise pytest.UsageError(f"{item.nodeid}: the mark whole takes a reason, which says what shows the same every day")
    return {item for item, mark in marked.items() if row_of(item) not in mark.kwargs.get("everyday", ())}


def unknown_rows(items: Iterable[pytest.Item]) -> list[str]:
    """Return the rows that marks name for every day and that no test has: renamed rows must not vanish from every day in silence."""
    rows: dict[tuple[object, str], set[str]] = defaultdict(set)
    named: dict[tuple[object, str], set[str]] = {}
    for item in items:
        if isinstance(item, pytest.Function) and (mark := item.get_closest_marker("whole")) and "everyday" in mark.kwargs:
            rows[item.parent, item.originalname].add(row_of(item))
            named[item.parent, item.originalname] = set(mark.kwargs["everyday"])
    return [f"{function}[{row}]" for (parent, function), found in rows.items() for row in sorted(named[parent, function] - found)]


def row_of(item: pytest.Item) -> str:
    """Return the id of a test's parameters; empty where it has none."""
    callspec = getattr(item, "callspec", None)
    return callspec.id if callspec is not None else ""


def spared(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    """Return the tests of products that bring nothing that others do not bring."""
    products: dict[tuple[object, str], list[pytest.Function]] = defaultdict(list)
    for item in items:
        if isinstance(item, pytest.Function) and any(item.get_closest_marker(mark) for mark in STRENGTHS):
            products[item.parent, item.originalname].append(item)
    return {item for product in products.values() for mark, strength in STRENGTHS.items() for item in _spared(product, mark, strength)}


def _spared(product: list[pytest.Function], name: str, strength: int) -> list[pytest.Function]:
    if (mark := product[0].get_closest_marker(name)) is None:
        return []
    # In the order of the tables, whatever order the tests are to be run in.
    ordered = sorted(product, key=lambda item: tuple(item.callspec.indices.values()))
    rows = {item: tuple(value(item.callspec.params, factor) for factor in mark.args) for item in ordered}
    chosen = set(covering(list(dict.fromkeys(rows.values())), strength))
    return [item for item, row in rows.items() if row not in chosen]


def value(params: Mapping[str, Any], factor: str) -> Hashable:
    """Return the value of a factor: a parameter, or a part of it."""
    parameter, _, part = factor.partition(".")
    whole = params[parameter]
    found: Hashable = whole[int(part)] if part.isdecimal() else attrgetter(part)(whole) if part else whole
    return found


@dataclass(frozen=True)
class Name:
    """What ``tests/test_one.py::Class::test_two[three]`` names.

    Attributes
    ----------
    path : Path
    names : tuple of str
        Those of the class and the function; that of the function with the parameters' ids, or without for all of them.
    """

    path: Path
    names: tuple[str, ...]

    @classmethod
    def of(cls, argument: str, folder: Path) -> Name:
        """Read an argument of the command line that was given in a folder."""
        start, bracket, parameters = argument.partition("[")
        path, *names = start.split("::")
        return cls((folder / path).resolve(), (*names[:-1], names[-1] + bracket + parameters))

    def means(self, item: pytest.Item) -> bool:
        """Return whether a test is among those that are named."""
        chain = [node.name for node in item.listchain() if isinstance(node, pytest.Class | pytest.Item)]
        plain = [*chain[:-1], getattr(item, "originalname", item.name)]
        return item.path.resolve() == self.path and list(self.names) in (chain[: len(self.names)], plain[: len(self.names)])
