"""Measure what it costs to have your own code checked: lines of adapting code, seconds to a verdict, size of the small cases of faults.

It checks the README's first file and every example, three times each, and prints medians. PyTorch is imported before the clock starts. Example::

    python scripts/measure_checks.py --runs 1 --only norm --json checks.json
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from cost.files import ROOT, first_file, measured, sheet
from rich.console import Console
from study import command
from study.pages import table

_FIRST = "README: mine.py"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit status."""
    parser = command.parser("measure_checks.py", __doc__)
    parser.add_argument("--runs", type=int, default=3, help="how often each file is checked (default 3)")
    parser.add_argument("--only", metavar="TEXT", default="", help="only the files whose names contain this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    options = parser.parse_args(arguments)
    paths = {f"examples/{path.name}": path for path in sorted((ROOT / "examples").glob("*.py"))}
    if not any(options.only in name for name in (_FIRST, *paths)):
        parser.error(f"--only {options.only}: no file has this in its name; there are {', '.join((_FIRST, *paths))}")
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=120)
    with console.status("importing PyTorch") as status, tempfile.TemporaryDirectory() as folder:
        import torch

        torch.set_num_threads(1)  # the arrays of a check are too small for more
        rows = []
        for name, path in {_FIRST: first_file(Path(folder)), **paths}.items():
            if options.only in name:
                status.update(f"checking {name}")
                rows.append(measured(name, path, options.runs))
    console.print(table(sheet(rows)))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
