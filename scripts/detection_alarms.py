"""Compare right implementations that differ on purpose, and count what crosscheck calls wrong in them: false alarms.

The right implementations are those of tests/support/right_ways/. ``detection.py`` compares them as well; this command compares them alone, all or
some, and names the tolerances that no right implementation ever came near.

Exit status: 0 no false alarm, 1 some, 2 they could not be compared. Examples::

    python scripts/detection_alarms.py --quick                 every implementation at least once
    python scripts/detection_alarms.py --quantities 1000000    more of them
    python scripts/detection_alarms.py --only 'batch norm*'    some of the tasks
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from study import command
from study.detection.alarms import all_found, chunks, quick, setting, work_on
from study.state import State
from training.command_options import at_least


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and return the exit status."""
    parser = command.parser("detection_alarms.py", __doc__)
    parser.add_argument("--quantities", type=at_least(1), default=20_000, metavar="N", help="about how many quantities to compare (%(default)s)")
    parser.add_argument("--only", default="", metavar="PATTERN", help="tasks whose names match, such as 'conv2d*'")
    parser.add_argument("--quick", action="store_true", help="every implementation at least once")
    command.add_jobs(parser)
    options = parser.parse_args(arguments)
    return command.run("detection_alarms.py", lambda: compare(options))


def compare(options: argparse.Namespace) -> int:
    """Compare and print what was found."""
    planned = quick() if options.quick else chunks(options.quantities, options.only)
    found = all_found(command.carry_out(work_on, planned, State(), jobs=options.jobs, setting=setting))
    sys.stdout.write(found.words())
    return 1 if found.alarms else 0


if __name__ == "__main__":
    sys.exit(main())
