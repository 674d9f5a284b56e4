"""A pytest plugin that chooses the default test suite. ``pytest --all`` runs every test, ``pytest --rest`` those that the default leaves out.

Marks beside the tests say what the default suite leaves out:

- ``pairwise("run.case", "run.family", "dtype")``: the test is a product of these factors. A factor is a parameter, an attribute of one, or a
  position in a tuple (``"row.0"``), or a part of such a part. In the default suite each pair of values of two factors occurs in some test
  (:mod:`tests.support.covering`).
- ``each_choice("name", "family")``: the same for a product of slow tests. In the default suite each value of each factor occurs in some test.
- ``slow("takes long; test_short shows the same in three steps")``: the test is not in the default suite. The reason says what shows the same there.
  ``slow("...", default=("one row", "another"))`` keeps the parameter sets with these ids in the default suite.

The last lines of the output say how many tests were left out. A test, a class or a function that is named by its id is always run. The choice does
not depend on the order of the tests or on the process, so all workers of pytest-xdist make the same one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.covering import covering

LEFT_OUT = pytest.StashKey[int]()
"""The number of tests that were left out."""

STRENGTHS = {"pairwise": 2, "each_choice": 1}
"""How many factors take part in each combination of values that has to occur, by the mark."""

MARKS = (
    "pairwise(*factors): the test is a product of factors, parameters or parts of parameters; the default suite runs each pair of values",
    "each_choice(*factors): the same; the default suite runs each value",
    "slow(reason, default=()): the default suite runs only the rows whose ids are in `default`; the reason says what shows the same there",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose other suites."""
    parser.addoption("--all", action="store_true", help="run every test, also those that the default suite leaves out")
    parser.addoption("--rest", action="store_true", help="run only the tests that the default suite leaves out")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, and remove the group that pytest-xdist prints after an id from the ids on the command line."""
    for mark in MARKS:
        config.addinivalue_line("markers", mark)
    config.args[:] = [re.sub(r"(::.*)@[^@\]]*$", r"\1", argument) for argument in config.args]


def pytest_report_header(config: pytest.Config) -> str:
    """Say which tests are run."""
    if config.getoption("all"):
        return "suite: all tests"
    return f"suite: {'the tests that the default leaves out' if config.getoption('rest') else 'default'}; pytest --all runs every test"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that are not in the suite, unless they are named."""
    left_out = slow(items)
    if config.getoption("all"):
        return
    left_out |= redundant(items)
    names = [Name.of(argument, config.invocation_params.dir) for argument in config.args if "::" in argument]
    if not names and (unknown := unknown_rows(items)):
        raise pytest.UsageError(f"the mark slow keeps rows in the default suite that do not exist: {', '.join(unknown)}")
    if config.getoption("rest"):
        left_out = set(items) - left_out
    left_out -= {item for item in left_out if any(name.means(item) for name in names)}
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]
    config.stash[LEFT_OUT] = len(left_out)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the number of tests left out from a worker of pytest-xdist to the process that started it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left out"] = session.config.stash.get(LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Receive the number from a worker; it is the same for all workers."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left out", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many tests were left out, and how to run them."""
    if left_out := config.stash.get(LEFT_OUT, 0):
        why = "left out because they are in the default suite" if config.getoption("rest") else "not in the default suite"
        terminalreporter.write_line(f"{left_out:,} tests {why}; pytest --all runs every test, and a test that is named by its id is always run")


def slow(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    """Return the tests that are marked ``slow``, except the rows that the mark keeps in the default suite.

    Raises
    ------
    pytest.UsageError
        If a mark has no reason.
    """
    marked = {item: mark for item in items if (mark := item.get_closest_marker("slow"))}
    for item, mark in marked.items():
        if len(mark.args) != 1 or not isinstance(mark.args[0], str) or not mark.args[0] or mark.kwargs.keys() - {"default"}:
            raise pytest.UsageError(f"{item.nodeid}: the mark slow takes a reason, which says what shows the same in the default suite")
    return {item for item, mark in marked.items() if row_of(item) not in mark.kwargs.get("default", ())}


def unknown_rows(items: Iterable[pytest.Item]) -> list[str]:
    """Return the rows that marks keep in the default suite and that no test has: a row that is renamed must not leave the suite unnoticed."""
    rows: dict[tuple[object, str], set[str]] = defaultdict(set)
    named: dict[tuple[object, str], set[str]] = {}
    for item in items:
        if isinstance(item, pytest.Function) and (mark := item.get_closest_marker("slow")) and "default" in mark.kwargs:
            rows[item.parent, item.originalname].add(row_of(item))
            named[item.parent, item.originalname] = set(mark.kwargs["default"])
    return [f"{function}[{row}]" for (parent, function), found in rows.items() for row in sorted(named[parent, function] - found)]


def row_of(item: pytest.Item) -> str:
    """Return the id of a test's parameters; empty if it has none."""
    callspec = getattr(item, "callspec", None)
    return callspec.id if callspec is not None else ""


def redundant(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    """Return the tests of products whose combinations of values all occur in other tests."""
    products: dict[tuple[object, str], list[pytest.Function]] = defaultdict(list)
    for item in items:
        if isinstance(item, pytest.Function) and any(item.get_closest_marker(mark) for mark in STRENGTHS):
            products[item.parent, item.originalname].append(item)
    return {item for product in products.values() for mark, strength in STRENGTHS.items() for item in _redundant(product, mark, strength)}


def _redundant(product: list[pytest.Function], name: str, strength: int) -> list[pytest.Function]:
    if (mark := product[0].get_closest_marker(name)) is None:
        return []
    # In the order of the tables, which does not depend on the order in which tests run.
    ordered = sorted(product, key=lambda item: tuple(item.callspec.indices.values()))
    rows = {item: tuple(value(item.callspec.params, factor) for factor in mark.args) for item in ordered}
    chosen = set(covering(list(dict.fromkeys(rows.values())), strength))
    return [item for item, row in rows.items() if row not in chosen]


def value(params: Mapping[str, Any], factor: str) -> Hashable:
    """Return the value of a factor: a parameter, or a part of it."""
    name, *parts = factor.split(".")
    found: Any = params[name]
    for part in parts:
        found = found[int(part)] if part.isdecimal() else getattr(found, part)
    return cast("Hashable", found)


@dataclass(frozen=True)
class Name:
    """The tests that ``tests/test_one.py::Class::test_two[three]`` names.

    ``names`` are those of the class and the function. The function's includes the ids of parameters; without them it names all its tests.
    """

    path: Path
    names: tuple[str, ...]

    @classmethod
    def of(cls, argument: str, folder: Path) -> Name:
        """Parse an argument of the command line, relative to a folder."""
        start, bracket, parameters = argument.partition("[")
        path, *names = start.split("::")
        return cls((folder / path).resolve(), (*names[:-1], names[-1] + bracket + parameters))

    def means(self, item: pytest.Item) -> bool:
        """Return whether a test is among those that are named."""
        chain = [node.name for node in item.listchain() if isinstance(node, pytest.Class | pytest.Item)]
        plain = [*chain[:-1], getattr(item, "originalname", item.name)]
        return item.path.resolve() == self.path and list(self.names) in (chain[: len(self.names)], plain[: len(self.names)])
