"""Find tolerances in source text: functions with default tolerances, options that set a tolerance, and numbers assigned to names of tolerances."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Set
from dataclasses import dataclass

OPTIONS = frozenset({"rtol", "atol", "rel_tol", "abs_tol"})
NAMES = OPTIONS | {"tol", "tolerance"}
FUNCTIONS = frozenset(
    {
        "allclose",
        "approx",
        "assertAlmostEqual",
        "assert_allclose",
        "assert_almost_equal",
        "assert_approx_equal",
        "assert_array_almost_equal",
        "assert_array_almost_equal_nulp",
        "assert_array_max_ulp",
        "assert_close",
        "gradcheck",
        "isclose",
    }
)


@dataclass(frozen=True)
class Finding:
    """A tolerance that is set by hand: its line, and how it is set."""

    line: int
    what: str


def findings(source: str) -> Iterator[Finding]:
    """Yield the tolerances that the text of a module sets by hand."""
    tree = ast.parse(source)
    own = set(_from_crosscheck(tree))
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=function) if name := _with_a_tolerance(function, own):
                yield Finding(node.lineno, f"{name}() compares with a tolerance of its own")
            case ast.Call(keywords=keywords):
                yield from (Finding(k.value.lineno, f"{k.arg}= is given") for k in keywords if k.arg in OPTIONS)
                yield from (Finding(k.value.lineno, f"{k.arg}= is a number") for k in keywords if k.arg in NAMES - OPTIONS and _number(k.value))
            case ast.Assign(targets=targets, value=value) if _number(value):
                yield from (Finding(node.lineno, f"{t.id} is a number") for t in targets if isinstance(t, ast.Name) and t.id.lower() in NAMES)
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if name.lower() in NAMES and value is not None and _number(value):
                yield Finding(node.lineno, f"{name} is a number")
            case ast.arguments():
                yield from _defaults(node)


def _from_crosscheck(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a module imports from crosscheck."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "crosscheck":
            yield from (one.asname or one.name for one in node.names)


def _with_a_tolerance(function: ast.expr, own: Set[str]) -> str:
    """Return the name of a called function that has a default tolerance; empty for others, among them crosscheck's own assert_close."""
    match function:
        case ast.Name(id=name) if name in FUNCTIONS - own:
            return name
        case ast.Attribute(value=value, attr=name) if name in FUNCTIONS:
            return "" if isinstance(value, ast.Name) and value.id == "crosscheck" else name
    return ""


def _defaults(arguments: ast.arguments) -> Iterator[Finding]:
    positional = [*arguments.posonlyargs, *arguments.args]
    # Defaults belong to the last of the positional parameters.
    pairs = [*zip(reversed(positional), reversed(arguments.defaults), strict=False), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    for parameter, default in pairs:
        if parameter.arg in NAMES and default is not None and _number(default):
            yield Finding(parameter.lineno, f"the parameter {parameter.arg} is a number by default")


def _number(node: ast.expr) -> bool:
    """Return whether an expression consists of numbers and arithmetic alone."""
    match node:
        case ast.Constant(value=value):
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case ast.UnaryOp(operand=operand):
            return _number(operand)
        case ast.BinOp(left=left, right=right):
            return _number(left) and _number(right)
    return False
