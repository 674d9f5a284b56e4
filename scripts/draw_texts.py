"""Draw messages and docstrings at random, for a reader who marks each sentence that has to be read twice.

Examples::

    python scripts/draw_texts.py --seed 1              fifty texts of this checkout
    python scripts/draw_texts.py --seed 1 --root ../x  of another checkout
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from source.texts import texts

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("crosscheck", "reference", "scratch", "scripts")


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw and print; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").replace("::\n", ":\n"), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="how many texts (default 50)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random choice (default 0)")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="FOLDER", help="the checkout to draw from (default: this one)")
    options = parser.parse_args(arguments)
    paths = sorted(path for folder in FOLDERS for path in (options.root / folder).rglob("*.py"))
    if not paths:
        parser.error(f"{options.root}: no folder {', '.join(FOLDERS)} with Python files; name a checkout of this project with --root")
    found = [(path, line, text) for path in paths for line, text in texts(path)]
    for path, line, text in random.Random(options.seed).sample(found, min(options.count, len(found))):  # noqa: S311 - no secret
        sys.stdout.write(f"{path.relative_to(options.root)}:{line}\n    " + text.replace("\n", "\n    ") + "\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
