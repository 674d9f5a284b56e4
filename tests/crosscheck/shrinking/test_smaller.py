"""The steps by which a call is made smaller."""

from __future__ import annotations

import numpy as np

from crosscheck.core.operation import Call
from crosscheck.shrinking.smaller import complexity, linked_axes, ranked


def test_ranks_keep_order_signs_ties_and_zeros() -> None:
    x = np.array([0.5, -3.0, 0.0, 0.5, 7.0, -0.1])
    assert list(ranked(x)) == [1, -2, 0, 1, 2, -1]


def test_axes_of_one_length_are_linked() -> None:
    call = Call(np.zeros((3, 5)), {"weight": np.zeros((7, 5)), "bias": np.zeros(7)}, np.zeros((3, 7)))
    linked = linked_axes(call, lambda length: length == 7)
    assert [each.axes for each in linked] == [(("inputs.input", 0),), (("inputs.input", 1), ("params.weight", 1))]


def test_fewer_elements_are_simpler_than_plainer_ones() -> None:
    few, plain = (Call(np.full(size, value)) for size, value in ((2, 0.3), (3, 0.0)))
    assert complexity(few) < complexity(plain)
