"""A network whose layers are listened to: the trace of its own training step is what it computed, in order, and nothing stays of listening."""

from __future__ import annotations

import numpy as np
import pytest

from crosscheck.adapters.network import Network
from crosscheck.adapters.network_listened import TracedNetwork, Unseen
from crosscheck.core.guard import SubjectError
from tests.support.hand_written import AttributesMLP

SHAPES = {"first": {"weight": (4, 5), "bias": (4,)}, "relu": {}, "second": {"weight": (3, 4), "bias": (3,)}}
PARAMS = [(layer, name) for layer in ("first", "second") for name in ("weight", "bias")]
FORWARD = [(layer, quantity) for layer in SHAPES for quantity in ("input", "output")]
BACKWARD = [
    *(("second", name) for name in ("grad_output", "grad_input", "weight.grad", "bias.grad")),
    *(("relu", name) for name in ("grad_output", "grad_input")),
    *(("first", name) for name in ("grad_output", "grad_input", "weight.grad", "bias.grad")),
]
X, LABELS = np.arange(20.0).reshape(4, 5) - 10, np.array([0, 1, 2, 0])


def listened(network: AttributesMLP, with_loss: bool = True) -> TracedNetwork:
    """Return a network ready to be trained, its parameters whole numbers, so that sums of products are exact."""
    declared = Network([network.first, network.relu, network.second], network.train, network.loss if with_loss else None)
    layouts, inferred = declared.layouts(SHAPES)
    assert inferred == [f"{layer}: {text}" for layer in ("first", "second") for text in ("W is weight: a b -> b a", "b is bias")]
    bound, rng = declared.bound(layouts, None), np.random.default_rng(0)
    bound.load({f"{layer}.{name}": rng.integers(-3, 4, SHAPES[layer][name]).astype(np.float64) for layer, name in PARAMS})
    return bound


@pytest.mark.parametrize("with_loss", [True, False], ids=["loss of its own", "loss inside the step"])
def test_trace_is_in_the_order_of_execution(with_loss: bool) -> None:
    """A loss inside the step is known by what went in and out of it."""
    trace = listened(AttributesMLP("float64", 0.5), with_loss).traced_step(1, X, LABELS)
    before, after = [(layer, f"{name}.before") for layer, name in PARAMS], PARAMS
    loss = [("loss", name) for name in ("input", "output", "grad_input")]
    assert [key for key in trace if key not in loss] == [*before, *FORWARD, *BACKWARD, *after]
    assert [key for key in trace if key in loss] == loss


def test_trace_is_what_was_computed() -> None:
    network = listened(AttributesMLP("float64", 0.5))
    trace = network.traced_step(1, X, LABELS)
    for layer in ("first", "second"):
        weight, bias = trace[layer, "weight.before"], trace[layer, "bias.before"]
        assert np.array_equal(trace[layer, "output"], trace[layer, "input"] @ weight.T + bias)
        assert np.array_equal(trace[layer, "bias"], bias - 0.5 * trace[layer, "bias.grad"])
        assert np.array_equal(network.params[f"{layer}.weight"], trace[layer, "weight"])
    assert np.array_equal(trace["first", "input"], X)
    assert np.array_equal(trace["relu", "output"], trace["second", "input"])


def test_step_that_is_not_traced_is_the_same_step() -> None:
    traced, plain = listened(AttributesMLP("float64", 0.5)), listened(AttributesMLP("float64", 0.5))
    trace, outcome = traced.traced_step(1, X, LABELS), plain.step(X, LABELS)
    assert outcome.loss == trace["loss", "output"]
    assert np.array_equal(outcome.output, trace["second", "output"])
    assert all(np.array_equal(value, traced.params[name]) for name, value in plain.params.items())
    assert np.array_equal(plain.predict(X), traced.predict(X))


def test_nothing_stays_of_listening() -> None:
    network = AttributesMLP("float64", 0.5)
    listened(network).traced_step(1, X, LABELS)
    assert not {"forward", "backward"} & {name for layer in (network.first, network.relu, network.second, network.loss) for name in vars(layer)}


def test_nothing_stays_of_listening_to_a_step_that_fails() -> None:
    network = AttributesMLP("float64", 0.5)
    subject = listened(network)
    with pytest.raises(SubjectError, match="IndexError"):
        subject.traced_step(1, X, LABELS + 7)
    assert "forward" not in vars(network.first)


def test_what_is_inside_the_step_says_so() -> None:
    unseen = Unseen("train.py:7")
    assert unseen.sources == {"output": "train.py:7", "grad_input": "train.py:7"}
    assert set(unseen.absent.values()) == {"computed inside the training step, not by a separate function"}
