"""Pairs without a reference: right gradients agree with the output's own slopes on every family, and each planted fault is found."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crosscheck.adapters.functions import Functions, LossFunction
from crosscheck.checks import CheckResult, Settings
from crosscheck.checks.gradients import NO_REFERENCE
from crosscheck.core.inputs import FAMILIES
from crosscheck.pairs.pair import Pair
from crosscheck.pairs.prepare import prepare
from crosscheck.references.slopes.differences import steps
from crosscheck.run.check import check_pair
from tests.support.unreferenced import (
    LAYERS,
    RIGHT,
    conv_backward,
    cross_entropy,
    deep_backward,
    elementwise,
    linear,
    linear_backward,
    pair_of,
    pool_backward,
    sigmoid,
)

UNTOLD = {("sqrt", "tiny"): "does not apply: the error of the quotient exceeds the gradient"}
"""Right layers of which difference quotients can tell nothing on a family: a square below a constant that is 1e30 times as large."""


def found(pair: Pair, family: str = "normal", seed: int = 0) -> CheckResult:
    result = check_pair(pair, Settings(seed=seed), only=lambda name: name == f"differences-float64-{family}")
    assert result.error == ""
    return result.results[0]


def verdicts(result: CheckResult) -> dict[str, str]:
    return {judgement.place.quantity: judgement.verdict.value for _, judgement in result.judgements}


def cause(result: CheckResult) -> str:
    """Return the name of the cause that was found for the first mismatch."""
    assert result.divergence is not None
    return result.divergence.cause.name if result.divergence.cause else ""


@pytest.mark.each_choice("name", "family")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", RIGHT)
def test_right_layer_raises_no_alarm(name: str, family: str) -> None:
    result = found(pair_of(name), family)
    reason = UNTOLD.get((name, family))
    assert (result.verdict, result.reason if reason else "") == (("skipped", reason) if reason else ("match", ""))


def test_output_is_not_judged() -> None:
    judgements = [judgement for _, judgement in found(pair_of("linear")).judgements]
    assert [(j.place.quantity, j.verdict.value) for j in judgements] == [
        ("output", "skipped"),
        ("grad_input", "match"),
        ("weight.grad", "match"),
        ("bias.grad", "match"),
    ]
    assert judgements[0].reason == NO_REFERENCE


def test_pair_without_a_reference_can_match() -> None:
    assert check_pair(pair_of("tanh"), only=lambda name: name == "differences-float64-normal" or name.startswith("contract")).verdict == "match"


def test_single_precision_is_skipped() -> None:
    pair = Pair(Functions(linear, linear_backward), None, [(3, 6)], param_shapes={"weight": (6, 6), "bias": (6,)}, dtypes=["float32"])
    result = found(pair)
    assert (result.verdict, "float32" in result.reason) == ("skipped", True)


def changed(position: int, change: Callable[[Any], Any], backward: Callable[..., Any] = linear_backward) -> Callable[..., Any]:

    def wrong(grad: Any, cache: Any) -> Any:
        results = list(backward(grad, cache))
        results[position] = change(results[position])
        return tuple(results)

    return wrong


def one_element_off(array: Any) -> Any:
    result = np.array(array)
    result.flat[result.size // 3] *= 1.001
    return result


def raises(grad: Any, cache: Any) -> Any:
    raise ValueError("lost the cache")


def not_transposed(grad: Any, cache: Any) -> Any:
    x, weight = cache
    return grad @ weight, x.T @ grad, grad.sum(axis=0)


FAULTS: dict[str, tuple[str, Callable[..., Any], str, str]] = {
    "sign": ("linear", changed(0, np.negative), "grad_input", "constant factor"),
    "factor-1e-6": ("linear", changed(1, lambda g: g * (1 + 1e-6)), "weight.grad", "constant factor"),
    "factor-1e-12": ("linear", changed(1, lambda g: g * (1 + 1e-12)), "weight.grad", "constant factor"),
    "zero": ("linear", changed(0, np.zeros_like), "grad_input", "not computed"),
    "transposed-weight": ("linear", not_transposed, "grad_input", "transposed"),
    "transposed-gradient": ("linear", changed(1, lambda g: g.T.copy()), "weight.grad", "transposed"),
    "bias-averaged": ("linear", changed(2, lambda g: g / 3), "bias.grad", "constant factor"),
    "one-of-1000": ("linear-large", changed(1, one_element_off), "weight.grad", ""),
    "missing-term": ("deep", changed(1, lambda g: g - np.eye(*g.shape), deep_backward), "v.grad", ""),
    "conv-overwrites": ("conv", changed(1, lambda g: g * 0.5, conv_backward), "w.grad", "constant factor"),
    "none": ("linear", changed(0, lambda g: None), "grad_input", ""),
    "shape": ("linear", changed(2, lambda g: g[None]), "bias.grad", ""),
    "dtype": ("linear", changed(2, lambda g: g.astype(np.float32)), "bias.grad", ""),
    "nan": ("linear", changed(1, lambda g: np.where(g == g.max(), np.nan, g)), "weight.grad", ""),
    "raises": ("linear", raises, "grad_input", ""),
}


@pytest.mark.slow(
    "the rows left out are as the others, smaller or in larger layers",
    default=["transposed-weight", "dtype", "nan", "none", "raises"],
)
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found(fault: str) -> None:
    name, backward, quantity, expected = FAULTS[fault]
    result = found(LAYERS[name].pair(backward))
    assert (result.verdict, verdicts(result)[quantity]) == ("mismatch", "mismatch")
    assert result.given is not None
    assert (result.given.quantity, cause(result)) == (quantity, expected)


@pytest.mark.slow("each scale is searched anew; one shows it", default=["kinks"])
@pytest.mark.parametrize("family", ["normal", "kinks", "wide", "large", "tiny", "huge"])
def test_factor_is_found_on_every_scale(family: str) -> None:
    """The bound follows from the numbers: it is as narrow for small ones as for large ones."""
    result = found(LAYERS["linear"].pair(changed(1, lambda g: g * (1 + 1e-6))), family)
    assert verdicts(result)["weight.grad"] == "mismatch"


@functools.cache
def one_of_1000_wrong() -> CheckResult:
    """Return what is found of a large layer one of whose gradients has a wrong element."""
    return found(LAYERS["linear-large"].pair(changed(1, one_element_off)))


@pytest.mark.xdist_group("one-of-1000")
def test_wrong_element_is_named() -> None:
    """It is not among those looked at one by one, and is searched for along the direction that showed it."""
    result = one_of_1000_wrong()
    assert result.divergence is not None
    worst = result.divergence.judgement.worst
    assert worst is not None
    assert worst.index == np.unravel_index(1000 // 3, (40, 25))


def test_forward_that_raises() -> None:
    def forward(x: Any, weight: Any, bias: Any) -> Any:
        raise ValueError("no such thing")

    result = check_pair(LAYERS["linear"].pair(forward=forward), only=lambda name: name == "differences-float64-normal")
    assert result.verdict == "mismatch"


def test_loss_not_averaged() -> None:
    def summed(x: Any, labels: Any) -> Any:
        loss, grad = cross_entropy(x, labels)
        return loss, grad * len(x)

    result = found(Pair(LossFunction(summed), None, [(3, 5)], labels=True))
    assert (verdicts(result)["grad_input"], cause(result)) == ("mismatch", "constant factor")


def test_relu_that_passes_what_is_negative() -> None:
    wrong = elementwise(lambda x: np.maximum(x, 0), lambda x: (x > -0.5) * 1.0)
    assert found(wrong.pair()).verdict == "mismatch"


@pytest.mark.each_choice("value", "family")
@pytest.mark.parametrize("value", [2.0, -1.0, 1.001])
@pytest.mark.parametrize("family", ["ties", "kinks"])
def test_gradient_outside_of_the_interval_at_a_kink(value: float, family: str) -> None:
    wrong = elementwise(lambda x: np.maximum(x, 0), lambda x: np.where(x == 0, value, x > 0))
    result = found(wrong.pair(), family)
    assert (result.verdict, "at a kink" in result.reason) == ("mismatch", True)
    assert result.divergence is not None


def test_kinks_are_counted() -> None:
    pair = pair_of("relu")
    zeros = np.count_nonzero(prepare(pair).call((3, 7), FAMILIES["ties"], "float64", 0).x == 0)
    assert f"; {zeros} at a kink" in found(pair, "ties").notes[0]


@pytest.mark.parametrize("family", ["digits", "ties"])
def test_gradient_of_a_tie_given_to_all(family: str) -> None:
    """No element tells: each may have won. All of them moved alike go on to tie, and there the maximum's gradient is given out more than once."""
    result = found(LAYERS["pool-first"].pair(pool_backward("all")), family)
    assert (result.verdict, "more than once" in result.reason) == ("mismatch", True)


def test_every_element_at_a_kink() -> None:
    """Nothing was compared with a slope, and so nothing is called a match."""
    triangles = elementwise(lambda x: np.abs(2 * x - np.round(2 * x)), np.zeros_like)
    result = found(triangles.pair(), "ties")
    assert (result.verdict, result.reason) == ("undecided", "every element is at a kink")


OUTPUTS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], str, str]] = {
    "jumps": (lambda x: np.floor(2 * x), np.zeros_like, "ties", "undecided"),
    "not-finite": (lambda x: np.log(x - x), np.ones_like, "normal", "undecided"),
    "overflow": (lambda x: np.exp(np.abs(x)), lambda x: np.exp(np.abs(x)), "huge", "undecided"),
    "single-precision": (lambda x: x.astype(np.float32), np.ones_like, "normal", "undecided"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_output_that_has_no_slopes(name: str) -> None:
    function, derivative, family, verdict = OUTPUTS[name]
    result = found(elementwise(function, derivative).pair(), family)
    assert (verdicts(result)["grad_input"], bool(result.reason)) == (verdict, True)


def test_output_that_changes_by_itself() -> None:
    rng = np.random.default_rng(0)
    result = found(elementwise(lambda x: x * rng.uniform(size=x.shape), np.ones_like).pair())
    assert (result.verdict, "the second time" in result.reason) == ("undecided", True)


NOT_ANALYTIC: dict[str, Callable[[Any], Any]] = {
    "absolute": lambda x: np.tanh(np.abs(x)),
    "real": lambda x: np.tanh(x.real),
    "cast": lambda x: np.tanh(x.astype(np.float64)),
    "buffer": lambda x: np.multiply(np.tanh(x.real), 1.0, out=np.zeros(x.shape)),
    "float": lambda x: np.array([[np.tanh(float(value)) for value in row] for row in x]),
    "compared": lambda x: np.array([[np.tanh(max(value, -9.0)) for value in row] for row in x.tolist()]),
}


@pytest.mark.parametrize("name", NOT_ANALYTIC)
def test_complex_step_is_refused(name: str) -> None:
    """What a subject does with complex numbers is no fault of it."""
    function = NOT_ANALYTIC[name]
    sign = np.sign if name == "absolute" else np.ones_like
    result = found(elementwise(function, lambda x: sign(x) * (1 - np.tanh(x) ** 2)).pair())
    assert result.verdict == "match"
    assert "the complex step cannot be used: " in result.notes[-1]


@pytest.mark.slow("each is checked as a whole; the rows show a function, a kink and a choice", default=["tanh", "relu", "pool-first"])
@pytest.mark.parametrize("name", ["linear", "tanh", "sigmoid", "relu", "pool-first", "deep", "cross-entropy"])
def test_complex_step_is_used(name: str) -> None:
    assert found(pair_of(name)).notes[-1].endswith("judged by the complex step")


def test_one_variable_of_two_is_real() -> None:
    """The complex step is right for the second factor and blind for the first: it is refused for both."""

    def forward(x: Any, w: Any) -> Any:
        return np.array(x.real, np.float64) * w, (x, w)

    def backward(grad: Any, cache: Any) -> Any:
        x, w = cache
        return grad * w, (grad * x).sum(axis=0)

    result = found(Pair(Functions(forward, backward), None, [(3, 4)], param_shapes={"w": (4,)}))
    assert (result.verdict, "disagree" in result.notes[-1]) == ("match", True)


@pytest.mark.parametrize(("precise", "factor"), [(True, 1e-13), (False, 1e-10)])
def test_smallest_factor(precise: bool, factor: float) -> None:
    """The complex step sees a fault that truncation hides from difference quotients by one or two orders of magnitude."""
    layer = elementwise(lambda x: sigmoid(x if precise else x.real), lambda x: sigmoid(x) * (1 - sigmoid(x)) * (1 + factor))
    assert found(layer.pair()).verdict == "mismatch"


@pytest.mark.slow(
    "each is checked as a whole; the rows show a verdict each, and the closest kinks",
    default=["0.0001-1-match", "1e-09-1-undecided", "0.0001-1.00000001-mismatch"],
)
@pytest.mark.parametrize(
    ("distance", "factor", "verdict"),
    [
        (1e-2, 1, "match"),
        (1e-4, 1, "match"),
        (1e-9, 1, "undecided"),
        (1e-2, 1 + 1e-8, "mismatch"),
        (1e-4, 1 + 1e-8, "mismatch"),
        (1e-9, 1.5, "mismatch"),
    ],
)
def test_kink_close_by(distance: float, factor: float, verdict: str) -> None:
    """Quotients over steps that reach across it contradict those over smaller ones, and are left out: the bound stays narrow."""
    here = prepare(pair_of("relu")).call((3, 7), FAMILIES["normal"], "float64", 0).x
    near = elementwise(lambda x: np.maximum(x, here - distance), lambda x: (x > here - distance) * factor)
    assert verdicts(found(near.pair()))["grad_input"] == verdict


@pytest.mark.slow("looks for a fault twice; test_script.py and test_pairs.py show that seeds decide")
def test_same_seed_same_result() -> None:
    first, second = (found(pair_of("linear-large"), seed=3) for _ in range(2))
    assert (first.judgements, first.notes) == (second.judgements, second.notes)


@pytest.mark.xdist_group("one-of-1000")
def test_how_much_was_looked_at_is_said() -> None:
    notes = one_of_1000_wrong().notes
    assert "48 of 1,000 elements one by one and 8 directions through all" in notes[0]


@pytest.mark.parametrize("thing", [Pair, Settings])
def test_a_step_cannot_be_set(thing: type) -> None:
    assert [name for name in inspect.signature(thing).parameters if "step" in name or "tol" in name] == []


@pytest.mark.parametrize("scale", [2.0**-62, 1.0, 1000.0, 2.0**50])
def test_steps_are_powers_of_two(scale: float) -> None:
    runs = steps([scale])
    assert [np.frexp(step)[0] for run in runs for step in run] == [0.5] * 7
    assert all(scale / 2**23 <= step <= scale / 4 for run in runs for step in run)
