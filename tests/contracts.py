"""Contracts beyond values: what a layer must not do, each a small function that says what was broken, or nothing.

They ask a layer of the ``forward``, ``backward``, ``params`` and ``grads`` kind directly, as a training loop does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from crosscheck.arithmetic import Array
from crosscheck.operation import Call

Results = dict[str, Array]
Contract = Callable[[Any, Call, Call], str]
"""Gets a layer that was never used, a call, and another call with fewer samples; returns what was broken."""


def forward(layer: Any, call: Call) -> Array:
    """Run a layer's forward pass, or a loss's."""
    return np.asarray(layer.forward(call.x, *call.constants.values()))


def backward(layer: Any, call: Call, scale: float = 1.0) -> Results:
    """Run the backward pass and return the gradients as they are, not copied."""
    assert call.grad_output is not None
    # Scaled only where that is asked for: a layer that writes to its cotangent must get the one that is looked at.
    cotangent = call.grad_output if scale == 1 else call.grad_output * call.grad_output.dtype.type(scale)
    grad_input = layer.backward() * scale if call.constants else layer.backward(cotangent)
    return {"grad_input": grad_input} | {f"{name}.grad": value for name, value in getattr(layer, "grads", {}).items()}


def both(layer: Any, call: Call) -> Results:
    """Run both passes and return everything, not copied."""
    return {"output": forward(layer, call)} | backward(layer, call)


def copied(results: Results) -> Results:
    """Return copies."""
    return {name: np.array(value) for name, value in results.items()}


def differing(one: Results, other: Results) -> str:
    """Return the names of the results that are not the same bit for bit."""
    return ", ".join(name for name in one if not np.array_equal(one[name], other[name]))


def inputs_are_left_alone(layer: Any, call: Call, smaller: Call) -> str:
    """Require that neither input, cotangent, labels nor parameters are written to."""
    given: Results = {"input": call.x, "labels": call.constants.get("labels", np.zeros(0))} | getattr(layer, "params", {})
    given |= {} if call.grad_output is None else {"grad_output": call.grad_output}
    before = copied(given)
    both(layer, call)
    return differing(before, given)


def dtype_is_kept(layer: Any, call: Call, smaller: Call) -> str:
    """Require that everything comes out in the precision that went in."""
    return ", ".join(f"{name} is {value.dtype}" for name, value in both(layer, call).items() if value.dtype != call.x.dtype)


def same_call_same_answer(layer: Any, call: Call, smaller: Call) -> str:
    """Require the same bits from a call repeated."""
    first = copied(both(layer, call))
    return differing(first, both(layer, call))


def backward_twice_does_not_accumulate(layer: Any, call: Call, smaller: Call) -> str:
    """Require that a second backward pass replaces the gradients of the first."""
    forward(layer, call)
    first = copied(backward(layer, call))
    return differing(first, backward(layer, call))


def smaller_batch_works(layer: Any, call: Call, smaller: Call) -> str:
    """Require that nothing of a larger batch is left in the smaller one after it."""
    alone = copied(both(layer, smaller))
    both(layer, call)
    return differing(alone, both(layer, smaller))


def backward_uses_the_last_forward(layer: Any, call: Call, smaller: Call) -> str:
    """Require that after two forward passes the backward pass differentiates the second."""
    alone = copied(both(layer, smaller))
    forward(layer, call)
    forward(layer, smaller)
    return differing({name: value for name, value in alone.items() if name != "output"}, backward(layer, smaller))


def results_are_kept(layer: Any, call: Call, smaller: Call) -> str:
    """Require that what a call returned is not changed by the calls after it."""
    first = both(layer, call)
    before = copied(first)
    both(layer, smaller)
    return differing(before, first)


def forward_leaves_gradients(layer: Any, call: Call, smaller: Call) -> str:
    """Require that a forward pass, as in testing, does not touch the gradients that are there."""
    before = copied(both(layer, call))
    forward(layer, smaller)
    after = {f"{name}.grad": value for name, value in getattr(layer, "grads", {}).items()}
    return differing({name: value for name, value in before.items() if name in after}, after)


def backward_is_linear(layer: Any, call: Call, smaller: Call) -> str:
    """Require exactly twice the gradients for twice the cotangent: a power of two involves no rounding."""
    forward(layer, call)
    once = {name: 2 * value for name, value in copied(backward(layer, call)).items()}
    return differing(once, backward(layer, call, 2.0))


CONTRACTS: dict[str, Contract] = {
    contract.__name__: contract
    for contract in (
        inputs_are_left_alone,
        dtype_is_kept,
        same_call_same_answer,
        backward_twice_does_not_accumulate,
        smaller_batch_works,
        backward_uses_the_last_forward,
        results_are_kept,
        forward_leaves_gradients,
        backward_is_linear,
    )
}
