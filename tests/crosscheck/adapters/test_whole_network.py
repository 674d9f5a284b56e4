"""A network is set, trained and read by the places of its arrays, in the reference's names and layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crosscheck.adapters.layout import Layout, Parameter
from crosscheck.adapters.whole_network import WholeNetwork, places_in, shapes_in
from crosscheck.adapters.whole_step import WholeStep
from crosscheck.core.guard import SubjectError

DOUBLE = np.dtype(np.float64)


class Net:
    """A matrix with its gradient, and an average that an optimizer keeps."""

    def __init__(self) -> None:
        self.W: Any = np.ones((2, 3))
        self.dW: Any = None
        self.m: Any = np.zeros((2, 3))
        self.running_mean = np.zeros(3)

    def train_step(self, x: Any, y: Any) -> float:
        self.dW = np.outer(x.sum(0), np.ones(3))
        self.m = 0.1 * self.dW
        self.W = self.W - self.m
        return float((x @ self.W).sum() - y)


def declared(net: Net) -> WholeStep:
    return WholeStep(net.train_step, net)


def bound(net: Net) -> WholeNetwork:
    trained = Net()
    trained.train_step(np.ones((1, 2)), 0)
    places = places_in(declared(net), declared(trained), 1)
    assert shapes_in(declared(net), places) == ({"W": (2, 3)}, {"running_mean": (3,)})
    return WholeNetwork(
        declared(net), places, {"W": Parameter("fc.weight", Layout("i o -> o i"))}, {"running_mean": Parameter("bn.running_mean", Layout())}, {}
    )


def test_what_is_set_is_read_in_the_layout_of_the_reference() -> None:
    net = Net()
    network, weight = bound(net), np.arange(6.0).reshape(3, 2)
    network.load({"fc.weight": weight})
    assert (net.W == weight.T).all()
    assert (network.params["fc.weight"] == weight).all()
    assert list(network.buffers) == ["bn.running_mean"]
    assert network.grads(DOUBLE) == {}


def test_gradients_are_those_of_the_last_step() -> None:
    network = bound(Net())
    loss = network.train(network.arguments({"x": np.full((1, 2), 2.0), "y": np.ones(())}), DOUBLE)
    assert loss is not None
    assert loss.shape == ()
    assert (network.grads(DOUBLE)["fc.weight"] == 2).all()


def test_returned_gradients_count() -> None:
    net = Net()
    places = places_in(declared(net), declared(Net()), 1)
    step = WholeStep(lambda x, y: (1.5, {"W": np.full((2, 3), 7.0)}), net)
    network = WholeNetwork(step, places, {"W": Parameter("w", Layout())}, {}, {})
    assert network.train([0, 0], DOUBLE) == 1.5
    assert (network.grads(DOUBLE)["w"] == 7).all()


@pytest.mark.parametrize("given", [{"w": np.ones(2)}, [np.ones(2)], lambda: {"w": np.ones(2)}], ids=["dict", "list", "callable"])
def test_parameters_in_other_places(given: Any) -> None:
    step = WholeStep(lambda x, y: 0.0, given)
    own, _ = shapes_in(step, places_in(step, step, 1))
    assert list(own.values()) == [(2,)]


def test_layouts_of_a_batch_and_one_sample() -> None:
    net = Net()
    step = WholeStep(net.train_step, net, one_sample=True)
    network = WholeNetwork(step, places_in(step, step, 1), {}, {}, {"x": Layout("h w -> 1 w h")})
    image, label = network.arguments({"x": np.zeros((1, 5, 4)), "y": np.array([2])})
    assert (image.shape, label) == ((4, 5), 2)
    with pytest.raises(ValueError, match="x has 2 samples, expected 1"):
        network.arguments({"x": np.zeros((2, 5, 4)), "y": np.array([2, 1])})


def test_parameter_that_is_gone() -> None:
    net = Net()
    network = bound(net)
    del net.W
    with pytest.raises(SubjectError, match="the network's W is missing"):
        _ = network.params


class Called(Net):
    """A network that is called, as layers often are."""

    def __call__(self, x: Any) -> Any:
        return x @ self.W


def test_network_that_can_be_called_is_no_function_of_its_parameters() -> None:
    step = WholeStep(lambda x, y: 0.0, Called())
    own, _ = shapes_in(step, places_in(step, step, 1))
    assert own == {"W": (2, 3)}


def test_gradients_are_asked_for_before_there_are_some() -> None:
    """What is missing before the first step is an error after it."""

    def made() -> WholeStep:
        kept = dict[str, Any]()
        return WholeStep(lambda x, y: kept.update(grad=np.ones(2)), {"w": np.ones(2)}, grads=lambda: {"w": kept["grad"]})

    trained, declared = made(), made()
    trained.step(0, 0)
    network = WholeNetwork(declared, places_in(declared, trained, 1), {"w": Parameter("w", Layout())}, {}, {})
    network.load({"w": np.zeros(2)})
    with pytest.raises(SubjectError, match="reading the gradients raised KeyError"):
        network.grads(DOUBLE)
    network.train([0, 0], DOUBLE)
    assert (network.grads(DOUBLE)["w"] == 1).all()


@pytest.mark.parametrize("given", [{"accuracy": 1.0, "loss": 0.5}, ({"loss": 0.5}, 1.0), 0.5], ids=["dict", "first", "alone"])
def test_loss_in_what_the_step_returns(given: Any) -> None:
    step = WholeStep(lambda x, y: given, {"w": np.ones(2)})
    network = WholeNetwork(step, places_in(step, step, 1), {"w": Parameter("w", Layout())}, {}, {})
    assert network.train([0, 0], DOUBLE) == 0.5
