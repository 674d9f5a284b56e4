"""Measure how far crosscheck's verdicts can be trusted: planted faults, right code, and the rules that people use, all on the same inputs.

The catalogue in tests/support/faults holds faults that people really make, each planted in a right implementation. For each fault the study measures
whether crosscheck detects it, whether it shows the place where the fault begins, and whether it names the right cause. The same inputs then go to the
rules that people compare by (numpy.testing.assert_allclose, torch.testing.assert_close, gradcheck and others), with upstream gradients of all ones
and with random ones. A table shows how many faults would be missed without each part of the design: an input family, the random upstream gradient,
the float64 pass. Finally, right implementations that differ on purpose are compared; anything that crosscheck calls wrong in them is a false alarm.

The promise: every fault is detected at its place, at least 90 % of the known causes are named, at most 2 % of all faults get a wrong cause, and there
is no false alarm. Exit status::

    0  the promise is kept
    1  it is not kept: the lines below the verdict name what falls short
    2  something could not be checked
    130  interrupted

Examples::

    python scripts/detection.py --quick --jobs 2             each fault up to the first check that detects it, other rules on normal inputs, less
                                                             right code: two minutes
    python scripts/detection.py --faults 'convolution-*'     some faults
    python scripts/detection.py --jobs 2 --json detection.json --html detection.html --state state.json
                                                             everything: hours; after Ctrl-C the same command with --resume continues
    python scripts/detection.py --operations --jobs 2 --json operations.json --state state.json
                                                             the study of PyTorch's own test database: each differentiable operation, computed in
                                                             several ways, beside the rules people use
    python scripts/detection.py --operations 'linalg.*'      some of its operations; --quick takes ten
    python scripts/detection.py --readme detection.json      put the figures of an earlier run, of either study, into README.md and docs/
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from study import command
from study.documents import study_of
from study.operations.tasks import STUDY
from training.command_options import at_least, without

QUANTITIES = 3_000_000


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = command.parser("detection.py", __doc__)
    parser.add_argument("--faults", default="", metavar="PATTERN", help="only faults whose names match; * and ? stand for any letters")
    parser.add_argument(
        "--operations",
        nargs="?",
        const="*",
        metavar="PATTERN",
        help="study PyTorch's test database instead of the catalogue (needs expecttest); with a pattern, only operations whose names match",
    )
    parser.add_argument(
        "--quick", action="store_true", help="no ablation, other rules on normal inputs only, less right code; ten operations of the database: for CI"
    )
    parser.add_argument(
        "--quantities",
        type=at_least(0),
        metavar="N",
        help=f"compare at least N quantities of right implementations (default {QUANTITIES:,}; with --quick each implementation once)",
    )
    parser.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="seed of all random numbers (default 0)")
    parser.add_argument("--limit", type=at_least(1), default=900, metavar="SECONDS", help="give up a task after that time (default 900)")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="measure nothing: put the figures in this JSON file into README.md and docs/")
    command.add_jobs(parser)
    command.add_files(parser)
    options = parser.parse_args(arguments)
    if options.quantities is None and not options.quick:
        options.quantities = QUANTITIES
    if options.operations and (options.faults or options.html):
        parser.error(f"--operations is another study, which has no {'--faults' if options.faults else '--html; --json and --readme make its page'}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = options_of(given)
    return command.run("detection.py", lambda: write(options.readme) if options.readme else measure(options, given))


def write(source: Path) -> int:
    """Put the figures of an earlier run into the pages."""
    if study_of(source, "scripts/detection.py") == STUDY:
        from study.operations.pages import DOCUMENT  # noqa: PLC0415 - the other study does not need it
    else:
        from study.detection.figures import DOCUMENT  # noqa: PLC0415
    DOCUMENT.write(source)
    return 0


def measure(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Carry out a study, show it and write its reports."""
    command.expect_reports(options)
    # Frameworks are imported once the options are known to be right.
    if options.operations:
        from study.operations.pages import page, show  # noqa: PLC0415
        from study.operations.study import measured  # noqa: PLC0415
    else:
        from study.detection.pages import render as page  # noqa: PLC0415
        from study.detection.pages import show  # noqa: PLC0415
        from study.detection.study import measured  # noqa: PLC0415
    facts = measured(options, shlex.join(["python", "scripts/detection.py", *without(given, *command.WAYS)]))
    command.deliver(facts, options, show, page)
    return int(facts["status"])


if __name__ == "__main__":
    sys.exit(main())
