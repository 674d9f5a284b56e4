"""The source of a class as a tree, and the places in it where an edit is possible."""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Step = tuple[str, int | None]
Path = tuple[Step, ...]
"""The way from the class to a node: fields, each with the position in it if it is a list."""

INDEX, AXIS, SHAPE, VALUE = "index", "axis", "shape", "value"
"""What an expression is used for."""

_ROLES = {
    "range": INDEX,
    "transpose": AXIS,
    "swapaxes": AXIS,
    "zeros": SHAPE,
    "ones": SHAPE,
    "arange": SHAPE,
    "reshape": SHAPE,
    "pad": SHAPE,
    "insert": INDEX,
}
"""What the arguments of a function are used for, if not as values."""
_KEYWORDS = {"axis": AXIS, "keepdims": AXIS, "dtype": SHAPE}


@dataclass(frozen=True)
class Site:
    """A node in a method of a class."""

    node: ast.AST
    path: Path
    above: tuple[ast.AST, ...]  # the nodes around it, from the class inwards
    method: ast.FunctionDef

    @property
    def role(self) -> str:
        """What the node is used for: as an index, an axis, a shape or a value."""
        for parent, (name, _) in zip(reversed(self.above), reversed(self.path), strict=True):
            if isinstance(parent, ast.Subscript) and name == "slice":
                return INDEX
            if isinstance(parent, ast.keyword) and parent.arg in _KEYWORDS:
                return _KEYWORDS[parent.arg]
            if isinstance(parent, ast.Call) and name == "args" and called(parent) in _ROLES:
                return _ROLES[called(parent)]
        return VALUE


def tree_of(layer: type) -> ast.ClassDef:
    """Return the source of a class as a tree."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(layer))).body
    assert isinstance(tree, ast.ClassDef)
    return tree


def sites(tree: ast.ClassDef) -> Iterator[Site]:
    """Yield every node of the methods' statements, except in ``__init__``, whose parameters the checks replace anyway, and in docstrings."""
    for place, method in enumerate(tree.body):
        if isinstance(method, ast.FunctionDef) and method.name != "__init__":
            for number, statement in enumerate(method.body):
                if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                    yield from _below(statement, (("body", place), ("body", number)), (tree, method), method)


def _below(node: ast.AST, path: Path, above: tuple[ast.AST, ...], method: ast.FunctionDef) -> Iterator[Site]:
    yield Site(node, path, above, method)
    for name, value in ast.iter_fields(node):
        for number, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST):
                yield from _below(child, (*path, (name, number)), (*above, node), method)


def replaced(tree: ast.ClassDef, path: Path, node: ast.AST) -> ast.ClassDef:
    """Return the tree with another node in one place."""
    result = copy.deepcopy(tree)
    parent, (name, number) = node_at(result, path[:-1]), path[-1]
    if number is None:
        setattr(parent, name, copy.deepcopy(node))
    else:
        getattr(parent, name)[number] = copy.deepcopy(node)
    return ast.fix_missing_locations(result)


def node_at(tree: ast.AST, path: Path) -> Any:
    """Return the node at the end of a path."""
    node: Any = tree
    for name, number in path:
        node = getattr(node, name) if number is None else getattr(node, name)[number]
    return node


def statement_of(tree: ast.ClassDef, path: Path) -> Path:
    """Return the way to the statement in which a node is, or which it is."""
    return next(path[:end] for end in range(len(path), 0, -1) if isinstance(node_at(tree, path[:end]), ast.stmt))


def changed(node: ast.AST, **fields: Any) -> Any:
    """Return a copy of a node with other fields."""
    result = copy.deepcopy(node)
    for name, value in fields.items():
        setattr(result, name, copy.deepcopy(value))
    return result


def called(node: ast.AST) -> str:
    """Return the name of the function or method that a node calls; empty if it calls none."""
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def line(tree: ast.ClassDef, statement: Path) -> str:
    """Return a statement as one line; of a loop or a condition, its head alone."""
    node = node_at(tree, statement)
    text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(node)))
    return text.split("\n")[0] if isinstance(node, ast.For | ast.If | ast.While) else " ".join(text.split())
