"""The lines at the end of an error work when they are pasted, and lose nothing of what was declared before."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from crosscheck.adapters.match_params import MappingError, mapped

Shapes = Mapping[str, tuple[int, ...]]
ASKED: dict[str, tuple[Shapes, Shapes, dict[str, str], dict[str, Any]]] = {
    # name: your shapes, the reference's, what is declared, and what the first line declares
    "square": ({"W": (4, 4)}, {"weight": (4, 4)}, {}, {"params": {"W": "weight"}}),
    "beside-a-declared-one": (
        {"W": (4, 4), "b": (4,), "c": (4,)},
        {"weight": (4, 4), "one": (4,), "two": (4,)},
        {"W": "weight: i o -> o i"},
        {"params": {"W": "weight: i o -> o i", "b": "one", "c": "two"}},
    ),
    "misspelt": (
        {"weights": (5, 3), "b": (3,)},
        {"weight": (3, 5), "bias": (3,)},
        {"wieghts": "weight: i o -> o i"},
        {"params": {"weights": "weight: i o -> o i"}},
    ),
    "misspelt-reference": (
        {"W": (5, 3), "b": (3,)},
        {"weight": (3, 5), "bias": (3,)},
        {"b": "bias", "W": "wieght: i o -> o i"},
        {"params": {"b": "bias", "W": "weight: i o -> o i"}},
    ),
    "too-many": (
        {"W": (5, 3), "b": (3,), "c": (7,)},
        {"weight": (3, 5), "bias": (3,)},
        {"b": "bias"},
        {"params": {"b": "bias", "W": "weight: a b -> b a"}},
    ),
    "flat": (
        {"W": (15,), "b": (3,)},
        {"weight": (3, 5), "bias": (3,)},
        {},
        {"params": {"W": "weight: (a b) -> a b", "b": "bias"}, "sizes": {"a": 3, "b": 5}},
    ),
    "flat-reference": ({"W": (3, 5)}, {"weight": (15,)}, {}, {"params": {"W": "weight: a b -> (a b)"}, "sizes": {"a": 3, "b": 5}}),
}


def suggested(subject: Shapes, reference: Shapes, declared: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what the lines of the error declare."""
    with pytest.raises(MappingError) as caught:
        mapped(subject, reference, declared, {})
    _, *lines = str(caught.value).splitlines()
    calls = [ast.parse(f"dict({line.strip()})", mode="eval").body for line in lines]
    return [{one.arg: ast.literal_eval(one.value) for one in call.keywords if one.arg} for call in calls if isinstance(call, ast.Call)]


@pytest.mark.parametrize("case", ASKED)
def test_first_line_works(case: str) -> None:
    subject, reference, declared, expected = ASKED[case]
    first = suggested(subject, reference, declared)[0]
    assert first == expected
    result, _ = mapped(subject, reference, first["params"], first.get("sizes", {}))
    shapes = {one.name: one.layout.to_reference(np.zeros(subject[name])).shape for name, one in result.items()}
    assert shapes == dict(reference)


def test_flat_in_both_orders() -> None:
    found = suggested({"W": (15,)}, {"weight": (3, 5)}, {})
    assert [one["params"]["W"] for one in found] == ["weight: (a b) -> a b", "weight: (b a) -> a b"]


@pytest.mark.parametrize(
    ("subject", "reference", "text"),
    [
        ({"W": (5, 4)}, {"weight": (3, 5)}, '\n    params={"W": "NAME: PATTERN"}, such as "weight: i o -> o i"'),
        ({"W": (5, 3)}, {"weight": (3, 5), "bias": (3,)}, '\n    params={"NAME": "weight"}'),
        ({"W": (2,)}, {}, '\n    params={"NAME": "NAME"}'),
    ],
    ids=["no-way", "too-few", "no-parameters"],
)
def test_nothing_fits(subject: Shapes, reference: Shapes, text: str) -> None:
    """There is no line that works, but one that shows the form."""
    with pytest.raises(MappingError) as caught:
        mapped(subject, reference, {}, {})
    assert str(caught.value).endswith(text)
