"""Measure where PyTorch, JAX and Keras disagree, and write docs/conventions.md.

Where the frameworks do different things and each is right in its own way, that is a convention: the gradient of a maximum that ties, the meaning of a
momentum, the place of an epsilon. Each convention has a name, which verdicts use as well. No figure on the page is typed by hand: for each convention
a probe runs each framework on a tiny input, and its result is compared with what each possible answer would give. A result that fits no answer is
called unknown.

Exit status: 0 every answer is known and, with --check, the page says what is measured now; 1 something is unknown, or the page says something else;
2 it could not be measured. The line that names the versions is not compared: if other versions give the same answers, the page is right. Examples::

    python scripts/measure_conventions.py            measure and write the page
    python scripts/measure_conventions.py --check    measure and compare with the page; for continuous integration
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from conventions.answers import UNKNOWN, shown
from conventions.page import PAGE, differences, measured, page
from rich.console import Console
from study import command

from crosscheck.causes.conventions import CONVENTIONS
from crosscheck.run.cli import UsageError

MOST_SHOWN = 40
"""How many lines of the difference between two pages are printed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write or compare; return the exit status."""
    parser = command.parser("measure_conventions.py", __doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say whether the page says what is measured now")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="the page (default docs/conventions.md)")
    options = parser.parse_args(arguments)
    console, errors = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        findings, versions = measured(errors)
        text = page(findings, versions)
        if options.check:
            status = compare(options.page, text, console)
        else:
            options.page.write_text(text, encoding="utf-8")
            console.print(f"{options.page}: {len(CONVENTIONS)} conventions, {len(findings)} answers", markup=False)
            status = 0
    except (UsageError, OSError) as error:
        errors.print(f"measure_conventions: {error}", markup=False)
        return 2
    unknown = [finding for finding in findings if finding.answer == UNKNOWN]
    for finding in unknown:
        what = shown(finding.measured) + (f": {finding.error}" if finding.error else "")
        place = f"{finding.convention}: {finding.framework}, {finding.call}"
        errors.print(f"{place}: unknown answer {what}; add its meaning to scripts/conventions/answers.py", markup=False)
    return 1 if unknown else status


def compare(path: Path, text: str, console: Console) -> int:
    """Compare the page in a file with the measured one; return the exit status."""
    if not path.exists():
        console.print(f"{path}: there is no page; write it with: python scripts/measure_conventions.py", markup=False)
        return 1
    found = differences(path.read_text(encoding="utf-8"), text, path)
    if not found:
        console.print(f"{path}: says what is measured now", markup=False)
        return 0
    console.print(f"{path}: does not say what is measured now; if the frameworks changed, run python scripts/measure_conventions.py", markup=False)
    console.print("\n".join(found[:MOST_SHOWN]), markup=False)
    if len(found) > MOST_SHOWN:
        console.print(f"... and {len(found) - MOST_SHOWN:,} more lines")
    return 1


if __name__ == "__main__":
    sys.exit(main())
