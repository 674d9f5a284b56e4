"""The variables of a function: what may stand in place of one of them, and which are set a second time."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from study.edits.tree import SHAPE, Site, changed

_MODULES = {"np", "math", "self"}
_TYPES = {"int", "bool", "float"}


def other_variables(site: Site) -> Iterator[ast.AST]:
    """Yield the other variables that a function reads, in place of one that is read."""
    own = _variable(site.node)
    if not own or site.role == SHAPE or _only_a_part(site):
        return
    names, later = {}, _set_later(site)
    for node, parent in _reads(site.method):
        name = _variable(node)
        is_function = isinstance(parent, ast.Call) and parent.func is node
        if name and name not in later and not is_function:
            names[name] = node
    yield from (changed(node) for name, node in sorted(names.items()) if name != own)


def already_assigned(site: Site, target: ast.AST) -> bool:
    """Return whether a statement sets a variable that the function's arguments or an earlier statement have set."""
    if not isinstance(target, ast.Name):
        return False
    known = {argument.arg for argument in site.method.args.args}
    for statement in site.method.body:
        if any(node is site.node for node in ast.walk(statement)):
            return target.id in known
        known |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return False


def _set_later(site: Site) -> set[str]:
    """Return the variables and attributes that a function sets, but not before the statement of a node."""
    line = next(node.lineno for node in reversed(site.above) if isinstance(node, ast.stmt))
    before, later = set[str](), set[str]()
    for node in ast.walk(site.method):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            (before if node.lineno < line else later).add(ast.unparse(node))
    return later - before


def _reads(method: ast.FunctionDef) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield every node of a function that is read, with the node above it."""
    for statement in method.body:
        for parent in ast.walk(statement):
            yield from ((child, parent) for child in ast.iter_child_nodes(parent))


def _variable(node: ast.AST) -> str:
    """Return the name of a variable, or of an attribute of the layer, that a node reads; empty if it reads none."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in _MODULES | _TYPES:
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return f"self.{node.attr}"
    return ""


def _only_a_part(site: Site) -> bool:
    """Return whether a node is the name of a function, or the array whose shape is asked for."""
    parent = site.above[-1]
    return (isinstance(parent, ast.Call) and parent.func is site.node) or (isinstance(parent, ast.Attribute) and parent.attr in ("shape", "dtype"))
