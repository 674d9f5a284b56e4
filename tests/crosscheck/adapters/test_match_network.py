"""Parameters of whole networks find their counterparts: by name, by order, and by the order of axes that the others have."""

from __future__ import annotations

import pytest

from crosscheck.adapters.match_network import MOST, match_network, match_statistics
from crosscheck.adapters.match_params import MappingError

LINEAR = {"0.weight": (7, 6), "0.bias": (7,), "2.weight": (7, 7), "2.bias": (7,), "4.weight": (3, 7), "4.bias": (3,)}
TRANSPOSED = "a b -> b a"


def first(own: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]], **declared: str) -> dict[str, tuple[str, str]]:
    """Return the likeliest way: for each of our names the reference's, and the pattern."""
    return {name: (one.name, one.layout.pattern) for name, one in match_network(own, expected, declared, {})[0].items()}


def test_equal_names_and_shapes() -> None:
    assert first(LINEAR, LINEAR) == {name: (name, "") for name in LINEAR}


def test_order_among_equal_sizes() -> None:
    """All weights come before all biases on our side; the square one has its axes as the others have."""
    own = {"W1": (6, 7), "W2": (7, 7), "W3": (7, 3), "b1": (7,), "b2": (7,), "b3": (3,)}
    assert first(own, LINEAR) == {
        "W1": ("0.weight", TRANSPOSED),
        "W2": ("2.weight", TRANSPOSED),
        "W3": ("4.weight", TRANSPOSED),
        "b1": ("0.bias", ""),
        "b2": ("2.bias", ""),
        "b3": ("4.bias", ""),
    }


def test_square_matrices_can_have_either_order() -> None:
    own = {"W1": (6, 7), "b1": (7,), "W2": (7, 7), "b2": (7,), "W3": (7, 3), "b3": (3,)}
    ways = match_network(own, LINEAR, {}, {})
    assert [way["W2"].layout.pattern for way in ways] == [TRANSPOSED, ""]


def test_embedding_beside_transposed_matrices() -> None:
    """Each square matrix may be an embedding, which is not transposed, or a matrix, which here is: every combination is a way."""
    own = {"E": (5, 5), "P": (5, 5), "W": (5, 9)}
    ways = match_network(own, {"emb.weight": (5, 5), "pos.weight": (5, 5), "out.weight": (9, 5)}, {}, {})
    found = [(way["E"].layout.pattern, way["P"].layout.pattern) for way in ways]
    assert found[0] == (TRANSPOSED, TRANSPOSED)
    assert sorted(found[:4]) == sorted((one, other) for one in ("", TRANSPOSED) for other in ("", TRANSPOSED))


def test_other_orders_among_equal_sizes_come_last() -> None:
    """Beside a decoder that is declared before the layer that reads it, order alone pairs the two matrices of the same lengths wrongly."""
    own = {"readout": (5, 6), "U": (6, 5), "c": (6,)}
    ways = match_network(own, {"rnn.weight": (6, 5), "rnn.bias": (6,), "out.weight": (5, 6)}, {}, {})
    found = [(way["readout"].name, way["readout"].layout.pattern, way["U"].name) for way in ways]
    assert found == [("rnn.weight", TRANSPOSED, "out.weight"), ("out.weight", "", "rnn.weight")]


def test_many_parameters_of_one_size_have_a_limited_number_of_ways() -> None:
    own, expected = ({f"{letter}{number}": (4, 4) for number in range(30)} for letter in "xy")
    assert len(match_network(own, expected, {}, {})) <= 2 * MOST


def test_kernel_of_a_convolution_stays_in_order() -> None:
    assert len(match_network({"K": (3, 3, 1, 8)}, {"conv.weight": (8, 1, 3, 3)}, {}, {})) == 1
    assert len(match_network({"K": (8, 3, 3)}, {"conv.weight": (8, 1, 3, 3)}, {}, {})) == 1


def test_declared_names_come_first() -> None:
    found = first({"A": (7,), "B": (7,)}, {"x": (7,), "y": (7,)}, A="y")
    assert found == {"A": ("y", ""), "B": ("x", "")}


def test_parameter_that_the_network_does_without() -> None:
    own, expected = {"W": (8, 5), "b": (8,)}, {"weight": (8, 5), "bias_ih": (8,), "bias_hh": (8,)}
    with pytest.raises(MappingError, match=r'hold it at zero in the reference, too:\n    frozen=\["bias_hh"\]'):
        match_network(own, expected, {}, {})
    (way,) = match_network(own, expected, {}, {}, ["bias_hh"])
    assert {name: one.name for name, one in way.items()} == {"W": "weight", "b": "bias_ih"}


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"V": "weight"}, "names has the key 'V', expected a parameter of your code: W"),
        ({"W": "wait"}, "names['W'] is 'wait', expected a parameter of the reference: weight"),
        ({}, 'names={"W": "weight: PATTERN"}'),
    ],
    ids=["unknown", "unknown-in-the-reference", "other-lengths"],
)
def test_error_says_what_to_add(declared: dict[str, str], words: str) -> None:
    with pytest.raises(MappingError) as error:
        match_network({"W": (3, 4)}, {"weight": (5, 4)}, declared, {})
    assert words in str(error.value)


COUNTS: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "none": ({}, 'WholeStep(step, {"W1": W1, "b1": b1})'),
    "too many": ({"W": (4, 5), "m": (4, 5), "b": (4,)}, 'give the others alone:\n    WholeStep(step, lambda: {"W1": network.W1'),
    "one holds all": ({"net.theta": (24,)}, 'WholeStep(step, lambda: {"bias": theta[...].reshape(4,), ...})'),
}


@pytest.mark.parametrize("case", COUNTS)
def test_error_where_there_are_not_as_many(case: str) -> None:
    """Names alone would not help."""
    own, words = COUNTS[case]
    with pytest.raises(MappingError) as error:
        match_network(own, {"weight": (4, 5), "bias": (4,)}, {}, {})
    assert words in str(error.value)
    assert "names=" not in str(error.value)


def test_statistics_of_each_kind_in_order() -> None:
    own = {"a.running_mean": (3,), "b.moving_mean": (4,), "a.running_var": (3,)}
    expected = {"1.running_mean": (3,), "1.running_var": (3,), "3.running_mean": (4,), "3.running_var": (4,)}
    found = match_statistics(own, expected, {})
    assert {name: one.name for name, one in found.items()} == {"a.running_mean": "1.running_mean", "b.moving_mean": "3.running_mean"}
