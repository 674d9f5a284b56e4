"""Contracts for which the reference is asked about other inputs."""

from __future__ import annotations

import pytest

from crosscheck import Verdict
from crosscheck.core.precision import Array
from tests.support.contract_checks import HOSTS, INFINITY, found
from tests.support.plain import Scale
from tests.support.unshrunk import check


@pytest.mark.parametrize("host", ["relu", "sigmoid", "softmax", "cross-entropy", "maxpool"])
def test_right_layer_beside_minus_infinity(host: str) -> None:
    result = check(HOSTS[host].pair(HOSTS[host].right), only=lambda name: name == f"contract-{INFINITY}").results[0]
    assert (result.verdict, result.reason) == (Verdict.MATCH, "")


class Doubles(Scale):
    """Wrong in its output, whatever the number of samples."""

    def forward(self, x: Array) -> Array:
        return 2 * super().forward(x)


class DoublesAll(Doubles):
    """Wrong in its gradients as well."""

    def backward(self, grad_output: Array) -> Array:
        return super().backward(2 * grad_output)


def test_what_is_wrong_anyway_is_no_matter_of_many_samples() -> None:
    assert found("many_samples_work", Doubles()).verdict is Verdict.MATCH
    result = found("many_samples_work", DoublesAll())
    assert (result.verdict, result.reason) == (Verdict.SKIPPED, "does not apply: a small batch is computed wrong already")
