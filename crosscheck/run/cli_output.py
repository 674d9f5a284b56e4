"""The output of the commands. If standard output cannot be written any more, the exit status still gives the verdict."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.syntax import Syntax

from crosscheck.checks.facts import small_cases
from crosscheck.core.files import NotWritableError
from crosscheck.core.judge import Facts
from crosscheck.report.terminal import show
from crosscheck.report.write import write
from crosscheck.run.cli import COULD_NOT_BE_CHECKED, say

_NARROWEST = 20
"""The fewest columns that a report needs."""


class Forgiving:
    """A text stream that ignores all output after an error, for example if the reader has gone, the disk is full or the stream was closed."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._silent = stream, stream is None

    @property
    def encoding(self) -> str:
        """The stream's encoding."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        try:
            return not self._silent and bool(self._stream.isatty())
        except ValueError:
            return False

    def fileno(self) -> int:
        """Return the stream's file descriptor."""
        return int(self._stream.fileno())

    def write(self, text: str) -> int:
        """Write; characters that the encoding does not have become escapes."""
        self._attempt(lambda: self._stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding)))
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        self._attempt(getattr(self._stream, "flush", None))

    def _attempt(self, action: Any) -> None:
        if self._silent or action is None:
            return
        try:
            action()
        except (OSError, ValueError):
            self._silent = True
            self._drain()

    def _drain(self) -> None:
        """Discard what is still buffered; otherwise the interpreter fails to write it at exit and changes the exit status."""
        try:
            descriptor, nowhere = self._stream.fileno(), os.open(os.devnull, os.O_WRONLY)
        except (OSError, ValueError):
            return
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def terminal() -> Console:
    """Return a console that prints reports to standard output."""
    stream: Any = Forgiving(sys.stdout)  # has the methods of a stream that a console uses
    console = Console(highlight=False, file=stream)
    console.width = max(console.width, _NARROWEST)
    return console


def deliver(facts: Facts, reports: list[Path], console: Console) -> int:
    """Write the report files, print the report, and return the exit status, which an interruption does not change."""
    refused = ""
    try:
        try:
            write(facts, reports)
        except NotWritableError as error:
            refused = str(error)
        show(facts, console)
        for name, script in () if reports else small_cases(facts):
            saved = "--html or --json saves it beside the report"
            console.print(f"\n{name}: a small case that shows it, as a script ({saved})\n", markup=False, soft_wrap=True)
            console.print(Syntax(script, "python", theme="ansi_light", background_color="default").highlight(script), soft_wrap=True)
        if reports and not refused:
            console.print(f"\nreport: {' and '.join(map(str, reports))}", markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        say(f"interrupted while reporting: {facts['headline']}")
    if refused:
        say(refused)
    return COULD_NOT_BE_CHECKED if refused else int(facts["exit_status"])
