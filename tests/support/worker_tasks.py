"""Tasks for tests of worker processes: they say what their process was started with, die, raise, or never end."""

from __future__ import annotations

import os
import time

from study.workers import available, report

from crosscheck.core.judge import Facts


def carried_out(task: str) -> Facts:
    if task == "dies":
        os.abort()
    if task == "never ends":
        time.sleep(600)
    if task == "raises":
        raise ValueError("in words")
    report("in words")
    return {"threads": os.environ["OMP_NUM_THREADS"], "cores": available(), "process": os.getpid(), "own": os.environ.get("OWN_VARIABLE", "")}
