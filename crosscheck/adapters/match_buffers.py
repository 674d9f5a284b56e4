"""Match the subject's running statistics to the reference's, as declared or by name and shape.

A layer may also have other arrays, such as a cache for its backward pass, and it may have no statistics at all. Statistics of the reference without a
match are not compared, and the report says why. Checks set the statistics before each call; with which values a new layer starts is only reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from crosscheck.adapters.convention import Instance
from crosscheck.adapters.layout import Layout, Parameter
from crosscheck.adapters.match_params import MappingError, parse
from crosscheck.adapters.match_ways import ways_of
from crosscheck.adapters.naming import same_statistic
from crosscheck.core.operation import Shape
from crosscheck.core.precision import Array


def possible_buffers(instance: Instance) -> dict[str, Shape | None]:
    """Return the shapes of all possible buffers of a layer by name; None for an attribute that holds no array before the first forward pass."""

    def may_be(value: Any) -> bool:
        return value is None or (isinstance(value, int | float | np.ndarray | np.generic) and np.asarray(value).dtype.kind in "fi")

    return {name: np.shape(value) or None for name, value in instance.buffers().items() if may_be(value)}


def mapped_buffers(
    own: Mapping[str, Shape | None], expected: Mapping[str, Shape], declared: Mapping[str, str], sizes: Mapping[str, int]
) -> tuple[dict[str, Parameter], list[str], dict[str, str]]:
    """Return the subject's matched buffers by name, sentences on what was inferred, and why the reference's other statistics are not compared.

    Parameters
    ----------
    own, expected : mapping
        The shapes of all possible buffers of the subject (None if there is no array yet), and of the reference's statistics, by name.
    declared, sizes : mapping
        As :attr:`crosscheck.Pair.buffers` and :attr:`crosscheck.Pair.sizes`.

    Raises
    ------
    MappingError
        If a declaration has a name that the subject or the reference does not have.
    """
    result = {name: parse(name, declaration, sizes, "buffers") for name, declaration in declared.items()}
    for name, buffer in result.items():
        if name not in own:
            raise MappingError(f"buffers has the key {name!r}, expected an attribute or buffer of your code: {', '.join(own) or 'none'}")
        if buffer.name not in expected:
            raise MappingError(f"buffers[{name!r}] is {buffer.name!r}, expected a statistic of the reference: {', '.join(expected) or 'none'}")
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
            found = f"{'several arrays' if ways else 'no array'} with the name and shape of {theirs} {shape}"
            absent[theirs] = f"not compared: your code has {found}; declare buffers={{'NAME': {theirs!r}}}"
    return result, inferred, absent


def other_starts(own: Mapping[str, Any], buffers: Mapping[str, Parameter], reference: Mapping[str, Array]) -> list[str]:
    """Return sentences on running statistics that start with another number than the reference's.

    Parameters
    ----------
    own : mapping
        The values in a new layer, by the subject's names.
    buffers : mapping
        The matched statistics.
    reference : mapping
        The values in the reference, by its names.
    """
    starts = {name: (_number(own.get(name)), _number(reference.get(buffer.name)), buffer.name) for name, buffer in buffers.items()}
    return [
        f"{name} starts at {ours:g}, the reference's {theirs_name} at {theirs:g}; they are compared from equal starts"
        for name, (ours, theirs, theirs_name) in starts.items()
        if ours is not None and theirs is not None and ours != theirs
    ]


def _number(values: Any) -> float | None:
    """Return the number that all elements are; None if they differ, or there are none."""
    if values is None:
        return None
    different = np.unique(np.asarray(values, np.float64))
    return float(different[0]) if len(different) == 1 else None
