"""Measure how often crosscheck says what is wrong: random edits of right layers, one at a time, beside what the report says about each.

The layers are in tests/support/edited, in plain NumPy, each beside PyTorch. An edit is drawn in three steps: the layer, then the kind of edit among
those that the layer allows (another operator, number, axis or variable, a missing term, factor or statement, ...), then the place. So no layer and
no kind counts more because it offers more places. The edited layer is checked up to the first check that sees a difference in finite numbers. Edits
that change nothing, and edits that only crash, hang, or give another shape or no finite numbers, are counted apart. What only a contract detects
has no wrong number to explain, and counts as unknown.

What the report says about the others is judged: right (it says what the edit did), half (true, but it says less), wrong (not true), or unknown (no
cause is named). Rules judge sentences that leave no doubt; the others are to be judged by hand. --to-judge FILE writes them; enter the verdicts
there, and repeat the command with --judged FILE. A verdict belongs to the seed, the row and the sentence, and is void if one of them changes.

Besides, faults are planted that no single edit explains: noise on results, one wrong element, half of the elements scaled, two edits at once. A cause
that is named there is a false explanation, unless it is literally true.

The promise: of the edits that are seen, at least 75 % are explained rightly and at most 1 % wrongly, and no other fault is explained falsely.
Exit status::

    0  the promise is kept
    1  it is not kept, however the open sentences are judged: the lines below the verdict name what is wrong
    2  it could not be judged: sentences are still to be judged, or something could not be checked
    130  interrupted

Examples::

    python scripts/explain_edits.py --edits 40 --noise 10                a first look: half a minute
    python scripts/explain_edits.py --layers '*norm' --edits 50          layers whose names match
    python scripts/explain_edits.py --jobs 2 --state state.json --to-judge verdicts.json --table edits.md
                                                                         everything, and what is to be judged by hand
    python scripts/explain_edits.py --jobs 2 --state state.json --resume --judged verdicts.json --json edits.json
                                                                         the figures, once the verdicts are entered; nothing is checked again
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from study import command
from training.command_options import at_least, without

from crosscheck.core.files import expect_writable


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = command.parser("explain_edits.py", __doc__)
    parser.add_argument("--edits", type=at_least(0), default=300, metavar="N", help="single edits to draw (default 300)")
    parser.add_argument("--noise", type=at_least(0), default=100, metavar="N", help="faults to plant that no single edit explains (default 100)")
    parser.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="seed of all random numbers; the same seed draws the same edits")
    parser.add_argument("--layers", default="*", metavar="PATTERN", help="only layers whose names match; * and ? stand for any letters")
    parser.add_argument("--limit", type=at_least(1), default=20, metavar="SECONDS", help="give up a check after that time (default 20)")
    parser.add_argument("--judged", type=Path, metavar="FILE", help="read verdicts by hand from this JSON file")
    parser.add_argument("--to-judge", type=Path, metavar="FILE", help="write the sentences that no rule judges, for verdicts by hand, as JSON")
    parser.add_argument("--table", type=Path, metavar="FILE", help="also write every edit, what the report says and the verdict as Markdown")
    command.add_jobs(parser)
    command.add_files(parser, html=False)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = options_of(given)
    return command.run("explain_edits.py", lambda: measure(options, given))


def measure(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Carry out the study, show it and write its reports."""
    command.expect_reports(options)
    for path, suffix in ((options.to_judge, ".json"), (options.table, ".md")):
        if path is not None:
            expect_writable(path, (suffix,))
    # PyTorch is imported once the options are known to be right.
    from study.edits.pages import expect_new, show, write_sentences, write_table  # noqa: PLC0415
    from study.edits.study import measured  # noqa: PLC0415

    expect_new(options.to_judge, options.judged)
    facts = measured(options, shlex.join(["python", "scripts/explain_edits.py", *without(given, *command.WAYS, "--to-judge", "--table")]))
    command.deliver(facts, options, show, lambda facts: "")
    if options.table:
        write_table(options.table, facts)
    if options.to_judge:
        write_sentences(options.to_judge, facts)
    return int(facts["status"])


if __name__ == "__main__":
    sys.exit(main())
