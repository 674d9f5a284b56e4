"""Parts of a benchmark for tests: carried out in processes of their own, they tell where they are, die, or raise."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from crosscheck.core.judge import Facts

Tell = Callable[[str], None]


def cores(threads: int, tell: Tell) -> Facts:
    """Return how many cores the process has, and how many threads it was told to use."""
    tell("in words")
    return {"cores": len(os.sched_getaffinity(0)), "told": os.environ["OMP_NUM_THREADS"]}


def dies(threads: int, tell: Tell) -> Facts:
    """End the process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def raises(threads: int, tell: Tell) -> Facts:
    """Raise."""
    raise ValueError("in words")
