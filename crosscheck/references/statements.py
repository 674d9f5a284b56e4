"""The statements of a reference's code: which variables a line of it assigns to, so that a step can be called as its author calls it."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple


class Place(NamedTuple):
    """A statement of a reference's own code: its file, and its first line."""

    file: str
    line: int


def place_at(file: str, line: int) -> Place:
    """Return the statement that a line of a file belongs to."""
    return Place(file, _statements(file).get(line, (line, ()))[0])


def targets_at(place: Place) -> Sequence[str]:
    """Return the names of the variables that a statement assigns to, several if it takes a tuple apart; empty if it assigns nothing."""
    return _statements(place.file).get(place.line, (place.line, ()))[1]


@lru_cache(maxsize=64)
def _statements(file: str) -> dict[int, tuple[int, tuple[str, ...]]]:
    """Return, for each line of a file, the first line of its statement and the variables that are assigned there."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return {}
    found: dict[int, tuple[int, tuple[str, ...]]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not hasattr(node, "body"):
            names = tuple(_targets(node))
            # A line of a function without a name computes another value than the one that is assigned.
            inner = {line for part in ast.walk(node) if isinstance(part, ast.Lambda) for line in _lines(part)}
            for line in _lines(node):
                found.setdefault(line, (line, ()) if line in inner else (node.lineno, names))
    return found


def _lines(node: ast.stmt | ast.expr) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _targets(node: ast.stmt) -> Iterator[str]:
    targets = node.targets[:1] if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign | ast.AnnAssign) else []
    for target in targets:
        for one in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
            yield one.id if isinstance(one, ast.Name) else one.attr if isinstance(one, ast.Attribute) else ""
