"""Sizes that the harness derives: from which axes, at which lengths, within which budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from crosscheck.core.arguments import Case, Input
from crosscheck.pairs.sizes import BUDGET, derived

Sizes = Mapping[str, int]


def of_shape(*lengths: int) -> Case:
    names = [f"axis{number}" for number in range(len(lengths))]
    return Case({"input": Input(names)}, dict(zip(names, lengths, strict=True)))


def shapes(case: Case, accepts: Callable[[Sizes], bool] = lambda sizes: True, fixed: frozenset[str] = frozenset()) -> list[tuple[int, ...]]:
    return [one.shape for one in derived([case], lambda other: accepts(other.sizes), fixed, "axis0").cases]


def test_every_axis_is_one_odd_longer_and_unequal() -> None:
    found = shapes(of_shape(4, 6, 6))
    assert {(1, 6, 6), (4, 1, 6), (4, 6, 1)} <= set(found)
    equal = [shape for shape in found if len({*shape}) == 1]
    assert len(equal) == 1
    mixed = [shape for shape in found if 1 not in shape and shape not in equal]
    assert all(len({*shape}) == len(shape) for shape in mixed)
    for axis in (1, 2):
        lengths = {shape[axis] for shape in mixed}
        assert any(length % 2 for length in lengths)
        assert max(lengths) > 2 * 6
        assert {length % 3 for length in lengths} != {0}


def test_axes_that_cannot_change_stay() -> None:
    case = of_shape(4, 6, 5)
    found = derived([case], lambda other: other.sizes["axis1"] == 6, frozenset(), "axis0")
    assert found.refused == ("axis1",)
    assert {one.shape[1] for one in found.cases} == {6}


def test_fixed_axes_stay() -> None:
    assert {shape[2] for shape in shapes(of_shape(4, 6, 5), fixed=frozenset({"axis2"}))} == {5}
    assert shapes(of_shape(4, 6), fixed=frozenset({"axis0", "axis1"})) == []


def test_equal_axes_that_depend_on_each_other_change_together() -> None:
    """A square matrix stays square."""
    found = shapes(of_shape(3, 5, 5), lambda sizes: sizes["axis1"] == sizes["axis2"])
    assert len(found) > 3
    assert all(shape[1] == shape[2] for shape in found)
    assert {shape[1] for shape in found} >= {1, 6}


def test_inner_axis_of_two_inputs_changes_in_both() -> None:
    case = Case({"a": Input(("a·0", "a·1")), "b": Input(("b·0", "b·1"))}, {"a·0": 3, "a·1": 4, "b·0": 4, "b·1": 5})
    found = derived([case], lambda other: other.sizes["a·1"] == other.sizes["b·0"], frozenset(), "a·0").cases
    assert {one.sizes["a·1"] for one in found} >= {1, 4, 5}


def of_squares(*names: str) -> Case:
    """Return a case of inputs that are square matrices of equal size, declared by their lengths."""
    inputs = {name: Input((f"{name}·0", f"{name}·1")) for name in names}
    return Case(inputs, {axis: 4 for one in inputs.values() for axis in one.axes if isinstance(axis, str)})


def test_axes_at_the_same_place_of_all_inputs_change_together() -> None:
    """A sum of three matrices that happen to be square."""

    def alike(case: Case) -> bool:
        return len({*case.shapes.values()}) == 1

    found = derived([of_squares("a", "b", "c")], alike, frozenset(), "").cases
    assert any(one.sizes["a·0"] != one.sizes["a·1"] for one in found)


def test_few_sizes_are_asked_for() -> None:
    """The number of attempts grows with the square of the number of axes, not with that of their subsets."""
    asked = list[Case]()

    def refused(case: Case) -> bool:
        asked.append(case)
        return False

    derived([of_squares(*"abcdef")], refused, frozenset(), "")
    assert len(asked) < 12 * 12 * 10


def test_name_of_an_axis_does_not_matter() -> None:
    def lengths(*axes: str) -> list[tuple[int, ...]]:
        case = Case({"a": Input((*axes,))}, dict.fromkeys(axes, 4))
        return [one.shape for one in derived([case], lambda other: len({*other.sizes.values()}) == 1, frozenset(), "").cases]

    assert lengths("qlen", "klen") == lengths("q_len", "k_len") == lengths("axisq", "axisk") == []


def test_blocks_come_whole() -> None:
    """A pixel shuffle takes multiples of four channels only."""
    assert {shape[1] for shape in shapes(of_shape(2, 4), lambda sizes: sizes["axis1"] % 4 == 0)} == {4, 8, 12}


def test_broadcasting_is_no_size() -> None:
    """Only a length of 1 is accepted beside the declared one: this is another function."""
    assert {shape[1] for shape in shapes(of_shape(3, 5), lambda sizes: sizes["axis1"] in (1, 5))} == {5}


def test_sizes_that_are_refused_together_are_tried_alone() -> None:
    """The reference takes either axis longer, but not both."""
    found = shapes(of_shape(3, 4, 5), lambda sizes: sizes["axis1"] <= 4 or sizes["axis2"] <= 5)
    assert any(shape[1] > 4 for shape in found)
    assert any(shape[2] > 5 for shape in found)


@pytest.mark.parametrize("case", [of_shape(64, 28, 28), of_shape(2, 90, 90), of_shape(3, 3, 224, 224)], ids=str)
def test_budget(case: Case) -> None:
    """Large cases get fewer samples, or are left out: what is derived is never larger than the budget, unless what is declared is."""
    found = derived([case], lambda other: True, frozenset(), "axis0").cases
    assert found
    assert all(one.elements <= max(BUDGET, case.elements) for one in found)


def test_one_size_of_each_kind_where_a_size_costs_much_time() -> None:
    case = of_shape(4, 6, 6)
    found = [one.shape for one in derived([case], lambda other: True, frozenset(), "axis0", few=True).cases]
    assert len(found) == 3
    assert set(found) < set(shapes(case))
    assert 1 in found[0]
    assert max(found[2]) > 2 * 6
