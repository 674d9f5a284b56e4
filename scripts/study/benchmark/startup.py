"""The time that it takes to import the harness and to show its help. The commands run in turns, each in its own process."""

from __future__ import annotations

import subprocess
import sys

from crosscheck.core.judge import Facts
from study.benchmark.rounds import Pace, Run, alternated
from study.workers import report

COMMANDS = {"python": ["-c", "pass"], "import crosscheck": ["-c", "import crosscheck"], "crosscheck --help": ["-m", "crosscheck", "--help"]}
"""The commands; the first one measures Python itself."""


def measured(rounds: int, threads: int) -> Facts:
    """Return the milliseconds of each command."""
    report("startup")
    times = alternated({name: _run([sys.executable, *command]) for name, command in COMMANDS.items()}, Pace(rounds, 0.0))
    return {"startup": [{"command": name, "milliseconds": times.milliseconds(name)} for name in COMMANDS]}


def _run(command: list[str]) -> Run:
    return lambda count: [subprocess.run(command, check=True, stdout=subprocess.DEVNULL) for _ in range(count)]  # noqa: S603 - named above
