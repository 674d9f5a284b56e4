"""A trace keeps what a side did: in order, as copies, and never twice."""

from __future__ import annotations

import numpy as np
import pytest

from crosscheck.core.trace import Place, Trace


def test_order_is_that_of_execution() -> None:
    trace = Trace(1)
    keys = [("conv", "output"), ("pool", "output"), ("conv", "grad_input"), ("a", "b")]
    for layer, quantity in keys:
        trace.record(layer, quantity, np.zeros(1))
    assert list(trace) == keys


def test_copies() -> None:
    """A layer that works in place later cannot change what was recorded."""
    trace, value = Trace(1), np.ones(3)
    trace.record("relu", "output", value)
    value[...] = 0
    assert trace["relu", "output"].tolist() == [1, 1, 1]


def test_taken_over() -> None:
    """An array that was made for the trace is not copied again."""
    trace, value = Trace(1), np.ones(3)
    trace.take("relu", "output", value)
    assert trace["relu", "output"] is value


def test_recorded_twice() -> None:
    trace = Trace(7)
    trace.take("conv", "output", np.ones(1))
    with pytest.raises(ValueError, match=r"step 7, conv\.output is recorded already; use two names for a layer that runs twice in a step"):
        trace.record("conv", "output", np.zeros(1))
    assert trace["conv", "output"].tolist() == [1]


def test_parameters_as_the_step_found_them() -> None:
    """Neither the updated ones, nor the optimizer's state, nor those of another layer."""
    trace = Trace(1)
    for number, (layer, quantity) in enumerate(
        [("conv", "weight.before"), ("conv", "weight.momentum.before"), ("linear", "weight.before"), ("conv", "weight"), ("conv", "weight.momentum")]
    ):
        trace.record(layer, quantity, np.array([float(number)]))
    assert {name: value.tolist() for name, value in trace.before("conv", ["weight"]).items()} == {"weight": [0]}


def test_left_out_with_a_reason() -> None:
    trace = Trace(1)
    trace.leave_out("conv", "grad_input", "backprop returns none")
    assert ("conv", "grad_input") not in trace
    assert trace.absent == {("conv", "grad_input"): "backprop returns none"}


@pytest.mark.parametrize(("step", "text"), [(0, "conv.weight.grad"), (12, "step 12, conv.weight.grad")])
def test_place(step: int, text: str) -> None:
    assert str(Place(step, "conv", "weight.grad")) == text


def test_what_a_step_leaves_behind() -> None:
    """What passed through and what was there before is gone; a state of whatever name stays."""
    trace = Trace(3)
    for quantity in ("weight.before", "input", "output", "grad_output", "grad_input", "weight.grad", "weight", "weight.momentum", "running_mean"):
        trace.record("conv", quantity, np.zeros(1))
    left = trace.left()
    assert (left.step, [quantity for _, quantity in left]) == (3, ["weight", "weight.momentum", "running_mean"])
