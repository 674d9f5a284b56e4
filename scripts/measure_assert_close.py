"""Measure how far crosscheck.assert_close can be trusted, beside the fixed tolerances that test suites use.

Thirty comparisons such as public test suites make in float32 (products of matrices, convolutions, attention, norms, losses, sums) are made for many
seeds. The code under test is right, in NumPy, and adds up in another order than PyTorch, which it is compared with. A rule that rejects it gives a
false alarm.

Then the result is spoilt: all of it, or one element that is chosen at random, is multiplied by 1.001 or by 1.0001. A rule that accepts it misses a
fault. An element that is small because large terms cancel is uncertain by more than that: no rule without false alarms sees every fault of one
element. Faults are planted for one seed of 25. With --state a run of more seeds continues from one of fewer.

Exit status: 0 crosscheck.assert_close rejects nothing that is right, 1 it does, 2 something could not be compared, 130 interrupted. Examples::

    python scripts/measure_assert_close.py --seeds 10                     a look, within a minute
    python scripts/measure_assert_close.py --json closeness.json          500 seeds
    python scripts/measure_assert_close.py --page closeness.json          put the figures of an earlier run into docs/assert_close.md
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from study import command
from training.command_options import at_least, without


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = command.parser("measure_assert_close.py", __doc__)
    parser.add_argument("--seeds", type=at_least(1), default=500, metavar="N", help="how often each comparison is made (default 500)")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="only comparisons whose names match; * and ? stand for any letters")
    parser.add_argument("--page", type=Path, metavar="FILE", help="measure nothing: put the figures in this JSON file into docs/assert_close.md")
    command.add_jobs(parser)
    command.add_files(parser, html=False)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = options_of(given)
    return command.run("measure_assert_close.py", lambda: write(options.page) if options.page else measure(options, given))


def write(source: Path) -> int:
    """Put the figures of an earlier run into the page."""
    from study.closeness.pages import DOCUMENT  # noqa: PLC0415 - the framework is imported once the options are known to be right

    DOCUMENT.write(source)
    return 0


def measure(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Carry out the comparisons, show the figures and write the reports."""
    command.expect_reports(options)
    from study.closeness.pages import facts_of, page, show  # noqa: PLC0415
    from study.closeness.work import compared, planned, summed  # noqa: PLC0415
    from study.state import fingerprint, opened, versions  # noqa: PLC0415

    tasks = planned(options.only, options.seeds)
    run = {"versions": versions("numpy", "torch"), "code": fingerprint()}
    state = opened(options.state, options.resume, run)
    results = summed(tasks, command.carry_out(compared, tasks, state, here=options.jobs == 1, jobs=options.jobs))
    shown = shlex.join(["python", "scripts/measure_assert_close.py", *without(given, *command.WAYS)])
    facts = facts_of(results, run | {"seeds": options.seeds}, shown)
    command.deliver(facts, options, show, page)
    return int(facts["status"])


if __name__ == "__main__":
    sys.exit(main())
