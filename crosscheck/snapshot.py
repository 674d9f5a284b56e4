"""What something in progress remembers, as plain data: restored in another process, it goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy.typing as npt

AnyArray = npt.NDArray[Any]


class Snapshot(NamedTuple):
    """A state between two steps.

    Attributes
    ----------
    arrays : mapping of str to array
        Copies.
    facts : dict
        The rest, as JSON can say it.
    """

    arrays: Mapping[str, AnyArray]
    facts: dict[str, Any]


def joined(parts: Mapping[str, Snapshot]) -> Snapshot:
    """Return several snapshots, whose names hold no slash, as one."""
    arrays = {f"{name}/{own}": value for name, part in parts.items() for own, value in part.arrays.items()}
    return Snapshot(arrays, {name: part.facts for name, part in parts.items()})


def parted(snapshot: Snapshot) -> dict[str, Snapshot]:
    """Return the snapshots that :func:`joined` joined."""
    arrays: dict[str, dict[str, AnyArray]] = {name: {} for name in snapshot.facts}
    for key, value in snapshot.arrays.items():
        name, _, own = key.partition("/")
        arrays[name][own] = value
    return {name: Snapshot(arrays[name], facts) for name, facts in snapshot.facts.items()}
