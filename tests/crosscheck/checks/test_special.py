"""Values that a reference treats in a special way: they are always among the inputs, and where the reference is NaN a convention is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn
from torch.nn import functional

from crosscheck import Functions, LossFunction, Mask, Pair, Verdict
from crosscheck.checks import checks_of
from crosscheck.core.precision import Array
from tests.support.unshrunk import check

Loss = Callable[[Array, Array], tuple[Any, Array]]


def cross_entropy(ignored: int | None, count: Callable[[Any], Any], keep_gradient: bool = False) -> Loss:
    """Return a cross-entropy that ignores a label (None: it knows of none) and divides by what ``count`` makes of which labels are kept."""

    def loss(x: Array, y: Array) -> tuple[Any, Array]:
        shifted = x - x.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        keep = np.ones(len(y), bool) if ignored is None else y != ignored
        rows, own = np.arange(len(y)), np.where(keep, y, 0)
        total = x.dtype.type(count(keep))
        grad = np.exp(log_p)
        grad[rows, own] -= 1
        if not keep_gradient:
            grad = grad * keep[:, None]
        with np.errstate(all="ignore"):
            return -np.where(keep, log_p[rows, own], x.dtype.type(0)).sum() / total, np.nan_to_num(grad / total)

    return loss


def verdicts(loss: Loss, ignored: int) -> dict[str, Verdict]:
    pair = Pair(LossFunction(loss), nn.CrossEntropyLoss(ignore_index=ignored), [(6, 4)])
    found = check(pair, only=lambda name: name.startswith("special-float64") or name == "values-float64-normal")
    return {result.check.removeprefix("special-float64-"): result.verdict for result in found.results}


SOME, ONE, ALL, USUAL = "some-labels-ignored", "all-labels-but-one-ignored", "all-labels-ignored", "values-float64-normal"
LOSSES: dict[str, tuple[Loss, int, set[str], set[str]]] = {
    "right": (cross_entropy(2, np.sum), 2, set(), set()),
    "right, PyTorch's default": (cross_entropy(-100, np.sum), -100, set(), set()),
    "counted in the mean": (cross_entropy(2, len), 2, {SOME, ONE, ALL}, set()),
    "counted in the mean, PyTorch's default": (cross_entropy(-100, len), -100, {SOME, ONE, ALL}, set()),
    "gradient of what is ignored": (cross_entropy(2, np.sum, keep_gradient=True), 2, {SOME, ONE, ALL}, set()),
    "gradient of what is ignored, PyTorch's default": (cross_entropy(-100, np.sum, keep_gradient=True), -100, {SOME, ONE, ALL}, set()),
    "zero instead of NaN": (cross_entropy(2, lambda keep: max(keep.sum(), 1)), 2, {ALL}, set()),
    "knows of no ignored label": (cross_entropy(None, len), -100, set(), {SOME, ONE, ALL}),
}
"""For each loss: the label that the reference ignores, the checks that differ, and those that do not apply."""


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_labels(name: str) -> None:
    loss, ignored, wrong, moot = LOSSES[name]
    found = verdicts(loss, ignored)
    expected = {
        check: Verdict.MISMATCH if check in wrong else Verdict.SKIPPED if check in moot else Verdict.MATCH for check in (USUAL, SOME, ONE, ALL)
    }
    assert found == expected


def test_difference_in_nan_is_named_as_a_convention() -> None:
    """It can be declared, and the rest still counts."""
    loss = cross_entropy(2, lambda keep: max(keep.sum(), 1))
    pair = Pair(LossFunction(loss), nn.CrossEntropyLoss(ignore_index=2), [(6, 4)], expected={"special-*-all-labels-ignored": "0 instead of NaN"})
    result = next(one for one in check(pair).results if one.check == "special-float64-all-labels-ignored")
    assert result.judgements[0][1].reason == (
        "with all labels ignored, output at [] is 0, in the reference nan; this is a convention: to keep yours, declare the check in expected"
    )
    assert check(pair).verdict is Verdict.MATCH


def attention(q: Array, k: Array, v: Array, mask: Array) -> tuple[Array, Any]:
    """Attend to the places that a mask shows; a query that sees nothing gets zeros."""
    scores = np.where(mask, q @ k.swapaxes(-1, -2) / q.dtype.type(np.sqrt(q.shape[-1])), -np.inf)
    top = scores.max(axis=-1, keepdims=True)
    e = np.exp(scores - np.where(np.isfinite(top), top, 0))
    total = e.sum(axis=-1, keepdims=True)
    p = np.asarray(e / np.where(total > 0, total, 1), q.dtype)
    return p @ v, (q, k, v, p)


def attention_backward(d: Array, cache: Any) -> tuple[Array, Array, Array]:
    q, k, v, p = cache
    dp = d @ v.swapaxes(-1, -2)
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True)) / q.dtype.type(np.sqrt(q.shape[-1]))
    return ds @ k, ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ d


def unguarded(q: Array, k: Array, v: Array, mask: Array) -> tuple[Array, Any]:
    """Give NaN to a query that sees nothing."""
    scores = np.where(mask, q @ k.swapaxes(-1, -2) / q.dtype.type(np.sqrt(q.shape[-1])), -np.inf)
    with np.errstate(all="ignore"):
        e = np.exp(scores - scores.max(axis=-1, keepdims=True))
        p = np.asarray(e / e.sum(axis=-1, keepdims=True), q.dtype)
    return p @ v, (q, k, v, p)


@pytest.mark.parametrize(("forward", "verdict"), [(attention, Verdict.MATCH), (unguarded, Verdict.MISMATCH)], ids=["zeros", "nan"])
def test_row_that_is_hidden_completely(forward: Any, verdict: Verdict) -> None:
    """PyTorch gives zeros for it; everything else is the same."""
    inputs = {"query": "batch target dim", "key": "batch source dim", "value": "batch source dim", "attn_mask": Mask("target source")}
    sizes = {"batch": 2, "target": 3, "source": 5, "dim": 4}
    pair = Pair(Functions(forward, attention_backward), functional.scaled_dot_product_attention, inputs=inputs, sizes=sizes)
    found = {one.check: one.verdict for one in check(pair, only=lambda name: name.endswith(("float64-normal", "hidden"))).results}
    assert found["values-float64-normal"] is Verdict.MATCH
    assert found["special-float64-a-row-of-attn-mask-completely-hidden"] is verdict


def test_input_that_the_subject_does_not_take() -> None:
    """The check says so and is skipped."""

    def forward(q: Array, k: Array, v: Array) -> tuple[Array, Any]:
        return attention(q, k, v, np.ones((q.shape[-2], k.shape[-2]), bool))

    pair = Pair(Functions(forward, attention_backward), functional.scaled_dot_product_attention, [(2, 3, 4)])
    found = check(pair, only=lambda name: name.startswith("special-float64"))
    assert [(one.verdict, one.reason) for one in found.results] == [(Verdict.SKIPPED, "your code does not take attn_mask")]


@pytest.mark.parametrize("reference", [nn.Linear(4, 4), nn.MSELoss(), None], ids=["linear", "mse", "none"])
def test_others_have_no_such_checks(reference: Any) -> None:
    pair = Pair(LossFunction(cross_entropy(None, len)), reference, [(6, 4)])
    assert not [check.name for check in checks_of(pair) if check.name.startswith("special")]
