"""A training command in a process of its own that is killed around a checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support import ROOT


def killed(script: str, arguments: Sequence[str], folder: Path, writes: int, moment: str) -> None:
    """Start a script, and kill it with SIGKILL before or after it puts its n-th checkpoint, run.safetensors, in place."""
    code = f"""
import os, signal
import {script}
count, real = 0, os.replace
def replace(source, target):
    global count
    count += str(target).endswith("run.safetensors")
    if count == {writes} and {moment == "before"}:
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)
    if count == {writes}:
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
{script}.main({list(arguments)!r})
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "scripts"), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == -signal.SIGKILL, done.stderr
