"""Ctrl-C and the end of the machine, heard between two steps: a run is never left in the middle of one.

The second Ctrl-C does not wait any longer.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether somebody asked the run to stop."""

    def __init__(self) -> None:
        self.wanted = False

    def heard(self, number: int, frame: FrameType | None) -> None:
        """Note a signal; raise KeyboardInterrupt at the second one."""
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True


@contextmanager
def between_steps() -> Iterator[Interruption]:
    """While this is entered, SIGINT and SIGTERM are noted, for the training to stop after the step that it is in."""
    interruption = Interruption()
    before = {number: signal.signal(number, interruption.heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
