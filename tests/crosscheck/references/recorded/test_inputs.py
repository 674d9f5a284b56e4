"""What a recorded reference takes: it is read as it was written, and nothing else is believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from crosscheck import Input, Integers, Labels, Mask, Target
from crosscheck.core.arguments import Case
from crosscheck.references.recorded.inputs import case_of, described

CASES = {
    "one": Case({"input": Input("batch features")}, {"batch": 3, "features": 4}, named=True),
    "lengths": Case({"a": Input((4, 3)), "b": Input((3, "n"))}, {"n": 2}),
    "a single number": Case({"x": Input("n"), "scale": Target("")}, {"n": 2}),
    "ids": Case({"ids": Integers("batch time", below=50, also=(-1, 7))}, {"batch": 2, "time": 3}),
    "labels": Case({"x": Input("batch classes"), "y": Labels("batch", below="classes", ignored=-100)}, {"batch": 2, "classes": 3}),
    "labels, none ignored": Case({"x": Input("batch 3"), "y": Labels("batch", below=3)}, {"batch": 2}),
    "masks": Case({"x": Input("time"), "m": Mask("time"), "hidden": Mask("time", hidden=True)}, {"time": 2}),
    "targets": Case({"x": Input("n", of="unit"), "y": Target("n", of="distribution")}, {"n": 2}),
}


def parts(case: Case) -> Any:
    axes = {name: (type(one), one.axes, {key: value for key, value in vars(one).items() if key != "shape"}) for name, one in case.inputs.items()}
    return axes, case.sizes, case.named


@pytest.mark.parametrize("name", CASES)
def test_description_is_read_as_it_was_written(name: str) -> None:
    again = case_of(json.loads(json.dumps(described(CASES[name]))))
    assert parts(again) == parts(CASES[name])


@dataclass(frozen=True)
class Own(Input):
    """A kind of input that a user has written."""


def test_unknown_kind_is_not_described() -> None:
    assert described(Case({"x": Own("n")}, {"n": 2})) is None


def _with(place: str, **changes: Any) -> Callable[[dict[str, Any]], Any]:
    """Return a change of an input (or of the whole description, if ``place`` is empty)."""

    def change(description: dict[str, Any]) -> Any:
        changed = json.loads(json.dumps(description))
        next((one for one in changed["inputs"] if one["name"] == place), changed).update(changes)
        return changed

    return change


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no description": (lambda _: 3, "does not name inputs"),
    "no sizes": (lambda given: {"inputs": given["inputs"]}, "does not name inputs"),
    "no inputs": (_with("", inputs=[]), "0 inputs"),
    "inputs are a number": (_with("", inputs=3), "does not name inputs"),
    "input is a number": (_with("", inputs=[3]), "no input of a kind"),
    "unknown kind": (_with("x", kind="Path"), "no input of a kind"),
    "name is a number": (_with("x", name=3), "no input of a kind"),
    "further entry": (_with("x", code="rm"), "is no Input"),
    "axis is a list": (_with("x", shape=[["batch"], "classes"]), "has the axis"),
    "axis of length 0": (_with("x", shape=["batch", 0]), "has the axis"),
    "unknown numbers": (_with("x", of="complex"), "expected one of"),
    "numbers are a list": (_with("x", of=["real"]), "of is"),
    "no number below": (_with("y", below=0), "below is 0"),
    "below a truth": (_with("y", below=True), "below is True"),
    "ignored is a word": (_with("y", ignored="none"), "ignored is 'none'"),
    "also is a number": (_with("y", also=3), "also is 3"),
    "hidden is a number": (_with("m", hidden=1), "hidden is 1"),
    "length is missing": (_with("", sizes={"batch": 2}), "lengths of batch"),
    "length of nothing": (_with("", sizes={"batch": 2, "classes": 3, "time": 1}), "lengths of batch, classes, time"),
    "length of 0": (_with("", sizes={"batch": 2, "classes": 0}), "are not lengths"),
    "length is a truth": (_with("", sizes={"batch": True, "classes": 2}), "are not lengths"),
    "length is a word": (_with("", sizes={"batch": "2", "classes": 2}), "are not lengths"),
    "named is a word": (_with("", named="yes"), "named is 'yes'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_description_is_refused(name: str) -> None:
    change, words = BROKEN[name]
    inputs = {"x": Input("batch classes"), "y": Labels("batch", below="classes"), "m": Mask("batch")}
    right = described(Case(inputs, {"batch": 2, "classes": 3}))
    assert right is not None
    with pytest.raises(ValueError, match=words):
        case_of(change(right))
