"""A layer of any convention as a function of one call: samples put together, results kept, inputs put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch import nn

from crosscheck import Dicts, Functions, Pair, Verdict
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from crosscheck.pairs.prepare import prepare
from tests.support.conventional import LAYERS, Kernel, ObjectLayer
from tests.support.unshrunk import check


class TestOneSample:
    """Batches that the harness puts together."""

    def pair(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> Pair:
        return Pair(Functions(forward, backward, cache=False, one_sample=True), nn.ReLU(), [(3, 4)], fixed_batch=True, fixed_sizes=True)

    def test_shapes_that_differ(self) -> None:
        """Output sizes that depend on the values."""
        result = check(self.pair(lambda x: x[x > 0], lambda d, x: d), only=lambda name: name == "values-float64-normal")
        assert result.results[0].verdict is Verdict.MISMATCH
        assert "output has the shapes" in result.results[0].reason

    def test_number_for_a_vector(self) -> None:
        result = check(self.pair(lambda x: x.max(), lambda d, x: x.max()), only=lambda name: name == "values-float64-normal")
        reasons = [judgement.reason for _, judgement in result.results[0].judgements]
        assert reasons == ["the shape is (), expected (3, 4)", "grad_input is a single number, expected an array of the input's shape"]

    def test_one_sample_fails(self) -> None:
        """The output of the others is there to be judged: only what failed is wrong."""

        def backward(d: Array, x: Array) -> Array:
            if x[0] > 0:
                raise ValueError("positive")
            return d * (x > 0)

        result = check(self.pair(lambda x: np.maximum(x, 0), backward), only=lambda name: name == "values-float64-huge")
        verdicts = {judgement.place.quantity: judgement.verdict for _, judgement in result.results[0].judgements}
        assert verdicts == {"output": Verdict.MATCH, "grad_input": Verdict.MISMATCH}
        assert result.results[0].reason.startswith("backward raised ValueError: positive")


@pytest.mark.parametrize("one_sample", [False, True])
def test_output_is_kept_as_it_was_returned(one_sample: bool) -> None:
    """A backward pass that uses the output's memory again does not change what forward had returned."""

    class Reusing(ObjectLayer):
        def forward(self, x: Array, labels: Any = None) -> Any:
            self.out = super().forward(x)
            return self.out

        def backward(self, grad_output: Array) -> Any:
            self.out[...] = 0
            return super().backward(grad_output)

    kernel = Kernel(LAYERS["relu"], one_sample=one_sample)
    found = prepare(Pair(Dicts(Reusing(kernel), one_sample=one_sample), nn.ReLU(), [(2, 3, 4)])).layer
    result = found.vjp(Call(np.ones((2, 3, 4)), {}, np.ones((2, 3, 4))))
    assert result["output"].all()


def test_inputs_are_put_back() -> None:
    """What a subject writes to does not reach the diagnosis, nor the case that is kept for a reproduction."""

    class Writing(ObjectLayer):
        def forward(self, x: Array, labels: Any = None) -> Any:
            output = super().forward(x)
            x[...] = 0
            return output * 2

    pair = Pair(Writing(Kernel(LAYERS["relu"])), nn.ReLU(), [(2, 3, 4)])
    first = check(pair).first
    assert first is not None
    assert first.given is not None
    assert first.given.call.x.any()
