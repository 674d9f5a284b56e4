"""Where two networks part, found by the arrays that the layers of one take and return."""

from __future__ import annotations

import numpy as np

from crosscheck.adapters.layer_events import Event
from crosscheck.core.precision import Array, Precision
from crosscheck.oracles.whole import Recorded
from crosscheck.training.placement import parted

DOUBLE = Precision(np.dtype(np.float64), 100)
RNG = np.random.default_rng(0)
A, B, C = (RNG.standard_normal((2, 3, 4, 5)) for _ in range(3))
RECORDED = [Recorded("one", A, A + 1), Recorded("two", B, B + 1), Recorded("three", C, C + 1)]


def at(events: list[Event], forward: bool) -> tuple[str, str, str] | None:
    """Return layer and quantity where the networks part, and the reference's module before."""
    found = parted(events, RECORDED, forward, DOUBLE)
    return None if found is None else (found[0].layer, found[0].quantity, found[1])


def test_first_output_that_the_reference_does_not_compute() -> None:
    events = [Event("a", "output", A), Event("b", "output", B + 0.5), Event("c", "output", C + 2)]
    assert at(events, forward=True) == ("b", "output", "one")


def test_further_layers_between_are_no_matter() -> None:
    """A layer that the reference does not have as one, and after which everything agrees, is right."""
    events = [Event("a", "output", A), Event("extra", "output", A * 2), Event("b", "output", B), Event("c", "output", C)]
    assert at(events, forward=True) is None


def test_axes_may_have_another_order() -> None:
    events = [Event("a", "output", A.transpose(0, 2, 3, 1)), Event("b", "output", B.transpose(0, 2, 3, 1) + 0.5)]
    assert at(events, forward=True) == ("b", "output", "one")


def test_gradient_belongs_to_its_array() -> None:
    """What passes a gradient on unchanged returns an array that the reference computes, too, but for another array."""
    events = [
        Event("c", "grad_output", C + 1, C),
        Event("c", "grad_input", B + 1, B),
        Event("b", "grad_output", B + 1, B),
        Event("b", "grad_input", B + 1, A),
    ]
    assert at(events, forward=False) == ("b", "grad_input", "two")
    right: list[tuple[Array, Array]] = [(C + 1, C), (B + 1, B), (A + 1, A)]
    assert at([Event("any", "grad_input", value, of) for value, of in right], forward=False) is None


def test_nothing_to_compare() -> None:
    assert at([], forward=True) is None
    assert at([Event("a", "output", np.ones(7))], forward=True) is None
