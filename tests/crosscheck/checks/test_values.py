"""Very large and very small values, and single precision: what only the subject loses is a mismatch, what every computation loses is not."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crosscheck import Functions, LossFunction, Pair, check
from crosscheck.checks import Settings
from crosscheck.core.check_layer import context_of
from crosscheck.core.judge import Kind, Verdict, judge
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place
from crosscheck.references.pytorch.oracle import oracle
from crosscheck.run.check import check_pair
from tests.support.faults import FAULTS
from tests.support.formulas import elementwise, sigmoid, without_params


def nan_where_large(grad: Array, x: Array) -> Array:
    return grad * np.where((np.abs(x) > 30) & (np.abs(x) < 1e5), np.nan, 1 / (1 + np.exp(-x)))


def test_nan_is_not_passed_over() -> None:
    """A number on the way exceeds the range in one formula, but not in the reference's: a subject that is not finite there has no excuse."""
    pair = Pair(elementwise(lambda x: np.logaddexp(x, x.dtype.type(0)), nan_where_large), nn.Softplus(), shapes=[(3, 7)])
    result = check(pair, only=lambda check: check == "values-float64-large")
    assert [found.verdict for found in result.results] == [result.verdict] == [Verdict.MISMATCH]


def of_products(function: Any, slope: Any) -> Functions:
    def forward(x: Array, w: Array) -> tuple[Array, Any]:
        z = x @ w.T
        return function(z), (x, w, z)

    def backward(grad: Array, cache: Any) -> tuple[Array, Array]:
        x, w, z = cache
        through = grad * slope(z)
        return through @ w, through.T @ x

    return Functions(forward, backward)


SATURATED: dict[str, tuple[Any, Any, Any]] = {
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * sigmoid(-z), torch.sigmoid),
    "exponential": (lambda z: np.exp(-np.abs(z)), lambda z: -np.sign(z) * np.exp(-np.abs(z)), lambda z: torch.exp(-z.abs())),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SATURATED)
def test_saturated_function_of_products(name: str, seed: int) -> None:
    function, slope, reference = SATURATED[name]
    pair = Pair(
        of_products(function, slope),
        lambda x, weight: reference(x @ weight.T),
        framework="torch",
        shapes=[(5, 4)],
        params={"w": "weight"},
        param_shapes={"weight": (3, 4)},
    )
    assert check(pair, Settings(seed=seed), only=lambda check: check.startswith("values-float64-large")).verdict is Verdict.MATCH


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(3))
def test_reference_that_underflows_too_early(seed: int, dtype: str) -> None:
    """PyTorch's own float64 sigmoid is 0 at -711, where 1e-309 is right."""
    pair = without_params(sigmoid, lambda g, x: g * sigmoid(x) * sigmoid(-x), nn.Sigmoid())
    wide = Pair(pair.subject, nn.Sigmoid(), shapes=[(30, 40)])
    assert check(wide, Settings(seed=seed), only=lambda check: check in (f"values-{dtype}-large", f"values-{dtype}-wide")).verdict is Verdict.MATCH


def loss_by_parts(x: Array, labels: Any, offset: float = 0.0) -> tuple[Array, Array]:
    """Return the loss as m + ln(sum of e^(x - m)) - x[label], as in a log-sum-exp written out, and its gradient."""
    rows, largest = np.arange(len(x)), x.max(axis=1)
    exponentials = np.exp(x - largest[:, None])
    total = exponentials.sum(axis=1)
    slope = exponentials / total[:, None]
    slope[rows, labels] -= 1
    return (largest + np.log(total + x.dtype.type(offset)) - x[rows, labels]).mean(), slope / x.dtype.type(len(x))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(3))
def test_cross_entropy_whose_maximum_is_added_to_the_logarithm(seed: int, dtype: Any) -> None:
    """Large logits that are close to each other: the sum rounds at their size, the loss is of the order of 1."""
    x = (1e4 + np.random.default_rng(seed).standard_normal((3, 4))).astype(dtype)
    call, precision = Call(x.astype(np.float64), {}, np.ones(()), {"labels": np.array([0, 2, 3])}), Precision(np.dtype(dtype), 1000)
    context = context_of(oracle(nn.CrossEntropyLoss()), call, precision)
    loss, _ = loss_by_parts(x, call.constants["labels"])
    found = judge(Place(0, "loss", "output"), Kind.ISOLATED, np.asarray(loss), context.expected["output"], context.bounds["output"], precision)
    assert found.verdict is Verdict.MATCH


@pytest.mark.slow("difference quotients of every logit; test_slopes shows that constants are found")
def test_constant_in_the_logarithm_is_found() -> None:
    pair = Pair(LossFunction(lambda x, labels: loss_by_parts(x, labels, 1e-8)), nn.CrossEntropyLoss(), shapes=[(3, 4)], labels=True)
    assert check(pair, only=lambda check: check == "values-float64-normal").verdict is Verdict.MISMATCH


@pytest.mark.slow("searches all that is small; the row shows the other answer", default=["normal-0: it was never computed"])
@pytest.mark.parametrize(("family", "words"), [("tiny", "0 on these inputs: small numbers are cut off"), ("normal", "0: it was never computed")])
def test_zeros_are_put_down_to_a_threshold_where_it_could_be_one(family: str, words: str) -> None:
    """A gradient that is 0 where all of it is small need not be one that was never computed."""

    def cut_off(grad: Array, x: Array) -> Array:
        slope = grad * 2 * x
        return np.where(np.abs(slope) < (1e-15 if family == "tiny" else 1e15), 0, slope)

    pair = Pair(elementwise(np.square, cut_off), torch.square, shapes=[(5, 4)])
    result = check(pair, only=lambda check: check == f"values-float64-{family}")
    assert result.first is not None
    assert result.first.divergence is not None
    assert result.first.divergence.cause is not None
    assert words in str(result.first.divergence.cause)


SINGLE = [name for name in FAULTS if name.startswith("single-")]
FEW = ("single-softmax-unshifted", "single-layer-one-pass", "single-products-added-up-in-half")


def test_there_are_enough() -> None:
    assert len(SINGLE) >= 20


@pytest.mark.slow("takes seconds for each fault; the default ones are of each kind", default=FEW)
@pytest.mark.parametrize("name", SINGLE)
def test_fault_is_seen_in_single_precision_alone(name: str) -> None:
    with warnings.catch_warnings(action="ignore"):
        result = check_pair(FAULTS[name].pair(), Settings(shrink=False), only=lambda check: check.startswith(("values-", "updates-", "evaluation-")))
    assert result.error == ""
    double = {one.check: one.counted for one in result.results if one.dtype == "float64"}
    single = {one.check: one.counted for one in result.results if one.dtype == "float32"}
    assert Verdict.MISMATCH not in double.values()
    assert Verdict.MATCH in double.values()
    assert Verdict.MISMATCH in single.values()


@pytest.mark.parametrize(("own", "hint"), [("float64", "declare dtypes=('float64',)"), ("float32", "declare dtypes=('float32',)")])
def test_code_of_one_precision_is_told_how_to_say_so(own: str, hint: str) -> None:
    pair = Pair(elementwise(lambda x: (2 * x).astype(own), lambda grad, x: (2 * grad).astype(own)), lambda x: 2 * x, [(3, 4)], framework="torch")
    results = check(pair, only=lambda check: check.endswith("-normal")).results
    notes = {result.check: [note for note in result.notes if hint in note] for result in results}
    assert {name: len(found) for name, found in notes.items()} == {f"values-{dtype}-normal": int(dtype != own) for dtype in ("float64", "float32")}
