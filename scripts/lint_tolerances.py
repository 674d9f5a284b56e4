"""Find tolerances that somebody set by hand: every comparison here takes its tolerance from the theory of rounding, or is exact.

Reported are the functions whose very defaults are such tolerances (``allclose`` and its kin), their options wherever they are given, and numbers
given to names that call themselves tolerances. One module alone may have them, the one that implements the rules of other tools in order to measure
what they miss. Exit status: 0 nothing was found, 1 something was.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("crosscheck", "examples", "scratch", "reference", "scripts", "tests")
RIVALS = ROOT / "scripts" / "study" / "detection" / "rivals.py"
"""Other tools' rules for comparison, whose tolerances are what they are."""
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
    """A tolerance set by hand: the line and what stands there."""

    line: int
    what: str


def findings(source: str) -> Iterator[Finding]:
    """Yield the tolerances that a module sets by hand.

    Parameters
    ----------
    source : str
        The module's text.

    Raises
    ------
    SyntaxError
        If it is not Python.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in FUNCTIONS:
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


def _defaults(arguments: ast.arguments) -> Iterator[Finding]:
    positional = [*arguments.posonlyargs, *arguments.args]
    # Defaults belong to the last of the positional parameters.
    pairs = [*zip(reversed(positional), reversed(arguments.defaults), strict=False), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    for parameter, default in pairs:
        if parameter.arg in NAMES and default is not None and _number(default):
            yield Finding(parameter.lineno, f"the parameter {parameter.arg} is a number unless told")


def _number(node: ast.expr) -> bool:
    """Return whether an expression is a number, or precision on numbers alone."""
    match node:
        case ast.Constant(value=value):
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case ast.UnaryOp(operand=operand):
            return _number(operand)
        case ast.BinOp(left=left, right=right):
            return _number(left) and _number(right)
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Look through the folders named, or through the project's; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, default=[ROOT / folder for folder in FOLDERS], help="files or folders; all of the project's")
    found = 0
    for path in parser.parse_args(arguments).paths:
        if not path.exists():
            parser.error(f"{path}: no such file or folder")
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            if file.resolve() == RIVALS:
                continue
            for finding in sorted(findings(file.read_text(encoding="utf-8")), key=lambda finding: finding.line):
                sys.stdout.write(f"{file}:{finding.line}: {finding.what}; take it from crosscheck.core.precision, or compare exactly\n")
                found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
