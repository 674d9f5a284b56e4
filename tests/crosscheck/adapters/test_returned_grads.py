"""Gradients of parameters that a backward method returns are told from those of the inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crosscheck.adapters.returned_grads import orders_of_returned, split
from crosscheck.core.guard import SubjectError

DX, DW, DB = np.ones((2, 4)), np.ones((4, 3)), np.ones(3)
SHAPES = {"W": (4, 3), "b": (3,)}

ORDERS: dict[str, tuple[Any, Any, list[tuple[str, ...]]]] = {
    "in-order": ((DX, DW, DB), SHAPES, [("W", "b")]),
    "other-order": ((DX, DB, DW), SHAPES, [("b", "W")]),
    "several-inputs": ((DX, DX, DX, DW, DB), SHAPES, [("W", "b")]),
    "no-input": ((DW, DB), SHAPES, [("W", "b")]),
    "dict": ((DX, {"db": DB, "W": DW}), SHAPES, [("W", "b")]),
    "nested-names": ((DX, {"dW": DW}), {"inner.W": (4, 3)}, [("inner.W",)]),
    "one-shape": ((DX, DB, DB), {"gamma": (3,), "beta": (3,)}, [("gamma", "beta"), ("beta", "gamma")]),
    "other-shapes": ((DX, DX, DX), SHAPES, []),
    "incomplete-dict": ((DX, {"dW": DW}), SHAPES, [("W", "b")]),
    "dict-of-something-else": ((DX, {"loss": DB}), SHAPES, []),
    "one-missing": ((DX, DW, None), SHAPES, [("W", "b")]),
    "all-missing": ((DX, None, None), SHAPES, []),
    "too-few": ((DW,), SHAPES, []),
    "only-the-input": (DX, SHAPES, []),
    "no-parameters": ((DX, DX), {}, []),
    "nothing": (None, SHAPES, []),
}


@pytest.mark.parametrize("case", ORDERS)
def test_orders(case: str) -> None:
    result, shapes, expected = ORDERS[case]
    assert orders_of_returned(result, shapes) == expected


SPLITS: dict[str, tuple[Any, Any]] = {
    "one-input": ((DX, DW, DB), DX),
    "several-inputs": ((DX, DX, DW, DB), (DX, DX)),
    "no-input": ((DW, DB), None),
    "dict": ([DX, {"dW": DW, "grad_b": DB}], DX),
}


@pytest.mark.parametrize("case", SPLITS)
def test_split(case: str) -> None:
    result, expected = SPLITS[case]
    grad_input, grads = split(result, ("W", "b"))
    assert str(grad_input) == str(expected)
    assert grads["W"] is DW
    assert grads["b"] is DB


def test_too_few() -> None:
    with pytest.raises(SubjectError, match=r"^backward returned 1 values, expected the input's gradient and those of W, b$"):
        split(DX, ("W", "b"))
