"""Show how crosscheck/ is built: its packages, their floors, circles of imports, and how far a check travels through modules.

A package is one floor above the highest package that it imports; imports for types and imports inside functions count. A circle is a set of modules,
or of packages, each of which reaches the others by imports.

Exit status: 0 no circle, and not more floors than pyproject.toml names; 1 otherwise. Examples::

    python scripts/structure.py
    python scripts/structure.py --travel    also run one check and some training steps, and count the modules that they call
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from source.graph import PACKAGE, ROOT, circles, floors, modules, packages
from source.travel import check_of_a_layer, checked_step

MOST_FLOORS = 8
"""The number of floors in the rule for imports in pyproject.toml."""


def write(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the structure; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").replace("::\n", ":\n"), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--travel", action="store_true", help="also run one check and some training steps, and count the modules that they call")
    parsed = parser.parse_args(arguments)
    graph = modules()
    rooms = packages(graph)
    found, floor_of = circles(graph) + circles(rooms), floors(rooms)
    highest = max(floor_of.values())
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / PACKAGE).rglob("*.py"))
    write(f"{len(graph)} modules and packages, {lines:,} lines, {len(rooms)} names at the top,")
    write(f"{max(floors(graph).values())} floors of modules, {highest} of packages, {len(found)} circles")
    for floor in range(1, highest + 1):
        write(f"{floor:3} {', '.join(sorted(name for name, own in floor_of.items() if own == floor))}")
    for circle in found:
        write(f"circle: {', '.join(circle)}")
    if parsed.travel:
        for name, (passed, moves) in {"crosscheck check on one layer": check_of_a_layer(), "one checked step": checked_step()}.items():
            write(f"{name}: {passed} modules, {moves:,} moves between them")
    return 1 if found or highest > MOST_FLOORS else 0


if __name__ == "__main__":
    sys.exit(main())
