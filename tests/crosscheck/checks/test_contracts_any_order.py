"""Code that is right and not repeatable: declared, it is judged by tolerance alone, and what it does wrong is seen all the same."""

from __future__ import annotations

import numpy as np
import pytest

from crosscheck import Pair, Verdict, check
from crosscheck.checks.facts import pair_facts
from crosscheck.core.precision import Array
from crosscheck.report.words import pair_line
from tests.support import plain

ORDERS = np.random.default_rng(0)
SAMPLES = 50


class AnyOrder(plain.Scale):
    """Adds the weight's gradient up in another order each time."""

    def backward(self, grad_output: Array) -> Array:
        grad_input = super().backward(grad_output)
        self.grads["weight"] = ORDERS.permutation(grad_output * self.x).sum(axis=0)
        return grad_input


class WrongInAnyOrder(AnyOrder):
    """Is off by a thousandth as well."""

    def backward(self, grad_output: Array) -> Array:
        grad_input = super().backward(grad_output)
        self.grads["weight"] *= 1.001
        return grad_input


class LeavesTheRest(AnyOrder):
    """Keeps the samples of a larger batch before."""

    kept = np.zeros((0, plain.FEATURES))

    def forward(self, x: Array) -> Array:
        output = super().forward(x)
        self.x = self.kept = np.concatenate([x, self.kept[len(x) :].astype(x.dtype)])
        return output

    def backward(self, grad_output: Array) -> Array:
        rest = np.ones((len(self.x) - len(grad_output), plain.FEATURES), grad_output.dtype)
        return super().backward(np.concatenate([grad_output, rest]))[: len(grad_output)]


def pair(kind: type[AnyOrder], deterministic: bool) -> Pair:
    return Pair(kind(), plain.ScaleReference(), shapes=[(SAMPLES, plain.FEATURES)], deterministic=deterministic)


def wrong(kind: type[AnyOrder], deterministic: bool) -> dict[str, str]:
    return {one.check: one.reason for one in check(pair(kind, deterministic)).results if one.verdict is Verdict.MISMATCH}


def test_declared_it_is_right() -> None:
    result = check(pair(AnyOrder, deterministic=False))
    assert (result.verdict, [one.check for one in result.results if one.verdict is Verdict.UNDECIDED]) == (Verdict.MATCH, [])


def test_not_declared_it_is_a_mismatch_with_a_hint() -> None:
    found = wrong(AnyOrder, deterministic=True)
    assert not any(name.startswith("values-") for name in found)
    assert found["contract-same_call_same_answer"].endswith(
        "weight.grad; rounding explains the difference: if the order of your sums may vary, declare deterministic=False"
    )


def test_no_hint_where_rounding_is_not_all() -> None:
    """A gradient that piles up is another one each time, whatever the order."""

    class PilesUp(AnyOrder):
        def backward(self, grad_output: Array) -> Array:
            before = self.grads.get("weight", 0)
            grad_input = super().backward(grad_output)
            self.grads["weight"] = self.grads["weight"] + before
            return grad_input

    found = wrong(PilesUp, deterministic=True)["contract-same_call_same_answer"]
    assert found.startswith("float64: different the second time: weight.grad; the gradients add up")
    assert "rounding" not in found
    assert "contract-same_call_same_answer" in wrong(PilesUp, deterministic=False)


@pytest.mark.parametrize("check_name", ["values-float64-normal", "values-float32-normal"])
def test_what_is_wrong_is_wrong_in_any_order(check_name: str) -> None:
    assert check_name in wrong(WrongInAnyOrder, deterministic=False)


def test_state_of_the_call_before_is_seen_in_any_order() -> None:
    assert (
        wrong(LeavesTheRest, deterministic=False)["contract-smaller_batch_works"]
        == "float64: a smaller batch after a larger one changes: weight.grad"
    )


@pytest.mark.parametrize(("deterministic", "said"), [(True, False), (False, True)])
def test_report_says_what_was_declared(deterministic: bool, said: bool) -> None:
    line = pair_line(pair_facts(pair(AnyOrder, deterministic)))
    assert ("declared as not deterministic" in line) is said
