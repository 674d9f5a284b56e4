"""Snapshots merged and split."""

from __future__ import annotations

import numpy as np

from crosscheck.core.training import Snapshot, merge, split


def equal(one: Snapshot, other: Snapshot) -> bool:
    bits = [{name: (value.dtype, value.shape, value.tobytes()) for name, value in snapshot.arrays.items()} for snapshot in (one, other)]
    return bits[0] == bits[1] and one.facts == other.facts


def test_joined_and_parted() -> None:
    parts = {"one": Snapshot({"a/b": np.ones(2)}, {"x": 1}), "none": Snapshot({}, {}), "two": Snapshot({"a/b": np.zeros(3)}, {})}
    found = split(merge(parts))
    assert list(found) == list(parts)
    assert all(equal(found[name], part) for name, part in parts.items())
