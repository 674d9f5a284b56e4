"""The steps by which a call is made smaller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from crosscheck import Input, Integers, Labels, Mask, Target
from crosscheck.core.arguments import Inputs
from crosscheck.core.operation import Call
from crosscheck.shrinking.smaller import Axis, complexity, input_axes, linked_axes, ranked, taken, window


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


def test_smaller_labels_and_targets_are_simpler() -> None:
    for large, small in ((np.array([2, 0]), np.array([1, 0])), (np.array([0.25, 0.0]), np.array([0.0, 0.0]))):
        assert complexity(Call(np.zeros(2), constants={"target": small})) < complexity(Call(np.zeros(2), constants={"target": large}))


ATTENTION = Call({"query": np.zeros((2, 3, 4)), "key": np.zeros((2, 5, 4)), "value": np.zeros((2, 5, 6))}, constants={"mask": np.ones((3, 5), bool)})
TAKES: Inputs = {"query": Input("batch q dim"), "key": Input("batch k dim"), "value": Input("batch k 6"), "mask": Mask("q k")}


def test_axes_of_one_name_are_cut_together() -> None:
    """In all inputs, those without a gradient included; an axis without a name is alone."""
    found = {each.axes: each.length for each in input_axes(ATTENTION, taken(TAKES, ATTENTION))}
    assert found == {
        (("inputs.query", 0), ("inputs.key", 0), ("inputs.value", 0)): 2,
        (("inputs.query", 1), ("constants.mask", 0)): 3,
        (("inputs.query", 2), ("inputs.key", 2)): 4,
        (("inputs.key", 1), ("inputs.value", 1), ("constants.mask", 1)): 5,
        (("inputs.value", 2),): 6,
    }


def test_only_input_with_a_gradient_has_its_short_name() -> None:
    call = Call(np.zeros((2, 3)), constants={"y": np.zeros(2, np.int64)})
    assert [each.axes for each in input_axes(call, taken({"logits": Input("n c"), "y": Labels("n", below="c")}, call))] == [
        (("inputs.input", 0), ("constants.y", 0)),
        (("inputs.input", 1),),
    ]


@dataclass(frozen=True)
class Cut:
    """A call with one input without a gradient, what is cut, and what then is left of this input."""

    takes: Inputs
    given: list[Any]
    cuts: dict[Axis, slice]
    left: list[Any]
    params: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def call(self) -> Call:
        name = next(name for name, one in self.takes.items() if not one.gradient)
        return Call(
            {"input": np.zeros((2, 4))} if len(self.takes) > 1 else {},
            {n: np.zeros(s) for n, s in self.params.items()},
            None,
            {name: np.array(self.given)},
        )


LOGITS, IDS = {"input": Input("n c")}, {"ids": Integers("n", below=5)}
CUTS = {
    "labels follow the samples": Cut(
        {**LOGITS, "y": Labels("n", below="c")}, [3, 1], {("inputs.input", 0): slice(1, 2), ("constants.y", 0): slice(1, 2)}, [1]
    ),
    "labels stay below the classes": Cut({**LOGITS, "y": Labels("n", below="c")}, [3, 1], {("inputs.input", 1): slice(0, 2)}, [1, 1]),
    "labels are counted from the first class": Cut({**LOGITS, "y": Labels("n", below="c")}, [3, 1], {("inputs.input", 1): slice(2, 4)}, [1, 0]),
    "ignored labels stay ignored": Cut(
        {**LOGITS, "y": Labels("n", below="c", ignored=-100)}, [-100, 3], {("inputs.input", 1): slice(0, 2)}, [-100, 1]
    ),
    "an ignored class stays ignored": Cut({**LOGITS, "y": Labels("n", below="c", ignored=2)}, [2, 3], {("inputs.input", 1): slice(0, 2)}, [2, 1]),
    "targets are no labels": Cut({**LOGITS, "y": Target("n")}, [3.5, 1.0], {("inputs.input", 1): slice(0, 2)}, [3.5, 1.0]),
    "ids stay below the rows of the table": Cut(IDS, [4, 0, 2], {("params.w", 0): slice(0, 2)}, [1, 0, 1], {"w": (5, 3)}),
    "ids without a table stay": Cut(IDS, [4, 0, 2], {("params.w", 0): slice(0, 2)}, [4, 0, 2], {"w": (6, 3)}),
    "paddings outside the range stay": Cut(
        {"ids": Integers("n", below=5, also=(-1,))}, [4, -1], {("params.w", 0): slice(0, 2)}, [1, -1], {"w": (5, 3)}
    ),
    "a row of a mask keeps a place": Cut(
        {"m": Mask("n k")}, [[True, False, False], [False, True, True]], {("constants.m", 1): slice(1, 3)}, [[True, False], [True, True]]
    ),
    "also where true is hidden": Cut({"m": Mask("n k", hidden=True)}, [[False, True, True]], {("constants.m", 1): slice(1, 3)}, [[False, True]]),
    "a row that was hidden stays hidden": Cut(
        {"m": Mask("n k")}, [[False, False, False], [False, True, True]], {("constants.m", 1): slice(1, 3)}, [[False, False], [True, True]]
    ),
}


@pytest.mark.parametrize("name", CUTS)
def test_inputs_without_a_gradient_stay_valid(name: str) -> None:
    row = CUTS[name]
    call = row.call()
    smaller = window(call, row.cuts, lambda call: {}, taken(row.takes, call))
    (left,) = smaller.constants.values()
    assert left.tolist() == row.left
    assert next(iter(call.constants.values())).tolist() == row.given
