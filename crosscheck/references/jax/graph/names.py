"""Which line of the reference's own code asked for a primitive, and which programs come from a library."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crosscheck.references.statements import Place, place_at

_OWN = str(Path(__file__).parents[3])


@cache
def _libraries() -> tuple[str, ...]:
    found = (find_spec(name) for name in ("jax", "jaxlib", "keras", "optax"))
    return tuple(str(Path(spec.origin).parent) + "/" for spec in found if spec is not None and spec.origin is not None)


def place_of(equation: Any) -> Place | None:
    """Return the statement that asked for a primitive: the innermost one that is neither a library's nor the harness's own."""
    traceback = equation.source_info.traceback
    for frame in () if traceback is None else traceback.frames:
        if not frame.file_name.startswith((*_libraries(), _OWN, "<")):
            return place_at(frame.file_name, frame.line_num)
    return None


def is_of_library(program: Any) -> bool:
    """Return whether the function of a program within a program comes from a library, such as ``jax.nn.relu``."""
    information = getattr(program, "jaxpr", program).debug_info
    source = "" if information is None else str(information.func_src_info or "")
    return any(library in source for library in _libraries())
