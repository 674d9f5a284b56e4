"""Parameters and gradients are found wherever an object keeps them, under dotted names, and can be read and written in every copy."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace as Thing
from typing import Any

import numpy as np
import pytest

from crosscheck.adapters.kept import Kept, dotted, find, place


def w() -> Any:
    return np.ones((2, 3))


def b() -> Any:
    return np.ones(3)


class Lists:
    """Methods that return lists of the attributes' arrays."""

    def __init__(self) -> None:
        self.W, self.b = w(), b()
        self.dW, self.db = 0 * w(), 0 * b()

    def parameters(self) -> Any:
        return [self.W, self.b]

    def gradients(self) -> Any:
        return [self.dW, self.db]


class Copies:
    """A method that returns copies, which would be no place to write to."""

    def __init__(self) -> None:
        self.W = w()

    def parameters(self) -> Any:
        return [self.W.copy()]


class Slots:
    """Attributes without a dict."""

    __slots__ = ("W", "dW")

    def __init__(self) -> None:
        self.W, self.dW = w(), None


class Pairs:
    """A generator of pairs, as in joelnet."""

    def __init__(self) -> None:
        self._w = w()
        self._g = 0 * w()

    def params_and_grads(self) -> Any:
        yield self._w, self._g


SHARED = Thing(W=w(), dW=None)
FOUND: dict[str, tuple[Callable[[], Any], dict[str, tuple[str, str | None]]]] = {
    "dicts": (lambda: Thing(params={"W": w(), "b": b()}, grads={}), {"W": ("params.W", "grads.W"), "b": ("params.b", "grads.b")}),
    "dicts-with-d": (lambda: Thing(parameters={"W1": w()}, grads={"dW1": w()}), {"W1": ("parameters.W1", "grads.dW1")}),
    "lists": (lambda: Thing(params=[w(), b()], grads=[]), {"params.0": ("params.0", "grads.0"), "params.1": ("params.1", "grads.1")}),
    "tuples": (lambda: Thing(params=(w(),), grads=(w(),)), {"params.0": ("params.0", "grads.0")}),
    "attributes": (lambda: Thing(W=w(), b=b(), dW=None, db=None), {"W": ("W", "dW"), "b": ("b", "db")}),
    "grads-of-attributes": (lambda: Thing(W=w(), grads={"W": None}), {"W": ("W", "grads.W")}),
    "lists-of-attributes": (lambda: Thing(weights=[w()], d_weights=[w()]), {"weights.0": ("weights.0", "d_weights.0")}),
    "capital": (lambda: Thing(weight=w(), gradWeight=None), {"weight": ("weight", "gradWeight")}),
    "objects": (lambda: Thing(W=Thing(data=w(), grad=None)), {"W": ("W.data", "W.grad")}),
    "dicts-of-objects": (lambda: Thing(params={"W": {"value": w(), "grad": None}}), {"W": ("params.W.value", "params.W.grad")}),
    "pairs": (lambda: Thing(params=[(w(), w())]), {"params.0": ("params.0.0", "params.0.1")}),
    "generator": (Pairs, {"_w": ("_w", "params_and_grads.0.1")}),
    "methods": (Lists, {"W": ("W", "dW"), "b": ("b", "db")}),
    "copies": (Copies, {"W": ("W", None)}),
    "slots": (Slots, {"W": ("W", "dW")}),
    "statistics": (lambda: Thing(params={"gamma": b(), "running_mean": b()}, grads={}), {"gamma": ("params.gamma", "grads.gamma")}),
    "no-gradients": (lambda: Thing(W=w(), name="x", act=np.tanh), {"W": ("W", None)}),
    "further-arrays": (lambda: Thing(params={"W": w()}, grads={}, table=w(), cache={"x": w()}), {"W": ("params.W", "grads.W")}),
    "empty-dict": (lambda: Thing(params={}, grads={}, target=w()), {}),
    "empty-dict-and-attributes": (lambda: Thing(params={}, W=w(), dW=None, table=w()), {"W": ("W", "dW")}),
    "empty-dict-and-layers": (lambda: Thing(params={}, inner=Thing(W=w())), {"inner.W": ("inner.W", None)}),
    "nested": (lambda: Thing(attention=Thing(W_q=w(), dW_q=None)), {"attention.W_q": ("attention.W_q", "attention.dW_q")}),
    "nested-lists": (
        lambda: Thing(layers=[Thing(params={"W": w()}, grads={}), Thing(W=w(), W_grad=None)]),
        {"layers.0.W": ("layers.0.params.W", "layers.0.grads.W"), "layers.1.W": ("layers.1.W", "layers.1.W_grad")},
    ),
    "shared-layer": (lambda: Thing(first=SHARED, second=SHARED), {"first.W": ("first.W", "first.dW")}),
    "array-called-value": (lambda: Thing(key=w(), value=w(), dkey=None, dvalue=None), {"key": ("key", "dkey"), "value": ("value", "dvalue")}),
    "same-names": (
        lambda: Thing(a=Thing(params={"W": w()}, W=w())),
        {"a.W": ("a.params.W", None)},
    ),
}


@pytest.mark.parametrize("case", FOUND)
def test_found(case: str) -> None:
    make, expected = FOUND[case]
    found = find(make())
    assert {name: (dotted(kept.path), None if kept.grad is None else dotted(kept.grad)) for name, kept in found.items()} == expected


def test_read_and_written_in_a_copy() -> None:
    network = Thing(layers=[Thing(W=w(), dW=None)])
    other, kept = copy.deepcopy(network), find(network)["layers.0.W"]
    assert kept.read_grad(other) is None
    kept.clear_grad(other)
    kept.write(other, 2 * w())
    kept.write_grad(other, 3 * w())
    assert (kept.read(other).sum(), kept.read_grad(other).sum(), kept.read(network).sum()) == (12, 18, 6)
    kept.clear_grad(other)
    assert not other.layers[0].dW.any()


def test_gradient_of_a_method_that_fails() -> None:
    """Such as one that stacks gradients before there are any."""

    class Failing(Copies):
        def gradients(self) -> Any:
            raise RuntimeError("call backward first")

    assert Kept(("W",), ("gradients", 0)).read_grad(Failing()) is None


def test_places_as_text() -> None:
    assert place(dotted(("layers", 0, "W"))) == ("layers", 0, "W")
