"""Tasks that do to their process what faults may do; a module of its own, so that the processes have nothing else to import."""

from __future__ import annotations

import os
import time

from crosscheck.core.judge import Facts


def carried_out(task: str) -> Facts:
    """Do what the task's name says."""
    if task == "dies":
        os.abort()
    if task == "never ends":
        time.sleep(600)
    if task == "raises":
        raise ValueError("in words")
    return {"threads": os.environ["OMP_NUM_THREADS"]}
