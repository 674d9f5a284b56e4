"""Where the commands write: standard output, whatever has become of it. A report that nobody reads on is no reason to lose the verdict."""

from __future__ import annotations

import os
import sys
from typing import Any

from rich.console import Console

_NARROWEST = 20
"""Columns that a report needs at least."""


class Forgiving:
    """A text stream that falls silent where it cannot be written to: its reader has gone, its disk is full, somebody closed it.

    Parameters
    ----------
    stream : text stream or None
    """

    def __init__(self, stream: Any) -> None:
        self._stream, self._silent = stream, stream is None

    @property
    def encoding(self) -> str:
        """The stream's encoding."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        try:
            return not self._silent and bool(self._stream.isatty())
        except ValueError:
            return False

    def fileno(self) -> int:
        """Return the stream's file descriptor."""
        return int(self._stream.fileno())

    def write(self, text: str) -> int:
        """Write; what the encoding does not know is shown as an escape."""
        self._attempt(lambda: self._stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding)))
        return len(text)

    def flush(self) -> None:
        """Write what is held back."""
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
        """Lead what is still held back nowhere: the interpreter would fail on it at its end, with a status of its own."""
        try:
            descriptor, nowhere = self._stream.fileno(), os.open(os.devnull, os.O_WRONLY)
        except (OSError, ValueError):
            return
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def terminal() -> Console:
    """Return standard output for reports."""
    stream: Any = Forgiving(sys.stdout)  # as much of a stream as a console asks for
    console = Console(highlight=False, file=stream)
    console.width = max(console.width, _NARROWEST)
    return console
