"""Networks within networks: names, the graph, modes, freezing, and gradients that add up where ways meet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scratch
from scratch import LeakyReLU, Linear, Residual, Sequential, Tanh
from scratch.layer import Array

rng = np.random.default_rng


def network() -> Sequential:
    """Return a chain with a block without and one with a shortcut, and a block within, whose numbers are exact in evaluation: no sum is rounded."""
    source = rng(0)
    model = Sequential(
        first=Linear(4, 5, rng=source),
        block1=Residual(Sequential(linear1=Linear(5, 5, rng=source), relu=LeakyReLU(0.5), linear2=Linear(5, 5, rng=source))),
        block2=Residual(
            Sequential(norm=scratch.BatchNorm1d(5, eps=1), linear=Linear(5, 3, rng=source), inner=Residual(LeakyReLU(0.5))),
            Sequential(linear=Linear(5, 3, rng=source)),
        ),
        last=LeakyReLU(0.5),
    )
    for value in model.params.values():
        value[...] = source.integers(-9, 10, value.shape)
    model.buffers["block2.norm.running_var"][...] = 3
    return model


def integers(seed: int, *shape: int) -> Array:
    """Return small whole numbers."""
    return rng(seed).integers(-9, 10, shape).astype(float)


def test_graph() -> None:
    assert {name: sources for name, (_, sources) in network().graph().items()} == {
        "first": ("input",),
        "block1.linear1": ("first",),
        "block1.relu": ("block1.linear1",),
        "block1.linear2": ("block1.relu",),
        "block2.norm": ("block1.linear2", "first"),
        "block2.linear": ("block2.norm",),
        "block2.inner.body": ("block2.linear",),
        "block2.shortcut.linear": ("block1.linear2", "first"),
        "last": ("block2.inner.body", "block2.linear", "block2.shortcut.linear"),
    }


Drawn = str | tuple[list[Any], list[Any] | None]
"""The name of a layer, or a residual block: its body, and its shortcut if that is not the identity."""

CHAINS = st.lists(
    st.recursive(
        st.sampled_from(["linear", "leaky"]),
        lambda part: st.tuples(st.lists(part, min_size=1, max_size=2), st.none() | st.lists(part, min_size=1, max_size=2)),
        max_leaves=8,
    ),
    min_size=1,
    max_size=3,
)


def chain(drawn: list[Drawn]) -> Sequential:
    """Return a chain of layers and blocks, all of width 3, with weights of -1, 0 and 1: its numbers are exact."""
    return Sequential(**{f"part{number}": part(one) for number, one in enumerate(drawn)})


def part(drawn: Drawn) -> scratch.composite.Part:
    """Return a layer or a block."""
    if isinstance(drawn, tuple):
        body, shortcut = drawn
        return Residual(chain(body), None if shortcut is None else chain(shortcut))
    if drawn == "leaky":
        return LeakyReLU(0.5)
    layer = Linear(3, 3, rng=rng(0))
    layer.params["weight"][...] = rng(3).integers(-1, 2, (3, 3))
    return layer


def differing(model: Sequential) -> list[str]:
    """Return the quantities in which a network differs from its graph, where outputs add up, and gradients in the backward pass."""
    outputs, grad_output = {"input": integers(1, 2, 3)}, integers(2, 2, 3)
    cotangents = {name: np.zeros(()) for name in ("input", *model.layers)} | {"last": grad_output}
    expected = {"output": model.forward(outputs["input"]), "grad_input": model.backward(grad_output), **model.grads}
    expected = {name: value.copy() for name, value in expected.items()}
    for name, (layer, sources) in model.graph().items():
        outputs[name] = layer.forward(np.sum([outputs[source] for source in sources], axis=0))
    for name, (layer, sources) in reversed(model.graph().items()):
        grad_input = layer.backward(cotangents[name])
        for source in sources:
            cotangents[source] = cotangents[source] + grad_input
    found = {"output": outputs["last"], "grad_input": cotangents["input"], **model.grads}
    return [name for name, value in expected.items() if not np.array_equal(found[name], value)]


@given(CHAINS)
def test_graph_computes_what_the_network_does(drawn: list[Drawn]) -> None:
    assert differing(Sequential(blocks=chain(drawn), last=LeakyReLU(0.5))) == []


def test_graph_without_the_shortcut_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Residual.wire
    monkeypatch.setattr(Residual, "wire", lambda self, graph, prefix, sources: right(self, graph, prefix, sources)[:-1])
    assert {"output", "grad_input"} <= set(differing(Sequential(block=part((["linear"], None)), last=LeakyReLU(0.5))))


def test_names() -> None:
    model = network()
    model.forward(rng(1).standard_normal((3, 4)))
    model.backward(rng(2).standard_normal((3, 3)))
    linear = ["first", "block1.linear1", "block1.linear2"]
    names = [f"{layer}.{name}" for layer in [*linear, "block2.norm", "block2.linear", "block2.shortcut.linear"] for name in ("weight", "bias")]
    assert list(model.params) == names
    assert list(model.grads) == names
    assert list(model.buffers) == ["block2.norm.running_mean", "block2.norm.running_var"]


def test_modes_reach_every_layer() -> None:
    model = network()
    model.eval()
    assert [name for name, layer in model.layers.items() if layer.training] == []
    model.train()
    assert [name for name, layer in model.layers.items() if not layer.training] == []


def test_block_is_frozen_as_a_whole() -> None:
    model = network()
    model.freeze("first", "block1")
    model.forward(rng(1).standard_normal((3, 4)))
    grad = model.backward(rng(2).standard_normal((3, 3)))
    assert model.frozen == {"first", "block1.linear1", "block1.relu", "block1.linear2"}
    assert {name.split(".")[0] for name in model.trainable_params} == {"block2"}
    assert list(model.grads) == list(model.trainable_params)
    assert grad.shape == (3, 5)
    assert model.layers["first"].grads == {}


def frozen() -> Sequential:
    """Return a chain that is frozen."""
    chain = Sequential(linear=Linear(2, 2, rng=rng(0)))
    chain.freeze("linear")
    return chain


def shared(layer: scratch.Layer) -> Sequential:
    """Return a network that has the same layer in two places."""
    return Sequential(a=layer, b=Residual(layer))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: Sequential(end=Residual(Tanh())).graph(), "ends in a sum, of end.body and input; add a layer", id="ends-in-a-sum"),
        pytest.param(lambda: Sequential(**{"a.b": Tanh()}), "called 'a.b', expected a name without a dot", id="dot"),
        pytest.param(lambda: Sequential(input=Tanh()), "other than 'input'", id="input"),
        pytest.param(lambda: Residual(Sequential(shortcut=Tanh()), Tanh()), "two layers are called 'shortcut'", id="shortcut-twice"),
        pytest.param(lambda: shared(Tanh()), "same Tanh is at 'a' and at 'b.body'", id="shared"),
        pytest.param(lambda: Sequential(inner=frozen()), "inner: a chain within a network cannot freeze layers of its own", id="frozen"),
        pytest.param(lambda: network().freeze("block1.relu"), "no layer is called 'block1.relu'; the layers are first, block1", id="freeze"),
        pytest.param(
            lambda: Residual(Linear(3, 1, rng=rng(0))).forward(np.ones((2, 3))), r"\(2, 3\) into \(2, 1\), the shortcut into \(2, 3\)", id="shape"
        ),
    ],
)
def test_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=message):
        make()
