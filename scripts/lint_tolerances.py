"""Find tolerances that are set by hand: every comparison here takes its tolerance from rounding theory, or is exact.

It reports functions with default tolerances (``allclose`` and the like), options that set a tolerance, and numbers assigned to names that mean a
tolerance. Only one module may have them: it implements the rules of other tools, to measure what these rules miss.

Exit status: 0 nothing was found, 1 something was. Example::

    python scripts/lint_tolerances.py tests/scripts    some files or folders; without an argument all of the project's
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from source.tolerances import findings

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("crosscheck", "examples", "scratch", "reference", "scripts", "tests")
RIVALS = ROOT / "scripts" / "study" / "detection" / "rivals.py"
"""The module with the rules of other tools, which have tolerances that their authors chose."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Look through files and folders; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").replace("::\n", ":\n"), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, default=[ROOT / folder for folder in FOLDERS], help="files or folders (default: the project)")
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
