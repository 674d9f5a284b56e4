"""What a backward pass wrote decides where the gradients are."""

from __future__ import annotations

from types import SimpleNamespace as Thing
from typing import Any

import numpy as np
import pytest

from crosscheck.adapters.gradient_places import Written
from crosscheck.adapters.kept import dotted, find

ONE, TWO, NEW = np.ones(3), np.ones((3, 2)), np.full(3, 0.5)

AFTER: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str | None]]] = {
    # name: attributes before a backward pass, what is there after it besides, and the places of the gradients
    "made-by-backward": ({"W": TWO, "b": ONE}, {"dW": 5 * TWO, "db": NEW}, {"W": "dW", "b": "db"}),
    "dict-made-by-backward": ({"params": {"W": ONE}}, {"grads": {"dW": NEW}}, {"W": "grads.dW"}),
    "any-prefix": ({"W": TWO, "b": ONE}, {"slope_of_W": 5 * TWO, "slope_of_b": NEW}, {"W": "slope_of_W", "b": "slope_of_b"}),
    "any-name": ({"params": [ONE]}, {"slopes": [NEW]}, {"params.0": "slopes.0"}),
    "two-with-any-prefix": ({"b": ONE}, {"slope_b": NEW, "rate_b": 2 * NEW}, {"b": None}),
    "momentum-is-none": ({"b": ONE, "vb": 0 * ONE}, {"db": NEW}, {"b": "db", "vb": "dvb"}),
    "cache-is-none": ({"b": ONE}, {"x": NEW}, {"b": None}),
    "part-of-a-word-is-none": ({"b": ONE}, {"batch_mean": NEW}, {"b": None}),
    "camel-case": ({"W": ONE}, {"slopeW": NEW}, {"W": "slopeW"}),
    "stale-list": ({"b": ONE, "db": 0 * ONE, "grads": {"b": 0 * ONE}}, {"db": NEW}, {"b": "db"}),
    "missing": ({"W": TWO, "b": ONE}, {"dW": 5 * TWO}, {"W": "dW", "b": "db"}),
}


@pytest.mark.parametrize("case", AFTER)
def test_after_a_backward_pass(case: str) -> None:
    before, written, expected = AFTER[case]
    found = find(Thing(**before), Written(Thing(**before), Thing(**{**before, **written})))
    assert {name: None if kept.grad is None else dotted(kept.grad) for name, kept in found.items()} == expected


def test_what_was_seen() -> None:
    """A gradient that backward forgot has a place, but nothing is there."""
    before = Thing(W=TWO, b=ONE)
    found = find(before, Written(before, Thing(W=TWO, b=ONE, dW=TWO)))
    assert {name: kept.seen for name, kept in found.items()} == {"W": True, "b": False}


def test_rivals() -> None:
    """Two arrays that may be the gradient, with different values, are both shown; what a forward pass wrote is none of them."""
    before = Thing(W=ONE, dW=None, grad_W=None, gW=NEW)
    found = find(Thing(W=ONE), Written(before, Thing(W=ONE, dW=2 * NEW, grad_W=NEW, gW=NEW, W_grad=2 * NEW)))["W"]
    assert (found.grad, found.rivals) == (("dW",), (("grad_W",),))
