"""Measure how far crosscheck's verdicts can be trusted: every fault of the catalogue, beside the rules people use, and right code besides.

The catalogue, tests/faults, is of faults that people really make, each planted in a right implementation. Of each fault is measured whether it is
detected, whether it is shown at the place where it begins, and whether the cause that is named is the right one. The very same inputs then go to the
rules that people compare by (numpy.testing.assert_allclose, torch.testing.assert_close, gradcheck and others), with all-ones and with random
cotangents. A table shows how many faults would be missed without each part of the design: an input family, the random cotangent, the float64 pass.
Right implementations, different on purpose, are compared until so many quantities have been; whatever is said to be wrong in them is a false alarm.

What is promised: every fault is detected and shown at its place, at least 90 % of the known causes are named, at most 2 % of all faults get a wrong
one, and there is no false alarm. What the exit status says::

    0  the promise is kept
    1  it is not: what falls short stands below the verdict, by name
    2  something could not be checked

How to call it::

    python scripts/detection.py --quick --jobs 2                             every fault up to the first check that sees it, rivals on normal
                                                                             inputs, less right code: two minutes
    python scripts/detection.py --faults 'convolution-*'                     some faults
    python scripts/detection.py --jobs 2 --json detection.json --html detection.html --state state.json
                                                                             all of it: hours; after Ctrl-C the same with --resume goes on
    python scripts/detection.py --operations --jobs 2 --json operations.json --state state.json
                                                                             another study: PyTorch's own test database, each differentiable
                                                                             operation computed in several ways, beside the rules people use
    python scripts/detection.py --operations 'linalg.*'                      some of its operations; --quick takes ten
    python scripts/detection.py --readme docs/detection.json                 put the figures of an earlier run, of either study, into README.md
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from study.coverage.delivery import deliver
from study.detection.readme import write as write_readme
from study.detection.results import result_of
from study.detection.state import State, StateError, fingerprint, opened
from study.detection.tasks import NoFaultError, planned, run
from study.detection.workers import results
from study.generated_text import PageError, study_of
from study.operations.tasks import QUICK, STUDY, NoDatabaseError, NoOperationError, OperationTask, expect_database
from study.operations.tasks import planned as operation_tasks
from study.operations.tasks import run as run_operation
from training.command_options import at_least, without
from training.interruption import between_steps

from crosscheck.core.files import NotWritableError
from crosscheck.core.judge import Facts
from crosscheck.report.write import expected_reports

if TYPE_CHECKING:
    from study.detection.alarms_found import Chunk

ROOT = Path(__file__).resolve().parent.parent
README, DOCUMENT = ROOT / "README.md", ROOT / "docs" / "operations.md"
CANNOT = 2
_INTERRUPTED = 130
QUANTITIES = 3_000_000
WAYS = ("--jobs", "--state", "--resume", "--json", "--html")
"""Options that make no difference to what is measured."""
WIDTH = 150
"""Columns of the tables where no terminal has a width of its own."""


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(
        prog="detection.py", description=(__doc__ or "").replace("::\n", ":\n"), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", default="", metavar="PATTERN", help="only faults with such a name; * and ? stand for any letters")
    parser.add_argument(
        "--operations",
        nargs="?",
        const="*",
        metavar="PATTERN",
        help="the study of PyTorch's test database in place of that of the catalogue (needs expecttest); with a pattern only such operations",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="no ablation, rivals on normal inputs alone, less right code; ten operations of the test database: for CI",
    )
    parser.add_argument(
        "--quantities",
        type=at_least(0),
        default=None,
        metavar="N",
        help=f"compare at least so many quantities of right implementations (default {QUANTITIES:,}; with --quick each implementation once)",
    )
    parser.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="of every random number (default 0)")
    parser.add_argument("--jobs", type=at_least(1), default=1, metavar="N", help="processes at a time (default 1)")
    parser.add_argument("--limit", type=at_least(1), default=900, metavar="SECONDS", help="give a task up after so long (default 900)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found for machines, too")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write it as a page with the detection matrix as a picture, too")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keep results there as they come, for a run that may be interrupted")
    parser.add_argument("--resume", action="store_true", help="go on from --state, if it is there; needs the same options, and gives the same JSON")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="measure nothing: put the figures of this JSON of an earlier run into README.md")
    options = parser.parse_args(arguments)
    if options.quantities is None and not options.quick:
        options.quantities = QUANTITIES
    if options.operations and (options.faults or options.html):
        parser.error(f"--operations is another study, which has no {'--faults' if options.faults else '--html; --json and --readme make its page'}")
    return options


def measured(options: argparse.Namespace, command: str) -> tuple[Facts | None, State]:
    """Carry out all tasks and return the study as plain data, None where somebody asked to stop, and the state that it is in.

    Raises
    ------
    StateError, NotWritableError
        If the state cannot be kept or gone on from.
    NoFaultError
        If no fault has the name that was asked for.
    """
    # Frameworks are imported once the options are known to be right.
    from study.detection.facts import facts_of, versions  # noqa: PLC0415
    from study.detection.work import hosts_of, selected  # noqa: PLC0415

    faults = selected(options.faults)
    what = {"seed": options.seed, "quick": options.quick, "pattern": options.faults, "quantities": options.quantities}
    run_facts = {**what, "versions": versions(), "code": fingerprint()}
    state = opened(options.state, options.resume, run_facts)
    tasks = planned(faults, hosts_of(faults), _chunks(options.quantities), options.seed, options.quick)
    if not _all_carried_out(run, tasks, state, options):
        return None, state
    return facts_of(faults, {task.key: state.results[task.key] for task in tasks}, run_facts, command), state


def operations_measured(options: argparse.Namespace, command: str) -> tuple[Facts | None, State]:
    """Do the same for the operations of PyTorch's test database.

    Raises
    ------
    StateError, NotWritableError
        If the state cannot be kept or gone on from.
    NoOperationError
        If no operation has the name that was asked for.
    NoDatabaseError
        If there is no database.
    """
    from study.operations.facts import facts_of, versions  # noqa: PLC0415

    whole = options.operations == "*"
    run_facts = {
        "seed": options.seed,
        "quick": options.quick,
        "pattern": "" if whole else options.operations,
        "versions": versions(),
        "code": fingerprint(),
    }
    state = opened(options.state, options.resume, run_facts)
    names: Sequence[str] = QUICK
    if not options.quick:
        naming = OperationTask("", options.seed)
        if not _all_carried_out(run_operation, [naming], state, options):
            return None, state
        expect_database(state.results)
        names = result_of(naming.key, state.results[naming.key]).names
    tasks = operation_tasks(names, options.operations, options.seed)
    if not _all_carried_out(run_operation, tasks, state, options):
        return None, state
    expect_database(state.results)
    return facts_of({task.name: state.results[task.key] for task in tasks}, run_facts, command), state


def _all_carried_out(function: Callable[[Any], Facts], tasks: Sequence[Any], state: State, options: argparse.Namespace) -> bool:
    """Carry out what is not done yet, and return whether all of it is now."""
    with between_steps() as interruption:
        try:
            _carry_out(function, tasks, state, options, lambda: interruption.wanted)
        finally:
            state.save()
    return all(task.key in state.results for task in tasks)


def _chunks(quantities: int | None) -> list[Chunk]:
    """Return the batches of right implementations in which so many quantities are compared, or each implementation once."""
    if quantities == 0:
        return []
    from detection_alarms import chunks, quick  # noqa: PLC0415 - they are planned with the frameworks that they are written in

    return quick() if quantities is None else chunks(quantities)


def _carry_out(
    function: Callable[[Any], Facts], tasks: Sequence[Any], state: State, options: argparse.Namespace, stopped: Callable[[], bool]
) -> None:
    """Do what is not done yet, and show on standard error how far that is and how long it will take."""
    left = [task for task in tasks if task.key not in state.results]
    parts = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*parts, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("beginning", total=len(tasks), completed=len(tasks) - len(left))
        for task, result in results(function, left, options.jobs, options.limit, stopped):
            state.add(task.key, result)
            progress.update(bar, description=task.key, advance=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = options_of(given)
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))  # the catalogue is in tests/
    try:
        if options.readme:
            _write_pages(options.readme)
            return 0
        expected_reports(options.html, options.json)
        study = operations_measured if options.operations else measured
        facts, state = study(options, shlex.join(["python", "scripts/detection.py", *without(given, *WAYS)]))
    except (NotWritableError, StateError, PageError, NoFaultError, NoOperationError, NoDatabaseError) as error:
        return _refused(str(error))
    except ModuleNotFoundError as error:
        return _refused(f"{error.name} is not installed, which the study needs: pip install -e '.[all]'")
    except KeyboardInterrupt:
        return _interrupted("nothing is waited for; with --state FILE and --resume the same command goes on from what was kept")
    if facts is None:
        return _interrupted(state.how_to_go_on())
    _report(facts, options)
    return int(facts["status"])


def _report(facts: Facts, options: argparse.Namespace) -> None:
    if options.operations:
        show_operations(facts, options)
        return
    from study.detection.pages import render, show  # noqa: PLC0415 - pictures are drawn once there is something to show

    deliver(facts, show, render, options.html, options.json, WIDTH)


def _write_pages(source: Path) -> None:
    """Put the figures of a study into README.md, and those of the test database into their page as well."""
    if study_of(source) != STUDY:
        write_readme(README, source)
        return
    from study.operations.pages import write  # noqa: PLC0415 - the other study needs none of it

    write(README, DOCUMENT, source)


def show_operations(facts: Facts, options: argparse.Namespace) -> None:
    """Show the study of the test database, and write it where that was asked for."""
    from study.operations.pages import page, show  # noqa: PLC0415

    deliver(facts, show, page, None, options.json, WIDTH)


def _refused(reason: str) -> int:
    print(f"detection.py: {reason}", file=sys.stderr)  # noqa: T201
    return CANNOT


def _interrupted(how_to_go_on: str) -> int:
    print(f"detection.py: interrupted; {how_to_go_on}", file=sys.stderr)  # noqa: T201
    return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
