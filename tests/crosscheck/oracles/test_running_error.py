"""Running error analysis: the error of each step limits what rounding does, is not far above it, and leaves exact steps exact."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from torch import nn

from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Kind, Verdict, judge
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.running_error import Tracked, constant, erf, erfc, independent, max_error
from crosscheck.references.pytorch.oracle import oracle

SHAPE = (6, 50)
SEEDS = range(20)
SINGLE = Precision(np.dtype(np.float32), 10_000_000)

FORMULAS: Mapping[str, Callable[[Any, Any], Any]] = {
    "sum": lambda a, b: a + b,
    "difference of differences": lambda a, b: (a - b) - (a + b),
    "product": lambda a, b: a * b * a,
    "quotient": lambda a, b: a / (b * b + 1),
    "quotient of a cancelled number": lambda a, b: b / ((a + 3) - 3 + 0.001 * b),
    "root": lambda a, b: np.sqrt(np.abs(a)),
    "root of a cancelled number": lambda a, b: np.sqrt(np.abs((a + b) - b)),
    "power": lambda a, b: (1 + 0.01 * a) ** 7,
    "constant": lambda a, b: (1 - constant(0.999, a)) * b + 0.1 * a,
    "maximum": lambda a, b: np.maximum(a * 0.3, b * 0.7) - np.minimum(a / 3, b),
    "choice": lambda a, b: np.where(a > 0, a * b, -a),
    "array": lambda a, b: np.full(SHAPE, 0.7, np.float32) * a + b,
    "sums": lambda a, b: (a * b).sum(axis=0) / a.sum(axis=0),
    "mean and centre": lambda a, b: (a - a.mean(axis=(1,), keepdims=True)) * b,
    "exponential": lambda a, b: np.exp(-(np.square(a) * 0.7)),
    "logarithm": lambda a, b: np.log(np.exp(-np.abs(a)) + 1) * b,
    "hyperbolic tangent": lambda a, b: 1 - np.square(np.tanh(a * 0.3)),
    "error function": lambda a, b: 1 + erf(a / math.sqrt(2)),
}


def drawn(family: str, seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [FAMILIES[family].input(rng, SHAPE, np.float32) for _ in range(2)]


def fraction(formula: Callable[[Any, Any], Any], a: Array, b: Array) -> float:
    """Return the largest error of a float32 computation as a fraction of what is explained, where that is limited."""
    wide = [value.astype(np.float64) for value in (a, b)]
    with np.errstate(all="ignore"):
        found, exact = formula(a, b), formula(*wide)
    tracked = formula(*(Tracked.exact(value, SINGLE) for value in wide))
    assert np.array_equal(tracked.value, exact, equal_nan=True)
    limited = np.isfinite(tracked.error)
    error, tolerance = np.abs(found[limited] - exact[limited]), SINGLE.unit * tracked.error[limited]
    return float((error / np.maximum(tolerance, SINGLE.smallest)).max(initial=0.0))


@pytest.mark.each_choice("name", "family")
@pytest.mark.parametrize("family", ["normal", "digits", "ties", "kinks", "wide", "tiny"])
@pytest.mark.parametrize("name", FORMULAS)
def test_error_limits_what_rounding_does(name: str, family: str) -> None:
    assert max(fraction(FORMULAS[name], *drawn(family, seed)) for seed in SEEDS) <= 1


@pytest.mark.parametrize("name", FORMULAS)
def test_error_is_not_far_above_what_rounding_does(name: str) -> None:
    assert max(fraction(FORMULAS[name], *drawn("normal", seed)) for seed in SEEDS) > 1 / 50


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (lambda a, b: a * b, lambda a, b: a * b * np.float32(1 + 1e-6)),
        (lambda a, b: np.sqrt(a * a + 1), lambda a, b: np.sqrt(a * a) + np.float32(1e-6)),
        (lambda a, b: np.tanh(a), lambda a, b: np.tanh(a) + np.float32(1e-5) * a),
        (lambda a, b: a.sum(axis=0), lambda a, b: a[:-1].sum(axis=0)),
    ],
    ids=["product", "root", "function", "sum"],
)
def test_what_rounding_does_not_explain_exceeds_it(right: Any, wrong: Any) -> None:
    a, b = drawn("normal", 0)
    wide = [value.astype(np.float64) for value in (a, b)]
    tracked = right(*(Tracked.exact(value, SINGLE) for value in wide))
    assert (np.abs(wrong(a, b) - right(*wide)) > SINGLE.unit * tracked.error).any()


EXACT: Mapping[str, Callable[[Any], Any]] = {
    "doubling": lambda a: 2 * a,
    "sign": lambda a: -np.abs(a),
    "nothing added": lambda a: a + 0.0 * a,
    "halves": lambda a: a / 4.0,
    "mask": lambda a: a * (np.arange(SHAPE[1]) % 2 == 0),
    "larger one": lambda a: np.maximum(a, 0),
    "root of zero": lambda a: np.sqrt(0 * a),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_step_has_no_error(name: str) -> None:
    result = EXACT[name](Tracked.exact(drawn("normal", 0)[0], SINGLE))
    assert not result.error.any()


@pytest.mark.parametrize(("number", "error"), [(0.5, 0.0), (3, 0.0), (0.1, 0.1), (-0.3, 0.3)])
def test_number_of_the_code_rounds_where_the_precision_cannot_hold_it(number: float, error: float) -> None:
    assert Tracked.exact(1.0, SINGLE).constant(number).error == error


def test_number_that_underflows_is_off_by_all_of_it() -> None:
    assert Tracked.exact(1.0, SINGLE).constant(1e-60).error == 1e-60 / SINGLE.unit


@pytest.mark.parametrize(("number", "error"), [(0.5, 0.0), (0.1, 0.1)])
def test_decimal_number_rounds_in_double_precision_too(number: float, error: float) -> None:
    assert Tracked.exact(1.0, Precision(np.dtype(np.float64), 1)).constant(number).error == error


@pytest.mark.parametrize(
    "formula",
    [lambda a: 1 / a, np.log, lambda a: np.exp(a) * np.inf, lambda a: (a + 1) * 1e30 * 1e30],
    ids=["quotient", "logarithm", "infinity", "range"],
)
def test_nothing_is_limited(formula: Callable[[Any], Any]) -> None:
    """A number that may be zero in a denominator or a logarithm, and one out of range."""
    with np.errstate(all="ignore"):
        assert np.isinf(formula(Tracked(np.array([1e-9]), np.array([1.0]), SINGLE)).error).all()


def test_root_of_a_number_that_is_all_error() -> None:
    """The root of a number between 0 and 2d is at most sqrt(2d)."""
    root = np.sqrt(Tracked(np.zeros(1), np.array([8.0]), SINGLE))
    assert math.sqrt(8 * SINGLE.unit) <= SINGLE.unit * root.error[0] < 1.01 * math.sqrt(8 * SINGLE.unit)


def test_errors_alone_are_passed_on_without_rounding() -> None:
    a = Tracked(np.array([2.0, -3.0]), np.array([1.0, 1.0]))
    assert (0.1 * a * a).error.tolist() == [0.4, 0.6000000000000001]


def test_larger_of_two_takes_its_own_error_where_it_is_clear() -> None:
    one, other = Tracked(np.array([1.0, 1.0]), np.array([1.0, 1.0]), SINGLE), Tracked(np.array([0.5, 1.0]), np.array([9.0, 9.0]), SINGLE)
    larger: Any = np.maximum  # its annotations know arrays alone
    assert larger(one, other).error.tolist() == [1.0, 9.0]


def test_several_forms_have_the_largest_error() -> None:
    x = Tracked.exact(np.array([-3.0, 3.0]), SINGLE)
    forms = [1 + erf(-x), erfc(x)]
    assert max_error(*forms).error.tolist() == np.maximum(forms[0].error, forms[1].error).tolist()


@pytest.mark.parametrize("exponent", [0, -1, 0.5])
def test_power_that_is_not_whole_is_refused(exponent: float) -> None:
    with pytest.raises(ValueError, match="expected a whole exponent"):
        Tracked.exact(np.ones(2)) ** exponent


def test_unknown_function_is_refused() -> None:
    with pytest.raises(TypeError):
        np.arctan(Tracked.exact(np.ones(2)))


FEWER = Precision(np.dtype(np.float32), 1000)
TERMS = 50_000


def added_one_by_one(terms: Array) -> float:
    return float(np.cumsum(terms, dtype=np.float32)[-1])


def background(share: float) -> Array:
    """Return float32 numbers of which so many are equal, the others being scattered among them."""
    rng = np.random.default_rng(0)
    scattered = rng.uniform(0.3, 0.7, TERMS)
    return np.where(rng.uniform(size=TERMS) < share, 0.1, scattered).astype(np.float32)


@pytest.mark.parametrize("share", [1.0, 0.9])
def test_errors_of_equal_terms_add_up(share: float) -> None:
    """Independent roundings would not explain them; those of repeated terms do."""
    terms = background(share)
    wide = terms.astype(np.float64)
    error, size = abs(added_one_by_one(terms) - math.fsum(wide)), FEWER.unit * np.abs(wide).sum()
    assert error > FEWER.grow(float(TERMS)) * size
    assert error <= FEWER.unit * float(Tracked.exact(wide, FEWER).sum().error)


def test_terms_that_differ_are_as_many_as_they_are() -> None:
    terms = background(0.0).astype(np.float64) + np.arange(TERMS) * 1e-9
    assert independent(terms, (0,), FEWER) == TERMS


def test_each_group_counts_by_its_square() -> None:
    terms = np.concatenate([np.arange(1.0, 1001.0), np.full(1000, 0.5), np.full(500, 0.25), np.zeros(500)])[None]
    assert independent(terms, (1,), FEWER) == min(1000 + 1000**2 + 500**2, (3000 / FEWER.confidence) ** 2)
    assert independent(terms[:, :2000], (1,), FEWER) == (2000 / FEWER.confidence) ** 2


def test_few_terms_are_bounded_by_their_number() -> None:
    assert independent(np.ones((2, 40)), (1,), FEWER).tolist() == [[40.0], [40.0]]


def test_sums_are_told_apart() -> None:
    terms = np.stack([np.ones(2000), np.arange(2000.0)])
    one, other = independent(terms, (1,), FEWER)[:, 0]
    assert one == (2000 / FEWER.confidence) ** 2
    assert other == 2000


@pytest.mark.parametrize("quantity", ["weight.grad", "bias.grad"])
def test_gradient_behind_a_mean_over_a_constant_background(quantity: str) -> None:
    """A cotangent that is the same everywhere meets pixels that are: a loop over them is right, and judged so."""
    x = np.full((64, 1, 28, 28), 0.1, np.float32)
    grad_output = np.full((64, 1, 28, 28), 0.1, np.float32)
    call = Call(x, {"weight": np.ones((1, 1, 1, 1), np.float32), "bias": np.zeros(1, np.float32)}, grad_output)
    reference, wide = oracle(nn.Conv2d(1, 1, 1)), call.astype(np.float64)
    expected = reference.vjp(wide)
    bound = reference.rounding.bounds(reference, wide, expected, FEWER)[quantity]
    terms = (x * grad_output if quantity == "weight.grad" else grad_output).ravel()
    found = np.full(expected[quantity].shape, added_one_by_one(terms), np.float32)
    assert judge(Place(0, "conv", quantity), Kind.LAYER, found, expected[quantity], bound, FEWER).verdict is Verdict.MATCH
    few = reference.vjp(wide.ones())[quantity]
    assert np.abs(found - expected[quantity]) > FEWER.unit * FEWER.grow(few) * bound.abs_sum
