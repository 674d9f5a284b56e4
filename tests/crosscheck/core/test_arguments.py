"""Declared inputs: their axes, the numbers that they hold, and the calls with special values that belong to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from crosscheck.core.arguments import Argument, Case, Input, Integers, Labels, Mask, Target, flat, quantity_of_output, specials_of
from crosscheck.core.inputs import FAMILIES

SIZES = {"batch": 6, "time": 4, "classes": 5}
SHAPE = (6, 4)


def drawn(argument: Argument, family: str = "normal", seed: int = 0, **sizes: int) -> npt.NDArray[Any]:
    return argument.draw(np.random.default_rng(seed), FAMILIES[family], {**SIZES, **sizes}, "float32")


KINDS: dict[str, tuple[Argument, Callable[[npt.NDArray[Any]], bool]]] = {
    "unit": (Input("batch time", "unit"), lambda x: bool(((x > 0) & (x < 1)).all())),
    "positive": (Input("batch time", "positive"), lambda x: bool((x > 0).all())),
    "distribution": (
        Input("batch time", "distribution"),
        lambda x: bool((x > 0).all()) and np.unique(np.rint(x.sum(-1) * 2**20)).tolist() == [2**20],
    ),
    "log-distribution": (Target("batch time", "log-distribution"), lambda x: bool((x < 0).all())),
    "sign": (Target("batch time", "sign"), lambda x: set(np.unique(x)) == {-1.0, 1.0}),
    "integers": (Integers("batch time", below=5, also=[3]), lambda x: {0, 3, 4} <= set(np.unique(x)) <= set(range(5))),
    "labels": (Labels("batch time", below="classes"), lambda x: {0, 4} <= set(np.unique(x)) <= set(range(5))),
    "labels without the ignored one": (Labels("batch time", below="classes", ignored=2), lambda x: 2 not in x and {0, 4} <= set(np.unique(x))),
    "labels with another": (Labels("batch time", below="classes", also=(9,)), lambda x: {0, 4, 9} <= set(np.unique(x)) <= {*range(5), 9}),
    "mask": (Mask("batch time"), lambda x: bool(x.any(axis=-1).all() and not x[:, -1].any() and 1 in x.sum(axis=-1))),
    "mask of what is hidden": (Mask("batch time", hidden=True), lambda x: bool((~x).any(axis=-1).all() and x[:, -1].all())),
}


@pytest.mark.parametrize("family", ["normal", "huge", "kinks", "digits"])
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_those_that_the_function_is_defined_for(kind: str, family: str) -> None:
    argument, holds = KINDS[kind]
    found = drawn(argument, family)
    assert found.shape == SHAPE
    assert holds(found)


@pytest.mark.parametrize("argument", [Integers("batch", below=7), Labels("batch", below=7)], ids=["integers", "labels"])
def test_a_single_number_is_the_last(argument: Argument) -> None:
    """So that an index that is too large by one is out of range."""
    assert drawn(argument, batch=1).tolist() == [6]


def test_many_ids_repeat() -> None:
    found = drawn(Integers("batch time", below=5))
    assert len(np.unique(found)) < found.size


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "kind": (lambda: Input("batch", "odd"), "Input is declared of='odd', expected one of 'real', "),  # type: ignore[arg-type]
    "axis": (lambda: Input("batch 3x"), "the shape 'batch 3x' has the axis '3x'"),
    "length": (lambda: Input((3, 0)), "the shape (3, 0) has the axis 0, expected names and lengths of at least 1"),
    "no number": (lambda: Integers("batch", below=0), "below is 0, expected a whole number of at least 1, or the name of an axis"),
    "half a number": (lambda: Labels("batch", below=2.5), "below is 2.5"),  # type: ignore[arg-type]
    "no name": (lambda: Integers("batch", below="3x"), "below is '3x'"),
    "one number": (lambda: Integers("batch", below=3, also=3), "also is 3, expected whole numbers, such as (0,)"),  # type: ignore[arg-type]
    "fraction": (lambda: Input((3, 0.5)), "has the axis 0.5"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_declaration_names_what_is_wrong(wrong: str) -> None:
    make, text = WRONG[wrong]
    with pytest.raises(ValueError, match="expected") as caught:
        make()
    assert text in str(caught.value)


def test_several_masks_hide_no_row_together() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        padding, attention = (Mask(shape).draw(rng, FAMILIES["normal"], {}, "float32") for shape in ((3, 1, 7), (5, 7)))
        assert (padding & attention).any(axis=-1).all()


def changed(argument: Argument, words: str) -> npt.NDArray[Any]:
    """Return the first four rows of an input with the special values of these words."""
    special = next(one for one in specials_of({"it": argument}) if one.words == words)
    return special.change(drawn(argument)).ravel()


def test_ignored_labels() -> None:
    labels = Labels("batch time", below="classes", ignored=-100)
    count = 24
    kept = {
        words: int((changed(labels, words) != -100).sum()) for words in ("some labels ignored", "all labels but one ignored", "all labels ignored")
    }
    assert kept == {"some labels ignored": count // 2, "all labels but one ignored": 1, "all labels ignored": 0}


@pytest.mark.parametrize("hidden", [False, True])
def test_a_hidden_row(hidden: bool) -> None:
    mask = Mask("batch time", hidden=hidden)
    rows = changed(mask, "a row of it completely hidden").reshape(SHAPE)
    assert (rows == hidden).all(axis=-1).sum() == 1


def test_nothing_is_special_about_other_inputs() -> None:
    assert specials_of({"a": Input("batch"), "b": Labels("batch", below=3), "c": Integers("batch", below=3)}) == []


CASES = {
    "one input": (Case({"input": Input("batch time")}, SIZES), "6x4"),
    "labels are not worth a word": (Case({"input": Input("batch time"), "labels": Labels("batch", below="time")}, SIZES), "6x4"),
    "several": (Case({"a": Input("batch"), "b": Input("time 2")}, SIZES), "a 6, b 4x2"),
    "a number": (Case({"input": Input("")}, SIZES), "1"),
}


@pytest.mark.parametrize("case", CASES)
def test_case_in_words(case: str) -> None:
    found, text = CASES[case]
    assert str(found) == text


def test_cases_of_the_same_shapes_are_equal() -> None:
    one, other = (Case({"input": Input(axes)}, {"n": 3, "m": 3}) for axes in ("n m", "m n"))
    assert one == other
    assert one != one.resized({"m": 4})
    assert len({one, other}) == 1


@pytest.mark.parametrize(
    ("value", "kept", "found"),
    [((1, (2, [3])), False, [1, 2, 3]), ({"a": 1, "b": None}, False, [1]), ((None, (1,)), True, [None, 1]), (7, False, [7])],
)
def test_flat(value: Any, kept: bool, found: list[Any]) -> None:
    assert flat(value, kept) == found


@pytest.mark.parametrize(
    ("name", "names", "quantity"), [("y", ["y"], "output"), ("output", ["output", "h"], "output"), ("h", ["output", "h"], "output.h")]
)
def test_names_of_outputs(name: str, names: list[str], quantity: str) -> None:
    assert quantity_of_output(name, names) == quantity


ATTENTION = {"query": Input("batch q dim"), "key": Input("batch k dim")}
IN_WORDS: dict[str, tuple[Case, str, str]] = {
    "one input": (Case({"x": Input("batch q")}, {"batch": 2, "q": 3}, named=True), "2x3", "2x3"),
    "named axes": (Case(ATTENTION, {"batch": 2, "q": 3, "k": 7, "dim": 4}, named=True), "batch 2, q 3, k 7, dim 4", "q 3, k 7"),
    "axes without names": (Case(ATTENTION, {"batch": 2, "q": 3, "k": 7, "dim": 4}), "query 2x3x4, key 2x7x4", "query 2x3x4, key 2x7x4"),
    "nothing differs": (Case(ATTENTION, {"batch": 2, "q": 5, "k": 5, "dim": 4}, named=True), "batch 2, q 5, k 5, dim 4", "batch 2, q 5, k 5, dim 4"),
    "labels follow": (Case({"x": Input("batch dim"), "y": Labels("batch", below="dim")}, {"batch": 2, "dim": 4}, named=True), "2x4", "2x4"),
}


@pytest.mark.parametrize("name", IN_WORDS)
def test_lengths_in_words(name: str) -> None:
    """In full, and beside a declared case."""
    case, whole, beside = IN_WORDS[name]
    declared = Case(ATTENTION, {"batch": 2, "q": 5, "k": 5, "dim": 4}, named=True)
    assert (str(case), case.beside(declared)) == (whole, beside)
