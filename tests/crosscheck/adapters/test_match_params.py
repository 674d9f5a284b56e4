"""Parameters are mapped where there is exactly one way; where there are several, or none, the error lists them. Nothing is transposed in silence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from crosscheck import Pair, Verdict
from crosscheck.adapters.match_params import MappingError, mapped, parse
from tests.support.conventional import LAYERS, Kernel, ObjectLayer
from tests.support.laws import law
from tests.support.unshrunk import check

Shapes = Mapping[str, tuple[int, ...] | None]

ONE_WAY: dict[str, tuple[Shapes, Mapping[str, tuple[int, ...]], dict[str, tuple[str, str]]]] = {
    "same-names": ({"weight": (3, 5), "bias": (3,)}, {"weight": (3, 5), "bias": (3,)}, {"weight": ("weight", ""), "bias": ("bias", "")}),
    "transposed": ({"W": (5, 3), "b": (3,)}, {"weight": (3, 5), "bias": (3,)}, {"W": ("weight", "a b -> b a"), "b": ("bias", "")}),
    "by-shape": ({"p": (3,), "q": (5, 3)}, {"weight": (3, 5), "bias": (3,)}, {"p": ("bias", ""), "q": ("weight", "a b -> b a")}),
    "four-axes": ({"kernel": (3, 4, 2, 5)}, {"weight": (5, 2, 3, 4)}, {"kernel": ("weight", "a b c d -> d c a b")}),
    "long-names": ({"filters": (2, 1, 3, 4)}, {"weight": (2, 1, 3, 4)}, {"filters": ("weight", "")}),
    "axes-of-one": ({"w": (1, 1, 4)}, {"weight": (1, 4, 1)}, {"w": ("weight", "1 1 c -> 1 c 1")}),
    "row-of-biases": ({"b": (1, 3)}, {"bias": (3,)}, {"b": ("bias", "1 b -> b")}),
    "column-of-biases": ({"b": (3, 1)}, {"bias": (3,)}, {"b": ("bias", "a 1 -> a")}),
    "axis-missing": ({"w": (4, 3)}, {"weight": (3, 1, 4)}, {"w": ("weight", "a b -> b 1 a")}),
    "arguments": ({"b": None}, {"bias": (3,)}, {"b": ("bias", "")}),
    "biases-by-name": ({"bias": (3,), "scale": (3,)}, {"bias": (3,), "gain": (3,)}, {"bias": ("bias", ""), "scale": ("gain", "")}),
    "none": ({}, {}, {}),
}


@pytest.mark.parametrize("case", ONE_WAY)
def test_exactly_one_way(case: str) -> None:
    subject, reference, expected = ONE_WAY[case]
    result, inferred = mapped(subject, reference, {}, {})
    assert {name: (p.name, p.layout.pattern) for name, p in result.items()} == expected
    alike = [name for name, (p, pattern) in expected.items() if name == p and not pattern]
    others = [f"{name} is {p}{f': {pattern}' if pattern else ''}" for name, (p, pattern) in expected.items() if name not in alike]
    assert inferred == [f"same name and shape as in the reference: {', '.join(alike)}"] * bool(alike) + others


@pytest.mark.parametrize("case", [case for case in ONE_WAY if None not in ONE_WAY[case][0].values()])
def test_the_way_fits(case: str) -> None:
    """An inferred pattern makes an array of the reference's shape."""
    subject, reference, _ = ONE_WAY[case]
    result, _ = mapped(subject, reference, {}, {})
    assert {p.name: p.layout.to_reference(np.zeros(subject[name] or ())).shape for name, p in result.items()} == dict(reference)


@law
@given(st.permutations([2, 3, 4, 5]), st.permutations(["kernel", "bias"]))
def test_axes_of_different_lengths_have_one_order(lengths: list[int], order: list[str]) -> None:
    """Whatever the order of axes and of parameters: each element goes to the axis of its length."""
    subject: Shapes = {name: {"kernel": tuple(lengths), "bias": (7,)}[name] for name in order}
    result, _ = mapped(subject, {"weight": (2, 3, 4, 5), "offset": (7,)}, {}, {})
    assert {name: parameter.name for name, parameter in result.items()} == {"kernel": "weight", "bias": "offset"}
    index = np.indices(lengths)
    for axis, length in enumerate(lengths):
        along = result["kernel"].layout.to_reference(index[axis].astype(np.float64))
        assert np.array_equal(along, np.indices((2, 3, 4, 5))[length - 2])


WEIGHT, BIAS = (3, 5), (3,)
ERRORS: dict[str, tuple[Shapes, Mapping[str, tuple[int, ...]] | None, dict[str, str], list[str]]] = {
    "square": (
        {"W": (4, 4)},
        {"weight": (4, 4)},
        {},
        [
            "in several ways",
            "(your code: W (4, 4); reference: weight (4, 4))",
            '    params={"W": "weight"}',
            '    params={"W": "weight: a b -> b a"}',
        ],
    ),
    "two-biases": (
        {"p": (3,), "q": (3,)},
        {"one": (3,), "two": (3,)},
        {},
        ["in several ways", 'params={"p": "one", "q": "two"}', 'params={"p": "two", "q": "one"}'],
    ),
    "argument": ({"w": None}, {"weight": WEIGHT}, {}, ["in several ways", "your code: w (an argument)", 'params={"w": "weight: a b -> b a"}']),
    "many-ways": ({"w": (2, 2, 2, 2)}, {"weight": (2, 2, 2, 2)}, {}, ["in several ways", "    ..."]),
    "no-order": (
        {"W": (5, 4)},
        {"weight": WEIGHT},
        {},
        ["do not fit", "(your code: W (5, 4); reference: weight (3, 5))", 'params={"W": "NAME: PATTERN"}', '"weight: i o -> o i"'],
    ),
    "other-rank": ({"W": (15,)}, {"weight": WEIGHT}, {}, ["do not fit", "your code: W (15,); reference: weight (3, 5)"]),
    "too-many": (
        {"W": (5, 3), "b": BIAS},
        {"weight": WEIGHT},
        {},
        ["your code has the parameters W, b; the reference has weight: 1 too many in your code", '\n    params={"W": "weight: a b -> b a"}'],
    ),
    "too-few": (
        {"W": (5, 3)},
        {"weight": WEIGHT, "bias": BIAS},
        {},
        ["your code has the parameters W; the reference has weight, bias: nothing in your code is left for 'weight', 'bias'", '{"NAME": "weight"}'],
    ),
    "none-of-its-own": ({}, {"weight": WEIGHT}, {}, ["your code has the parameters none; the reference has weight: nothing in your code is left"]),
    "misspelt": ({"weights": (5, 3)}, {"weight": WEIGHT}, {"wieghts": "weight"}, ["a parameter of your code: weights; did you mean 'weights'?"]),
    "misspelt reference": ({"W": (5, 3)}, {"weight": WEIGHT}, {"W": "wieght"}, ["of the reference: weight; did you mean 'weight'?"]),
    "unknown": ({"W": (5, 3)}, {"weight": WEIGHT}, {"V": "weight"}, ["params has the key 'V', expected a parameter of your code: W"]),
    "unknown-reference": (
        {"W": (5, 3)},
        {"weight": WEIGHT},
        {"W": "kernel"},
        ["params['W'] is 'kernel', expected a parameter of the reference: weight"],
    ),
    "twice": (
        {"V": BIAS, "W": BIAS},
        {"one": BIAS, "two": BIAS},
        {"V": "one", "W": "one"},
        ["params maps 'V', 'W' to the same parameter of the reference, 'one'"],
    ),
    "function": (
        {"w": (3,), "b": (3,)},
        None,
        {"w": "w"},
        ["the reference is a function, so that its parameters have no shapes to match; declare 'b'", 'params={"w": "w", "b": "NAME: PATTERN"}'],
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_not_exactly_one_way(case: str) -> None:
    subject, reference, declared, texts = ERRORS[case]
    with pytest.raises(MappingError) as caught:
        mapped(subject, reference, declared, {})
    assert [text for text in texts if text not in str(caught.value)] == []


@pytest.mark.parametrize("declaration", ["", "i o -> o i", "weight:", ": i o -> o i", 3, None])
def test_no_declaration(declaration: str) -> None:
    with pytest.raises(MappingError) as caught:
        parse("W", declaration, {})
    assert str(caught.value) == f"params['W'] is {declaration!r}, expected 'NAME' or 'NAME: PATTERN', such as 'weight: i o -> o i'"


def test_pattern_without_two_sides() -> None:
    with pytest.raises(MappingError, match=r"^params\['W'\]: the layout is 'i o', expected 'axes in your code -> axes in the reference'"):
        parse("W", "weight: i o", {})


def test_declared_and_inferred() -> None:
    """What is declared is taken; what is left has one way."""
    result, inferred = mapped({"W": (4, 4), "b": (4,)}, {"weight": (4, 4), "bias": (4,)}, {"W": "weight: i o -> o i"}, {})
    assert [(name, p.name, p.layout.pattern) for name, p in result.items()] == [("W", "weight", "i o -> o i"), ("b", "bias", "")]
    assert inferred == ["b is bias"]


class Square(ObjectLayer):
    """A square linear layer, whose weight lies the other way round."""

    def __init__(self) -> None:
        super().__init__(Kernel(LAYERS["linear"]))
        self.params = {"W": np.ones((4, 4))}

    def forward(self, x: np.ndarray, labels: object = None) -> np.ndarray:
        self.x = x
        return x @ self.params["W"]

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        self.grads = {"W": self.x.T @ grad_output}
        return grad_output @ self.params["W"].T


class Slip(Square):
    """Neither layout gives its output."""

    def forward(self, x: np.ndarray, labels: object = None) -> np.ndarray:
        return 2 * super().forward(x)


class Named(Square):
    """The name and the shape are the reference's, the order of the axes is not."""

    def __init__(self) -> None:
        super().__init__()
        self.params = {"weight": np.ones((4, 4))}

    def forward(self, x: np.ndarray, labels: object = None) -> np.ndarray:
        self.x = x
        return x @ self.params["weight"]

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        self.grads = {"weight": self.x.T @ grad_output}
        return grad_output @ self.params["weight"].T


TRANSPOSED = "W is weight: a b -> b a of 2 ways to map the parameters, only this one gives the reference's output"
SQUARE: dict[str, tuple[Square, dict[str, str], Verdict, str]] = {
    "output-decides": (Square(), {}, Verdict.MATCH, TRANSPOSED),
    "declared": (Square(), {"W": "weight: i o -> o i"}, Verdict.MATCH, ""),
    "declared-wrong": (Square(), {"W": "weight"}, Verdict.MISMATCH, ""),
    "no-way-agrees": (Slip(), {}, Verdict.UNDECIDED, '\n    params={"W": "weight"}\n    params={"W": "weight: a b -> b a"}'),
    "same-name-other-order": (Named(), {}, Verdict.UNDECIDED, '\n    params={"weight": "weight"}\n    params={"weight": "weight: a b -> b a"}'),
    "same-name-declared": (Named(), {"weight": "weight: a b -> b a"}, Verdict.MATCH, ""),
}


@pytest.mark.parametrize("case", SQUARE)
def test_square_matrix(case: str) -> None:
    """The output decides between two orders of the axes; if it agrees with none, or with another than the names say, there is no verdict."""
    subject, params, verdict, text = SQUARE[case]
    result = check(Pair(subject, nn.Linear(4, 4, bias=False), [(3, 4)], params))
    assert result.verdict is verdict
    assert text in (result.error or " ".join(result.inferred))


@pytest.mark.parametrize(("agrees", "words"), [(False, "agrees with none of them"), (True, "agrees with each of them")])
def test_no_way_agrees_or_several_do(agrees: bool, words: str) -> None:
    """The error says what was tried."""
    with pytest.raises(MappingError, match=words):
        mapped({"W": (4, 4)}, {"weight": (4, 4)}, {}, {}, agrees=lambda params: agrees)


def test_slip_in_one_of_several_parameters() -> None:
    """Where another parameter is in the reference's layout, a square one of its name is, too: nothing is tried."""
    shapes = {"up.weight": (8, 4), "square.weight": (4, 4)}
    result, _ = mapped(shapes, shapes, {}, {}, agrees=lambda params: params["square.weight"].layout.pattern != "")
    assert [parameter.layout.pattern for parameter in result.values()] == ["", ""]


def test_pattern_that_gives_another_shape() -> None:
    """Both shapes and the pattern are named."""
    pair = Pair(ObjectLayer(Kernel(LAYERS["linear"])), nn.Linear(5, 3), [(3, 5)], {"W": "weight: i o -> i o", "b": "bias"}, name="mine")
    expected = (
        "mine: the parameter 'W': in your code it has shape (5, 3), expected (3, 5) as in the reference; "
        "the pattern 'i o -> i o' turns it into (5, 3)"
    )
    assert check(pair).error == expected
