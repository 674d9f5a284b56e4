"""Let Ctrl-C and SIGTERM take effect between two steps, so that a run never ends within a step; a second Ctrl-C takes effect at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Remembers whether a signal has asked the run to stop."""

    def __init__(self) -> None:
        self.wanted = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal; raise KeyboardInterrupt at the second one."""
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True


@contextmanager
def between_steps() -> Iterator[Interruption]:
    """Inside this context, SIGINT and SIGTERM are only noted, so that the run can stop after the current step."""
    interruption = Interruption()
    before = {number: signal.signal(number, interruption.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
