"""The variables of a reference's code: which name its own lines give to the result of an operation.

A trace knows for each operation the line that asked for it. If this line assigns its result to a variable, the last operation of the line has the
variable's name.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch.fx.traceback import set_stack_trace
from torch.overrides import TorchFunctionMode

from crosscheck.references.statements import Place, place_at

_TORCH = str(Path(torch.__file__).parent)
_OWN = str(Path(__file__).parents[3])
_TRACE = str(Path(__file__).parent / "trace.py")
_MODULES = str(Path(__file__).parents[1] / "modules.py")


class Asked(NamedTuple):
    """A place in the reference's own code that asked for an operation.

    Attributes
    ----------
    statement : Place
    offset : int
        How far the statement has been carried out.
    frame : int
        Which call of the function it is.
    """

    statement: Place
    offset: int
    frame: int


class Noting(TorchFunctionMode):
    """While functions of PyTorch are traced, notes with each operation the line of the reference's own code that asked for it."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function, and note the innermost line that is neither PyTorch's nor the harness's own."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and _is_foreign(frame.f_code.co_filename):
            frame = frame.f_back if frame.f_code.co_filename != _TRACE else None
        set_stack_trace([f"{frame.f_code.co_filename}:{frame.f_lineno}:{frame.f_lasti}:{id(frame)}"] if frame is not None else [])
        return function(*args, **(kwargs or {}))


@lru_cache(maxsize=4096)
def _is_foreign(file: str) -> bool:
    return file != _MODULES and file.startswith((_TORCH, _OWN, "<"))


def place_of(noted: str | None) -> Asked | None:
    """Return the place that asked for an operation, from what was noted with it; None if none of the reference's own code did."""
    if not noted:
        return None
    file, line, offset, frame = noted.rsplit(":", 3)
    return Asked(place_at(file, int(line)), int(offset), int(frame))


def ends(places: Sequence[Asked | None]) -> list[bool]:
    """Return for each of several operations, in their order, whether it is the last one of its statement."""
    found: list[bool] = []
    after: dict[tuple[str, int], Asked] = {}
    for place in reversed(places):
        if place is None:
            found.append(False)
            continue
        later = after.get((place.statement.file, place.frame))
        # In a loop, the next round of a statement starts from the beginning.
        found.append(later is None or later.statement.line != place.statement.line or later.offset < place.offset)
        after[place.statement.file, place.frame] = place
    return found[::-1]
