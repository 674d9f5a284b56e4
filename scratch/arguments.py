"""Checks of the arguments of constructors: whole numbers, and pairs of them for height and width."""

from __future__ import annotations

import numbers
from typing import Any

Pair = tuple[int, int]
"""Vertical and horizontal: (height, width)."""


def whole(value: Any, name: str, least: int) -> int:
    """Return a whole number of at least ``least``; otherwise raise a ValueError that contains ``name``."""
    if not _is_whole(value, least):
        raise ValueError(f"{name}={value!r}: expected a whole number of at least {least}")
    return int(value)


def pair(value: Any, name: str, least: int) -> Pair:
    """Return ``(height, width)`` from one whole number for both, or from a pair; each must be at least ``least``."""
    values = value if isinstance(value, tuple | list) else (value, value)
    if len(values) != 2 or not all(_is_whole(v, least) for v in values):
        raise ValueError(f"{name}={value!r}: expected whole numbers of at least {least}: one, or a pair (height, width)")
    return int(values[0]), int(values[1])


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least
