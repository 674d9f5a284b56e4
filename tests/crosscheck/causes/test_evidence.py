"""Several faults in one layer: each wrong quantity is reported with a cause of its own."""

from __future__ import annotations

import pytest
from torch import nn

from crosscheck import Pair
from crosscheck.checks import Settings
from crosscheck.checks.facts import check_facts
from crosscheck.checks.values import value_check
from crosscheck.core.precision import Array
from crosscheck.report.words import also_wrong
from crosscheck.run.check import PairResult, check_pair
from tests.textbook.convolution import Conv2d


class TwoFaults(Conv2d):
    """The bias is not added, and its gradient is averaged; all else is right."""

    def bias(self) -> Array:
        """Return nothing to add."""
        return 0 * super().bias()

    def bias_gradient(self, grad_output: Array) -> Array:
        """Return the mean over samples."""
        return super().bias_gradient(grad_output) / len(grad_output)


@pytest.fixture(scope="module")
def found() -> PairResult:
    """Return what is found about a layer with two faults."""
    same = {"weight": "weight", "bias": "bias"}
    pair = Pair(TwoFaults(2, 3, (3, 3)), nn.Conv2d(2, 3, 3), shapes=[(4, 2, 7, 6)], params=same, name="conv")
    return check_pair(pair, Settings(shrink=False), only=lambda name: name in ("values-float64-normal", "values-float64-digits"))


def test_each_wrong_quantity_has_its_cause(found: PairResult) -> None:
    """The first divergence has the first fault's cause, the other quantity the other one's."""
    first = found.results[0]
    assert first.divergence is not None
    causes = {one.judgement.place.quantity: one.cause.name for one in [first.divergence, *first.others] if one.cause}
    assert causes == {"output": "bias left out", "bias.grad": "constant factor"}


def test_cause_is_looked_for_once(found: PairResult) -> None:
    """What is known from the check before is not looked for again."""
    assert found.results[1].others == []


def test_report_says_the_other_cause(found: PairResult) -> None:
    """Beside the other wrong quantity stands why."""
    checks = [check_facts(value_check(result.dtype, result.check.rpartition("-")[2]), result, "again", 0.0) for result in found.results]
    lines = list(also_wrong({"name": "conv", "checks": checks}, checks[0]))
    assert [line for line in lines if line.startswith("bias.grad in 2 checks") and "divided by the batch size, 4" in line]
