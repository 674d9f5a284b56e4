"""References of JAX as graphs of elementary steps: outputs, buffers and all gradients are the reference's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import reference.jax as framework
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import Call
from crosscheck.oracles.graph.graph import Graph
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.jax.graph import call as graphs
from crosscheck.references.jax.graph.table import RULES
from crosscheck.references.jax.oracle import JaxOracle
from tests.support.cases import CASES
from tests.support.graphs import call_of, kinds, named, of_table, wrong

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 6))
LABELS = np.array([2, 0, 0, 3])
SHOWN = ["normal-conv2d-g3s2p1", "ties-maxpool2d-3s2p1", "normal-batchnorm2d", "kinks-leakyrelu", "normal-softmaxcrossentropy"]


@pytest.mark.slow("each is compiled with its rounding; the rows show windows, ties, a unit with buffers, a kink and labels", default=SHOWN)
@pytest.mark.parametrize(("family", "name"), [(family, name) for family in ("normal", "ties", "kinks") for name in CASES])
def test_layer_of_the_table(family: str, name: str) -> None:
    assert wrong(*of_table(framework.twin, name, family)) == []


def graph_of(function: Callable[..., Any], x: Any = X, **constants: Any) -> Graph:
    return JaxOracle(function).graph(Call(x, constants=constants))


def by_hand(x: Any) -> Any:
    powers = jnp.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def batch_norm(x: Any) -> Any:
    mean = x.mean(0)
    centred = x - mean
    var = (centred**2).mean(axis=0)
    y = centred / jnp.sqrt(var + 1e-5)
    return 3 * y


def at_labels(x: Any, labels: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(x), labels[:, None], axis=1).mean()


UNITS: Mapping[str, tuple[Callable[..., Any], str]] = {
    "softmax": (jax.nn.softmax, "softmax"),
    "softmax by hand": (by_hand, "softmax"),
    "log-softmax": (jax.nn.log_softmax, "log_softmax"),
    "log-sum-exp": (lambda x: jax.nn.logsumexp(x, 1), "log_sum_exp"),
    "gelu": (lambda x: jax.nn.gelu(x, approximate=False), "gelu"),
    "gelu by hand": (lambda x: x * 0.5 * (1 + lax.erf(x / np.sqrt(2))), "gelu"),
    "silu": (jax.nn.silu, "silu"),
    "batch normalisation": (batch_norm, "normalised"),
    "with rsqrt": (lambda x: (x - x.mean(1, keepdims=True)) * (lax.rsqrt(jnp.var(x, 1, keepdims=True) + 1e-5) * X[0]), "normalised"),
    "root mean square": (lambda x: x * lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6), "rms_normalised"),
}


@pytest.mark.parametrize("name", UNITS)
def test_unit_is_recognised_by_its_steps(name: str) -> None:
    function, kind = UNITS[name]
    assert kinds(graph_of(function)) == [kind]


@pytest.mark.parametrize(
    "function",
    [
        at_labels,
        lambda x, labels: -jax.nn.log_softmax(x)[jnp.arange(4), labels].mean(),
        lambda x, labels: -(jax.nn.one_hot(labels, 6) * jax.nn.log_softmax(x)).sum(1).mean(),
    ],
    ids=["take_along_axis", "index", "one-hot"],
)
def test_cross_entropy_is_written_with_one_hot_labels(function: Callable[..., Any]) -> None:
    steps = [step.operation for step in graph_of(function, labels=LABELS).steps]
    assert steps[-6:] == ["one_hot", "multiply", "sum", "negative", "sum", "divide"]


def test_almost_a_unit_is_none() -> None:
    """The denominator lacks a term, the mean is one of another axis, the variance is the unbiased one."""
    assert kinds(graph_of(lambda x: (p := jnp.exp(x - x.max(1, keepdims=True))) / p[:, 1:].sum(1, keepdims=True))) == []
    assert kinds(graph_of(lambda x: (x - x.mean(0, keepdims=True)) / jnp.sqrt(jnp.var(x, 1, keepdims=True) + 1e-5))) == []
    assert kinds(graph_of(lambda x: (x - x.mean(1, keepdims=True)) / jnp.sqrt(jnp.var(x, 1, ddof=1, keepdims=True) + 1e-5))) == []


def test_steps_have_the_names_of_the_variables() -> None:
    assert named(graph_of(batch_norm)) == {"mean": "mean", "centred": "subtract", "var": "mean", "y": "divide"}
    assert named(graph_of(jax.jit(batch_norm)))["centred"] == "subtract"


def test_graph_reads_as_it_was_written() -> None:
    """A bias is added without copies of it, a mask without copies for each sample, a sum divided by its count is a mean."""
    graph = graph_of(lambda x: jnp.where(np.tril(np.ones((6, 6), bool)), x.reshape(4, 1, 6) + X[0, :6], 0.0).mean((1, 2)))
    assert [step.operation for step in graph.steps] == ["input", "reshape", "constant", "add", "constant", "where", "mean"]
    assert [graph.shape(at) for at in graph.steps[5].sources] == [(6, 6), (4, 1, 6)]


def loop_of_unknown_length(x: Any) -> Any:
    return lax.while_loop(lambda y: y.sum() < 9, lambda y: y + 1, x)


REFUSED: Mapping[str, tuple[Callable[..., Any], str]] = {
    "linear algebra": (lambda x: jnp.linalg.inv(x[:, :4]), "JAX's lu"),
    "Fourier transform": (lambda x: jnp.abs(jnp.fft.rfft(x)), "fft computes with complex numbers"),
    "special function": (lambda x: lax.digamma(jnp.abs(x) + 1), "JAX's digamma"),
    "angle": (lambda x: jnp.arctan2(x, 2 * x), "JAX's atan2"),
    "inverse of erf": (lambda x: lax.erf_inv(jnp.tanh(x)), "JAX's erf_inv"),
    "narrow type": (lambda x: x.astype(np.float32).sum(), "a result is converted to float32"),
    "branch": (lambda x: lax.cond(x[0, 0] > 0, jnp.sin, jnp.cos, x), "which branch is taken depends on computed numbers"),
    "loop": (loop_of_unknown_length, "the number of turns of a loop depends on computed numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_reference_without_a_graph_says_why(name: str) -> None:
    function, reason = REFUSED[name]
    with pytest.raises(NoGraphError, match=reason):
        graph_of(function)


@pytest.mark.parametrize(
    ("primitive", "instead", "quantities"),
    [
        ("tanh", lambda t, params, x: t.elementwise("sigmoid", x), {"output", "grad_input"}),
        ("reduce_sum", lambda t, params, x: t.add("amax", t.at(x), axes=tuple(params["axes"]), keepdims=False), {"output", "grad_input"}),
        ("stop_gradient", lambda t, params, x: x, {"grad_input"}),
    ],
)
def test_wrong_rule_is_seen(monkeypatch: pytest.MonkeyPatch, primitive: str, instead: Any, quantities: set[str]) -> None:
    monkeypatch.setattr(graphs, "RULES", {**RULES, primitive: instead})
    own = JaxOracle(lambda x: (jnp.tanh(x) * lax.stop_gradient(x)).sum(1))
    found = wrong(own, call_of(own, X))
    assert {quantity for _, quantity, _, _ in found} == quantities
    assert {verdict for _, _, verdict, _ in found} == {Verdict.MISMATCH}
