"""Draw messages and docstrings at random, for a reader who has not seen them to mark each sentence that has to be read twice.

How to call it::

    python scripts/draw_texts.py --seed 1              # fifty texts of this checkout
    python scripts/draw_texts.py --seed 1 --root ../x  # of another one
"""

from __future__ import annotations

import argparse
import ast
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("crosscheck", "reference", "scratch", "scripts")
WORDS = 5
"""How many words a string has at least to count as a message: shorter ones are names and keys."""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring and each message of a module; what is filled in later is shown as its expression in braces."""
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="how many texts (default 50)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (default 0)")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="FOLDER", help="the checkout to draw from (this one)")
    options = parser.parse_args(arguments)
    paths = sorted(path for folder in FOLDERS for path in (options.root / folder).rglob("*.py"))
    if not paths:
        parser.error(f"{options.root}: no folder {', '.join(FOLDERS)} with Python files; --root is to be a checkout of this project")
    found = [(path, line, text) for path in paths for line, text in texts(path)]
    for path, line, text in random.Random(options.seed).sample(found, min(options.count, len(found))):  # noqa: S311 - no secret
        sys.stdout.write(f"{path.relative_to(options.root)}:{line}\n    " + text.replace("\n", "\n    ") + "\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
