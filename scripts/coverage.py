"""Print the coverage matrix: every layer and optimizer of scratch/ beside PyTorch, JAX and Keras, in both precisions, on all families of inputs.

It runs the tables that the tests run, tests/support/cases.py and tests/support/optimizer_cases.py. A cell holds the largest error of any run as a
fraction of its tolerance (below 1, rounding explains it), or "equal". A number in brackets refers to a reason below the table: why runs were not
compared there, or why they differ as declared. An empty cell without a reason, because a reference has no entry for a layer, is a hole.

Exit status::

    0  every cell is filled, or has its reason
    1  something differs, or there is a hole
    2  something could not be decided or run
    130  interrupted

Examples::

    python scripts/coverage.py --jobs 2                              everything: a few minutes
    python scripts/coverage.py --only BatchNorm2d                    one layer
    python scripts/coverage.py --only 'conv2d-same*' --only Adam     some rows of a table, and an optimizer
    python scripts/coverage.py --html coverage.html --json coverage.json
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence

from study import command


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = command.parser("coverage.py", __doc__)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="a layer, an optimizer or a row of a table; * and ? stand for any letters; may be given several times",
    )
    command.add_jobs(parser)
    command.add_files(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, write; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = options_of(given)
    return command.run("coverage.py", lambda: measure(options, given))


def measure(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Fill the matrix, show it and write the reports."""
    started = time.monotonic()
    command.expect_reports(options)
    # Frameworks are imported once the options are known to be right.
    from study.coverage.pages import facts_of, render, show  # noqa: PLC0415
    from study.coverage.rows import ELSEWHERE, NAMES, measured  # noqa: PLC0415

    found = measured(options)
    shown = shlex.join(["python", "scripts/coverage.py", *given])
    facts = facts_of(found, NAMES, {} if options.only else ELSEWHERE, shown, time.monotonic() - started)
    command.deliver(facts, options, show, render)
    return found.status


if __name__ == "__main__":
    sys.exit(main())
