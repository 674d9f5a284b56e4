"""Training steps that show the loss and the parameters alone."""

from __future__ import annotations

import pytest

from crosscheck.core.judge import Verdict
from tests.support.hand_written import Array, PlainMLP
from tests.support.model_pairs import result_of, stepping, whole_pair

PRECISIONS = pytest.mark.parametrize("dtype", ["float64", "float32"])


@PRECISIONS
def test_stale_gradient_of_a_whole_step(dtype: str) -> None:
    """Each step uses the gradients of the step before."""

    def stale(network: PlainMLP, grads: dict[str, Array]) -> dict[str, Array]:
        last = getattr(network, "last", grads)
        network.last = grads  # type: ignore[attr-defined]
        return last

    result = result_of(whole_pair(stepping(stale)), f"lockstep-{dtype}")
    assert result.divergence is not None
    assert str(result.divergence.judgement.place) == "step 2, second.weight"
    assert result.divergence.cause is not None
    assert result.divergence.cause.name == "stale gradient"


@PRECISIONS
def test_free_run_leaves_its_yardstick(dtype: str) -> None:
    """A gradient that is off by a thousandth drives the weights apart."""
    result = result_of(whole_pair(stepping(lambda _, grads: {"W2": grads["W2"] * grads["W2"].dtype.type(1.001)})), f"freerun-{dtype}")
    assert result.verdict is Verdict.MISMATCH
    assert "moved away from the reference by step" in result.reason
