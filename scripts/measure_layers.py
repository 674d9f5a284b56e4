"""Measure the seconds that it takes to check one layer of PyTorch, right and wrong; with --beside, in another checkout as well.

Each layer is PyTorch's own, called with NumPy arrays, so that it costs next to nothing itself. A wrong one has a gradient that is 1 % too large; the
search for its cause and the smallest case are left out. Each figure is the median of several runs, each in its own process; a process first
checks another pair, which does not count. Examples::

    python scripts/measure_layers.py --only Linear
    python scripts/measure_layers.py --beside ../main --json layers.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from cost.layers import LAYERS, figures
from rich.console import Console
from study import command
from study.pages import Sheet, table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit status."""
    parser = command.parser("measure_layers.py", __doc__)
    parser.add_argument("--runs", type=int, default=3, help="how often each layer is checked (default 3)")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="another checkout, measured in turns with this one")
    parser.add_argument("--only", metavar="TEXT", default="", help="only the layers whose names contain this")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    options = parser.parse_args(arguments)
    if options.beside and not (options.beside / "crosscheck").is_dir():
        parser.error(f"--beside {options.beside}: not a checkout, it has no folder crosscheck")
    names = [name for name in LAYERS if options.only in name]
    if not names:
        parser.error(f"--only {options.only}: no layer has this in its name; there are {', '.join(LAYERS)}")
    console = Console(width=120)
    with console.status("starting") as status:
        rows = [figures(name, options.runs, options.beside, options.threads, status.update) for name in names]
    title = "medians of seconds; wrong: how many times the right layer's; beside: the other checkout, right, once"
    cells = [(row["layer"], *("-" if row[name] is None else f"{row[name]:.2f}" for name in ("seconds", "wrong", "beside"))) for row in rows]
    console.print(table(Sheet(title, ("layer", "seconds", "wrong", "beside"), cells)))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
