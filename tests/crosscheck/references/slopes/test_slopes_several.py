"""Pairs without a reference that have several inputs or outputs: right gradients agree with the output's slopes, and each planted fault is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crosscheck import Functions, Pair, Settings, Verdict
from crosscheck.checks import CheckResult
from crosscheck.checks.gradients import NO_REFERENCE
from crosscheck.core.inputs import FAMILIES
from crosscheck.run.check import check_pair
from tests.support.unreferenced_several import (
    FUNCTIONS,
    Change,
    attention_backward,
    embedding_backward_overwrites,
    layer_norm_backward,
    lstm_cell,
    lstm_cell_backward,
    masked_attention,
)

LOST = {("triplet", "tiny"), ("gaussian", "tiny")}
"""Right functions whose output does not change at all on a family, or only by less than its last digit: squares of 1e-19 below a constant of 1."""

OUTPUTS = {"lstm-cell": ["output.h", "output.c"], "difference-and-product": ["output.difference", "output.product"]}

GRADIENTS = {
    "bilinear": ["grad_input.a", "grad_input.b", "weight.grad", "bias.grad"],
    "mse": ["grad_input"],
    "cross-entropy": ["grad_input"],
    "triplet": ["grad_input.anchor", "grad_input.positive", "grad_input.negative"],
    "embedding": ["weight.grad"],
    "bag": ["grad_input", "weight.grad"],
    "lstm-cell": ["grad_input.x", "grad_input.h_0", "grad_input.c_0", "w.grad", "u.grad", "b.grad"],
    "masked-attention": ["grad_input.query", "grad_input.key", "grad_input.value"],
    "layer-norm": ["grad_input", "grad_input.weight", "grad_input.bias"],
    "shifted-softmax": ["grad_input.x", "grad_input.shift"],
    "difference-and-product": ["grad_input.a", "grad_input.b"],
}


def found(pair: Pair, family: str = "normal", seed: int = 0) -> CheckResult:
    result = check_pair(pair, Settings(seed=seed), only=lambda name: name == f"differences-float64-{family}")
    assert result.error == ""
    return result.results[0]


def verdicts(result: CheckResult) -> dict[str, Verdict]:
    return {judgement.place.quantity: judgement.verdict for _, judgement in result.judgements}


@pytest.mark.each_choice("name", "family")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_right_function_raises_no_alarm(name: str, family: str) -> None:
    result = found(FUNCTIONS[name].pair(), family)
    lost = (name, family) in LOST
    assert (result.verdict, result.reason.startswith("does not apply: ")) == (Verdict.SKIPPED if lost else Verdict.MATCH, lost)


HARD: dict[str, tuple[str, str, int]] = {
    "slope-underflows-with-a-complex-step": ("damped", "offset", 0),
    "saturates-before-a-change-is-seen": ("lstm-cell", "tiny", 0),
    "changes-lost-in-the-last-digit": ("attention", "tiny", 0),
    "terms-cancel": ("shifted-softmax", "wide", 0),
    "small-steps-absorbed-by-a-large-input": ("shifted-softmax", "wide", 2),
    "direction-with-errors-of-all-elements": ("masked-attention", "wide", 1),
}
"""Right functions, families and seeds whose slopes are hard to measure, by the reason."""


@pytest.mark.slow(
    "the rows left out are of longer functions",
    default=["slope-underflows-with-a-complex-step", "terms-cancel", "small-steps-absorbed-by-a-large-input"],
)
@pytest.mark.parametrize("reason", HARD)
def test_right_function_whose_slopes_are_hard_to_measure(reason: str) -> None:
    name, family, seed = HARD[reason]
    assert found(FUNCTIONS[name].pair(), family, seed).verdict is Verdict.MATCH


@pytest.mark.parametrize("name", GRADIENTS)
def test_every_gradient_is_judged_and_no_output(name: str) -> None:
    result = found(FUNCTIONS[name].pair())
    outputs = OUTPUTS.get(name, ["output"])
    assert verdicts(result) == dict.fromkeys(outputs, Verdict.SKIPPED) | dict.fromkeys(GRADIENTS[name], Verdict.MATCH)
    assert {judgement.reason for _, judgement in result.judgements if judgement.verdict is Verdict.SKIPPED} == {NO_REFERENCE}


def at(position: int, change: Callable[[Any], Any]) -> Change:
    """Return what changes one of several gradients."""

    def changed(*gradients: Any) -> Any:
        return tuple(change(gradient) if number == position else gradient for number, gradient in enumerate(gradients))

    return changed


def times(factor: float) -> Callable[[Any], Any]:
    return lambda gradient: gradient * factor


FAULTS: dict[str, tuple[str, Change, str]] = {
    "matmul-factor": ("matmul", at(1, times(1 + 1e-10)), "grad_input.b"),
    "bilinear-averaged-weight": ("bilinear", at(2, times(1 / 3)), "weight.grad"),
    "bilinear-sign-of-one": ("bilinear", at(1, np.negative), "grad_input.b"),
    "mse-summed": ("mse", at(0, times(12)), "grad_input"),
    "cross-entropy-summed": ("cross-entropy", at(0, times(3)), "grad_input"),
    "cross-entropy-labels-shifted": ("cross-entropy", at(0, lambda g: np.roll(g, 1, axis=1)), "grad_input"),
    "soft-cross-entropy-summed": ("soft-cross-entropy", at(0, times(3)), "grad_input"),
    "triplet-sign": ("triplet", at(1, np.negative), "grad_input.positive"),
    "triplet-nothing-for-one": ("triplet", at(2, np.zeros_like), "grad_input.negative"),
    "bag-factor": ("bag", at(0, times(1 - 1e-6)), "grad_input"),
    "lstm-cell-nothing-for-c": ("lstm-cell", at(2, np.zeros_like), "grad_input.c_0"),
    "lstm-cell-half-of-a-gate": ("lstm-cell", at(4, lambda g: g * np.repeat([1, 1, 0.5, 1], 2)), "u.grad"),
    "attention-key-without-scale": ("attention", at(1, times(2)), "grad_input.key"),
    "masked-attention-last-value": ("masked-attention", at(2, lambda g: g + (np.arange(6).reshape(3, 2) == 5)), "grad_input.value"),
    "cosine-sign": ("cosine", at(1, np.negative), "grad_input.b"),
    "layer-norm-bias-averaged": ("layer-norm", at(2, times(1 / 3)), "grad_input.bias"),
    "largest-sum-twice": ("largest-sum", at(1, times(2)), "grad_input.b"),
    "gaussian-sign": ("gaussian", at(1, np.negative), "grad_input.centre"),
    "log-sum-exp-factor": ("log-sum-exp", at(1, times(1 + 1e-6)), "grad_input.b"),
    "shift-not-zero": ("shifted-softmax", at(1, lambda g: g + 1e-9), "grad_input.shift"),
    "second-output-sign": ("difference-and-product", at(1, np.negative), "grad_input.b"),
}


@pytest.mark.slow(
    "the rows left out are as the others, of other functions",
    default=["mse-summed", "triplet-sign", "bag-factor", "layer-norm-bias-averaged", "shift-not-zero", "second-output-sign"],
)
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found_in_one_gradient(fault: str) -> None:
    name, change, quantity = FAULTS[fault]
    result = found(FUNCTIONS[name].pair(change))
    assert [name for name, verdict in verdicts(result).items() if verdict is Verdict.MISMATCH] == [quantity]
    assert result.given is not None
    assert (result.verdict, result.given.quantity) == (Verdict.MISMATCH, quantity)


def cell_blind_for_c(grad_h: Any, grad_c: Any, cache: Any) -> Any:
    return lstm_cell_backward(grad_h, np.zeros_like(grad_c), cache)


def norm_without_weight(grad: Any, cache: Any) -> Any:
    plain, root, weight = cache
    return layer_norm_backward(grad, (plain, root, np.ones_like(weight)))


def attention_before_mask(query: Any, key: Any, value: Any, mask: Any) -> Any:
    """Attend with the mask, but keep the shares without it for backward."""
    out, _ = masked_attention(query, key, value, mask)
    _, cache = masked_attention(query, key, value, np.ones_like(mask))
    return out, cache


PASSES: dict[str, tuple[str, Functions, str]] = {
    "embedding-overwrites": ("embedding", Functions(FUNCTIONS["embedding"].forward, embedding_backward_overwrites), "weight.grad"),
    "second-output-forgotten": ("lstm-cell", Functions(lstm_cell, cell_blind_for_c), "grad_input.x"),
    "norm-without-weight": ("layer-norm", Functions(FUNCTIONS["layer-norm"].forward, norm_without_weight), "grad_input"),
    "backward-without-mask": ("masked-attention", Functions(attention_before_mask, attention_backward), "grad_input.query"),
}


@pytest.mark.slow("the other rows are of longer passes", default=["embedding-overwrites", "norm-without-weight"])
@pytest.mark.parametrize("fault", PASSES)
def test_fault_of_a_pass_is_found_first_where_it_shows(fault: str) -> None:
    name, convention, quantity = PASSES[fault]
    function = FUNCTIONS[name]
    result = found(Pair(convention, None, inputs=function.inputs, sizes=function.sizes, param_shapes=function.params, outputs=function.outputs))
    assert result.given is not None
    assert (result.verdict, result.given.quantity) == (Verdict.MISMATCH, quantity)


def test_never_judged_gradient_is_no_match() -> None:
    """A difference from 1 that is lost in its last digit on every family: nothing was compared, so that nothing is said to be right."""

    def forward(a: Any, b: Any) -> Any:
        return 1e300 + 1e-30 * np.tanh(a) * np.tanh(b), None

    def backward(grad: Any, cache: Any) -> Any:
        return grad, grad

    result = check_pair(Pair(Functions(forward, backward), None, inputs={"a": "n", "b": "n"}, sizes={"n": 3}), Settings(shrink=False))
    assert result.verdict is Verdict.UNDECIDED


CONTRACTS: dict[str, tuple[str, str]] = {
    "smaller_batch_works": ("attention", ""),
    "larger_batch_works": ("lstm-cell", ""),
    "backward_is_linear": ("difference-and-product", ""),
    "grad_input_is_not_a_view": ("layer-norm", ""),
    "many_samples_work": ("attention", "there is no reference that answers for new inputs"),
    "another_size_works": ("attention", "the declared shapes differ only in the number of samples"),
    "uses_updated_parameters": ("attention", "there are no parameters"),
}


@pytest.mark.parametrize("contract", CONTRACTS)
def test_contract_applies_or_says_why_not(contract: str) -> None:
    name, reason = CONTRACTS[contract]
    result = check_pair(FUNCTIONS[name].pair(), only=lambda check: check == f"contract-{contract}").results[0]
    assert (result.verdict, result.reason) == ((Verdict.SKIPPED, f"does not apply: {reason}") if reason else (Verdict.MATCH, ""))


def test_no_smaller_batch_where_it_is_not_known_that_there_is_one() -> None:
    """Fewer rows of one matrix alone fit no longer."""

    def forward(a: Any, b: Any) -> Any:
        return a * b, (a, b)

    pair = Pair(Functions(forward, lambda grad, cache: (grad * cache[1], grad * cache[0])), None, inputs={"a": (3, 4), "b": (3, 4)})
    result = check_pair(pair, only=lambda check: check == "contract-smaller_batch_works").results[0]
    reason = "does not apply: your code takes no fewer samples, and no reference says that it should"
    assert (result.verdict, result.reason) == (Verdict.SKIPPED, reason)
