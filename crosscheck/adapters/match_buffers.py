"""Running statistics: which of the subject's arrays is which of the reference's, as declared or because it has the same name and shape.

Not as with parameters: a layer may have arrays that are none of them, such as what it keeps for its backward pass, and may show none at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from crosscheck.adapters.convention import Instance
from crosscheck.adapters.layout import Layout, Parameter
from crosscheck.adapters.match_params import MappingError, parse, ways_of
from crosscheck.core.operation import Shape

_SAME_NAME = (
    {"running_mean", "moving_mean", "run_mean", "mean_running", "global_mean"},
    {"running_var", "running_variance", "moving_var", "moving_variance", "run_var", "var_running", "global_var"},
)
"""Names in use for one and the same statistic."""


def same_statistic(name: str, other: str) -> bool:
    """Return whether two names, one of them maybe that of a module's part (``bn.running_mean``), are in use for the same running statistic."""
    name, other = (one.rpartition(".")[2].lower() for one in (name, other))
    return name == other or any(name in names and other in names for names in _SAME_NAME)


def kept_by(instance: Instance) -> dict[str, Shape | None]:
    """Return the shapes of the arrays that a layer may keep from step to step; None for what the first forward pass makes an array of."""
    return {name: np.shape(value) or None for name, value in instance.buffers().items() if value is None or _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.ndarray | np.generic) and np.asarray(value).dtype.kind in "fi"


def mapped_buffers(
    own: Mapping[str, Shape | None], expected: Mapping[str, Shape], declared: Mapping[str, str], sizes: Mapping[str, int]
) -> tuple[dict[str, Parameter], list[str], dict[str, str]]:
    """Return the statistics by the subject's names, in words what was inferred, and why the others are not compared, by the reference's names.

    Parameters
    ----------
    own : mapping
        Shapes of the subject's candidates by name; None where a candidate is no array yet.
    expected : mapping
        Shapes of the reference's statistics by name.
    declared : mapping
        As :attr:`crosscheck.Pair.buffers`.
    sizes : mapping
        Of axes inside parentheses.

    Raises
    ------
    MappingError
        If a declaration names what one of the sides does not have.
    """
    result = {name: parse(name, declaration, sizes, "buffers") for name, declaration in declared.items()}
    for name, buffer in result.items():
        if name not in own:
            raise MappingError(f"buffers names {name!r}, but what the subject keeps is: {', '.join(own) or 'nothing'}")
        if buffer.name not in expected:
            raise MappingError(f"buffers[{name!r}] names {buffer.name!r}, but the reference keeps: {', '.join(expected) or 'nothing'}")
    inferred, absent, taken = [], {}, {buffer.name for buffer in result.values()}
    left = [name for name in own if name not in result]
    for theirs, shape in expected.items():
        if theirs in taken:
            continue
        ways = [way for name in left if same_statistic(name, theirs) for way in ways_of(name, own[name], theirs, shape)]
        others = [other for other in expected if other != theirs and same_statistic(other, theirs)]
        if len(ways) == 1 and not others:
            result[ways[0].name] = Parameter(theirs, Layout(ways[0].pattern))
            inferred.append(str(ways[0]))
        else:
            which = "no one that is it" if ways else "none"
            absent[theirs] = f"not compared: of {theirs} {shape} the subject shows {which} by name and shape; say buffers={{'ITS NAME': {theirs!r}}}"
    return result, inferred, absent
