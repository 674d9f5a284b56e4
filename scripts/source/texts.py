"""The docstrings and messages of a module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

WORDS = 5
"""A string with fewer words is a name or a key, not a message."""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring and message of a module; in f-strings, values appear as their expressions in braces."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            inner.add(id(node.body[0].value))  # type: ignore[attr-defined]
            yield node.body[0].lineno, text
        if id(node) in inner or not isinstance(node, ast.JoinedStr | ast.Constant):
            continue
        if isinstance(node, ast.JoinedStr):
            inner.update(id(part) for part in node.values)
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}" for part in node.values)  # type: ignore[attr-defined]
        else:
            text = node.value if isinstance(node.value, str) else ""
        if len(text.split()) >= WORDS:
            yield node.lineno, text
