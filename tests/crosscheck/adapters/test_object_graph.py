"""Arrays of an object graph are found once, whatever holds them, and written where they are."""

from __future__ import annotations

from types import SimpleNamespace as Thing
from typing import Any

import numpy as np
import pytest

from crosscheck.adapters.object_graph import arrays_in, read, write

ARRAY = np.ones(2)
CIRCLE = Thing(W=ARRAY)
CIRCLE.network = Thing(layer=CIRCLE)


class Needing:
    """Methods with the names of collections that are something else."""

    def parameters(self, which: str) -> Any:
        raise AssertionError(which)

    @property
    def params(self) -> Any:
        raise ValueError("not yet")


GRAPHS: dict[str, tuple[Any, list[tuple[str | int, ...]]]] = {
    "circle": (CIRCLE, [("W",)]),
    "private-last": (Thing(_a=ARRAY, b=ARRAY), [("b",), ("_a",)]),
    "no-real-numbers": (Thing(ids=np.arange(3), flag=True, name="x", rate=0.1, function=np.sum, kind=np.ndarray, module=np), []),
    "numbers-of-a-collection": (Thing(params={"scale": 2.0, "shift": np.float64(1)}), [("params", "scale"), ("params", "shift")]),
    "methods-of-another-kind": (Needing(), []),
}


@pytest.mark.parametrize("case", GRAPHS)
def test_arrays(case: str) -> None:
    root, expected = GRAPHS[case]
    assert [path for path, _ in arrays_in(root)] == expected


@pytest.mark.parametrize("value", [np.zeros(2), np.zeros(2, np.float32), np.zeros(3)], ids=["same", "precision", "shape"])
@pytest.mark.parametrize("path", [("a", "W"), ("b", "W"), ("c", 0)], ids=["attribute", "key", "position"])
def test_written(path: tuple[str | int, ...], value: Any) -> None:
    root = Thing(a=Thing(W=np.ones(2)), b={"W": np.ones(2)}, c=[np.ones(2)])
    before = read(root, path)
    write(root, path, value)
    assert np.array_equal(read(root, path), value)
    assert (read(root, path) is before) == (value.shape == before.shape and value.dtype == before.dtype)


@pytest.mark.parametrize("path", [("a",), ("b", 0), ("c", "W"), ("c", 1), ("d", 0)])
def test_nothing_there(path: tuple[str | int, ...]) -> None:
    with pytest.raises((LookupError, AttributeError)):
        read(Thing(b={}, c=[1], d=Thing()), path)
