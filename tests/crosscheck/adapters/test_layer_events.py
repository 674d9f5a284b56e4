"""What layers take and return is recorded in order, and the layers are afterwards as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crosscheck.adapters.layer_events import Event, observed


class Doubling:
    """Return twice what it gets, in both directions."""

    def forward(self, x: Any) -> Any:
        return 2 * x

    def backward(self, grad: Any) -> Any:
        return 2 * grad


class Keeping(Doubling):
    """Return nothing, but keep it."""

    def forward(self, x: Any) -> None:
        self.output = 2 * x

    def backward(self, grad: Any) -> None:
        self.dinputs = 2 * grad


class Called(Doubling):
    """Be called as a function."""

    forward = None  # type: ignore[assignment]

    def __call__(self, x: Any) -> Any:
        return 2 * x


class Net:
    def __init__(self, layer: Any) -> None:
        self.layers = [layer]

    def step(self, x: Any) -> None:
        (layer,) = self.layers
        (layer if isinstance(layer, Called) else layer.forward)(x)
        layer.backward(x + 1)


def events_of(net: Net) -> list[Event]:
    events: list[Event] = []
    with observed([net, net.step], events):
        net.step(np.ones(3))
    return events


@pytest.mark.parametrize("kind", [Doubling, Keeping, Called])
def test_forward_and_backward_are_recorded(kind: type) -> None:
    net = Net(kind())
    found = events_of(net)
    assert [(event.layer, event.quantity, event.value[0]) for event in found] == [
        (f"layers.0 ({kind.__name__})", "output", 2.0),
        (f"layers.0 ({kind.__name__})", "grad_output", 2.0),
        (f"layers.0 ({kind.__name__})", "grad_input", 4.0),
    ]
    assert type(net.layers[0]) is kind
    assert not {"forward", "backward"} & set(vars(net.layers[0]))


def test_gradients_belong_to_the_pass_that_they_go_back_through() -> None:
    """A layer that is used twice goes back through its last use first."""
    net, events = Net(Doubling()), list[Event]()
    layer = net.layers[0]
    with observed([net], events):
        layer.forward(np.ones(2))
        layer.forward(np.full(2, 5.0))
        layer.backward(np.zeros(2))
        layer.backward(np.zeros(2))
    of = [float(event.of[0]) for event in events if event.of is not None]
    assert of == [10.0, 5.0, 2.0, 1.0]


def test_nothing_is_observed_unasked() -> None:
    net = Net(Doubling())
    with observed([net], None):
        assert not vars(net.layers[0])
