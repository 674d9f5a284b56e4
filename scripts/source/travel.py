"""Measure how far a check travels through crosscheck/: which modules it calls, and how often a call goes from one module to another."""

from __future__ import annotations

import contextlib
import inspect
import io
import runpy
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from source.graph import PACKAGE, ROOT


@dataclass
class Travel:
    """Counts the calls of one module by another while a program runs."""

    moves: Counter[tuple[str, str]] = field(default_factory=Counter)  # how often the first module called the second one
    passed: Counter[str] = field(default_factory=Counter)  # how many calls each module received

    def run(self, script: str, arguments: Sequence[str]) -> None:
        """Run a script or a module as a command, and count."""
        before, sys.argv = sys.argv, [script, *arguments]
        sys.setprofile(self._seen)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                run: Callable[..., Any] = runpy.run_path if script.endswith(".py") else runpy.run_module
                run(script, run_name="__main__")
        except SystemExit as end:
            if end.code not in (None, 0):
                raise
        finally:
            sys.setprofile(None)
            sys.argv = before

    def _seen(self, frame: FrameType, event: str, _: Any) -> None:
        # Functions have CO_OPTIMIZED. The bodies of modules and classes, which imports run, do not have it and are not counted.
        if event != "call" or not frame.f_code.co_flags & inspect.CO_OPTIMIZED or (module := _module(frame)) is None:
            return
        self.passed[module] += 1
        caller = frame.f_back
        while caller is not None and _module(caller) is None:
            caller = caller.f_back
        if caller is not None and (origin := _module(caller)) is not None and origin != module:
            self.moves[origin, module] += 1


def _module(frame: FrameType) -> str | None:
    name: str = frame.f_globals.get("__name__", "")
    return name if name.startswith(f"{PACKAGE}.") else None


def check_of_a_layer() -> tuple[int, int]:
    """Return how many modules `crosscheck check` calls for one layer, and how often a call goes from one module to another."""
    for _ in range(2):  # the first run imports modules and fills caches
        travel = Travel()
        with tempfile.TemporaryDirectory() as folder:
            pair = Path(folder) / "pair.py"
            pair.write_text(LAYER)
            travel.run(PACKAGE, ["check", str(pair)])
    return len(travel.passed), travel.moves.total()


LAYER = """
import numpy as np
from torch import nn
import crosscheck

class Linear:
    def __init__(self):
        self.params, self.grads = {"weight": np.zeros((4, 3)), "bias": np.zeros(4)}, {}
    def forward(self, x):
        self.x = x
        return x @ self.params["weight"].T + self.params["bias"]
    def backward(self, grad_output):
        self.grads = {"weight": grad_output.T @ self.x, "bias": grad_output.sum(axis=0)}
        return grad_output @ self.params["weight"]

pair = crosscheck.Pair(Linear(), nn.Linear(3, 4), shapes=[(5, 3)])
"""


def checked_step() -> tuple[int, int]:
    """Return the modules and moves of one correct training step compared with PyTorch: the numbers for three steps minus those for two."""
    travels = []
    for steps in (2, 2, 3):  # the first run imports modules and fills caches
        travel = Travel()
        with tempfile.TemporaryDirectory() as folder:
            options = ["--steps", str(steps), "--train-size", "100", "--test-size", "10", "--perturbed", "0", "--out", folder]
            travel.run(str(ROOT / "scripts" / "compare_training.py"), options)
        travels.append(travel)
    more = travels[2].moves - travels[1].moves
    return len(travels[2].passed - travels[1].passed), more.total()
