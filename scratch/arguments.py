"""Checks of what constructors are given: whole numbers, and pairs of them for height and width."""

from __future__ import annotations

import numbers
from typing import Any

Pair = tuple[int, int]
"""Vertical and horizontal: (height, width)."""


def whole(value: Any, name: str, least: int) -> int:
    """Return a whole number of at least ``least``, or raise a ValueError that calls it by this name."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value!r}: expected a whole number of at least {least}")
    return int(value)


def pair(value: Any, name: str, least: int) -> Pair:
    """Return ``(height, width)`` from one whole number for both, or from a pair; each must be at least ``least``."""
    values = value if isinstance(value, tuple | list) else (value, value)
    if len(values) != 2 or any(not isinstance(v, numbers.Integral) or isinstance(v, bool) or v < least for v in values):
        raise ValueError(f"{name}={value!r}: expected whole numbers of at least {least}: one, or a pair (height, width)")
    return int(values[0]), int(values[1])
