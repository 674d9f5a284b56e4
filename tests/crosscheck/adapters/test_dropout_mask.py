"""A dropout, judged by the mask that it drew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn

from crosscheck import Functions, Pair, PairResult, Settings, Verdict
from crosscheck.checks import checks_of
from crosscheck.core.precision import Array
from crosscheck.run.record_trace import record
from crosscheck.run.select import Selection
from tests.support.unshrunk import check
from tests.textbook.dropout import Dropout

IMAGES = [(5, 3, 4, 5)]


class Scaling(Dropout):
    """Leaves its mask, scaled already, in an attribute."""

    def drawn(self, shape: tuple[int, ...]) -> Any:
        self.left = super().drawn(shape) / self.kept()
        return self.left != 0


HIDDEN = np.random.default_rng(0)


class HiddenGenerator(Dropout):
    """Draws from a generator that it does not hold."""

    def drawn(self, shape: tuple[int, ...]) -> Any:
        return HIDDEN.random(shape) < self.kept()


class Everybodys(Dropout):
    """Draws from the generator that NumPy keeps for everybody."""

    def drawn(self, shape: tuple[int, ...]) -> Any:
        return np.random.rand(*shape) < self.kept()  # noqa: NPY002 - as people write it


def judged(result: PairResult) -> set[tuple[str, str]]:
    """Return the quantities that were compared, each with the kind of check."""
    found = [(one.check.partition("-")[0], j) for one in result.results for _, j in one.judgements]
    return {(kind, j.place.quantity) for kind, j in found if j.verdict is Verdict.MATCH}


def dropped(subject: Any, **settings: Any) -> PairResult:
    """Check a dropout."""
    return check(Pair(subject, nn.Dropout(0.3), shapes=IMAGES, **settings))


@pytest.mark.parametrize(
    ("make", "settings"),
    [(lambda: Dropout(0.3), {}), (lambda: Scaling(0.3), {"mask": "left"}), (lambda: Everybodys(0.3), {})],
    ids=["seen", "declared", "everybody's"],
)
def test_dropout_is_judged_by_its_mask(make: Callable[[], Any], settings: dict[str, Any]) -> None:
    result = dropped(make(), **settings)
    assert result.verdict is Verdict.MATCH, result.first
    assert judged(result) == {(kind, quantity) for kind in ("values", "evaluation") for quantity in ("output", "grad_input")}
    assert {one.verdict for one in result.results if one.check == "contract-draws_new_masks"} == {Verdict.MATCH}


def test_a_mask_that_is_not_left_is_a_mismatch() -> None:
    first = dropped(Dropout(0.3), mask="mask").first
    assert first is not None
    assert first.reason.startswith("after forward, 'mask' holds nothing, expected the dropout's mask")


def test_contracts_need_random_numbers_that_can_be_repeated() -> None:
    result = dropped(HiddenGenerator(0.3))
    reasons = {one.check: one.reason for one in result.results}
    assert result.verdict is Verdict.MATCH, result.first
    assert reasons["contract-same_call_same_answer"].endswith("from a generator that the harness cannot find")


def test_a_layer_of_functions_has_no_evaluation_mode() -> None:
    """And its dropout is judged in training all the same."""

    def forward(x: Array, p: float = 0.3) -> tuple[Array, Array]:
        mask = (np.random.rand(*x.shape) >= p) / (1 - p)  # noqa: NPY002 - as people write it
        return np.asarray(x * mask, x.dtype), np.asarray(mask, x.dtype)

    result = dropped(Functions(forward, lambda grad_output, mask: grad_output * mask, cache=True))
    assert result.verdict is Verdict.MATCH, result.first
    assert judged(result) == {("values", "output"), ("values", "grad_input")}


def test_a_dropout_is_not_recorded() -> None:
    pair = Pair(Dropout(0.3), nn.Dropout(0.3), shapes=IMAGES)
    trace = record([Selection(pair, checks_of(pair), 0)], "reference", Settings(), lambda name: None)
    assert trace.recordings[0].error.endswith("which a trace of the reference cannot contain; check it where its reference is installed")
