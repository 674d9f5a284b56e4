"""Which steps a reference becomes: as people write them, under the names of its own code, and with what each of them is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from crosscheck.core.operation import Call, RefusedError
from crosscheck.oracles.graph.graph import CONSTANT, INPUT, Graph
from crosscheck.oracles.graph.passes import NoGraphError, arguments_of, differentiate, results_of
from crosscheck.references.pytorch.oracle import TorchOracle, oracle, parameter_shapes
from tests.support.graph_sources import differing

RNG = np.random.default_rng(3)


def traced(reference: Any, *shapes: tuple[int, ...], outputs: Sequence[str] = ("output",), constants: Mapping[str, Any] | None = None) -> Graph:
    """Return the graph of a reference for inputs x, y, ... of these shapes, and check that it returns what the reference returns."""
    inputs = {name: RNG.standard_normal(shape) for name, shape in zip("xyz", shapes, strict=False)}
    params = {name: RNG.standard_normal(shape) for name, shape in (parameter_shapes(reference) or {}).items()}
    call = Call(inputs, params, None, constants, None, (*inputs, *(constants or {})), tuple(outputs))
    ready = oracle(reference)
    assert isinstance(ready, TorchOracle)
    graph = ready.graph(call)
    results = results_of(graph, call, graph.values)
    assert not differing(ready, call, results)
    return graph


def operations(graph: Graph) -> list[str]:
    return [step.operation for step in graph.steps if step.operation not in {INPUT, CONSTANT}]


def names(graph: Graph) -> dict[str, str]:
    """Return the operation of each named step."""
    return {step.name: step.operation for step in graph.steps if step.name and step.operation != INPUT}


def roles(graph: Graph) -> set[str]:
    return {step.role for step in graph.steps if step.role}


def attended(x: Any) -> Any:
    q, k, v = x.chunk(3, -1)
    s = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    a = s.softmax(-1)
    return a @ v


class Rounded(torch.autograd.Function):  # type: ignore[misc]
    """Rounds, and hands the gradient through."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        """Return whole numbers."""
        return x.round()

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """Return the gradient as it came."""
        return grad


def another(x: Any) -> Any:
    inner = x.exp()
    return inner + 0


def around_another(x: Any) -> Any:
    s = (x + 1) + another(x)
    return s * 1


def folded(x: Any) -> Any:
    h = 0.0
    for column in x.unbind(1):
        h = 0.5 * h + column.tanh()
    return h


class Recurrent(nn.Module):  # type: ignore[misc]
    """A plain recurrent layer that writes its states into an array."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 3))

    def forward(self, x: Any) -> Any:
        """Return the state after each step."""
        states = torch.zeros_like(x)
        h = torch.zeros_like(x[:, 0])
        for t in range(x.shape[1]):
            z = x[:, t] + h @ self.weight.T
            h = z.tanh()
            states[:, t] = h
        return states


def test_linear_layer_is_a_transpose_a_product_and_a_sum() -> None:
    graph = traced(nn.Linear(4, 2), (2, 3, 4))
    assert operations(graph) == ["transpose", "matmul", "add"]


def test_scalar_is_a_number_of_a_step() -> None:
    graph = traced(lambda x: (x / 2 + 1) ** 2 * torch.tensor(3.0), (2, 3))
    assert operations(graph) == ["divide", "add", "square", "multiply"]
    assert [step.args[1:] for step in graph.steps[1:3]] == [(2.0,), (1.0,)]


def test_steps_have_the_names_of_the_references_own_variables() -> None:
    graph = traced(attended, (2, 4, 9))
    assert names(graph) == {"q": "index", "k": "index", "v": "index", "s": "divide", "a": "divide"}


def test_variables_of_a_loop_and_of_a_module_are_named() -> None:
    graph = traced(Recurrent(), (2, 3, 3))
    assert [(step.name, step.operation) for step in graph.steps if step.name in {"z", "h"}] == [("z", "add"), ("h", "tanh")] * 3
    assert operations(graph).count("replace_at") == 3


def test_statement_that_calls_other_code_names_its_result_alone() -> None:
    graph = traced(around_another, (2, 3))
    assert [(step.name, step.operation) for step in graph.steps if step.name and step.operation != INPUT] == [("inner", "exp"), ("s", "add")]


def test_each_round_of_a_loop_of_one_line_names_its_result() -> None:
    graph = traced(folded, (2, 3))
    assert [step.operation for step in graph.steps if step.name == "h"] == ["add"] * 3


def test_pytorchs_own_variables_name_nothing() -> None:
    graph = traced(nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True), (2, 3, 4))
    assert not names(graph)


@pytest.mark.parametrize(
    ("reference", "shapes", "expected"),
    [
        (nn.LayerNorm(4), [(3, 4)], {"mean", "x - mean", "variance", "standard deviation", "normalised x"}),
        (nn.GroupNorm(2, 4), [(3, 4, 5)], {"mean", "variance"}),
        (F.scaled_dot_product_attention, [(2, 3, 4)] * 3, {"scores", "attention weights", "exponentials"}),
        (
            nn.LSTMCell(3, 4),
            [(2, 3)],
            {"input gate", "forget gate", "output gate", "cell candidate", "cell state", "hidden state"},
        ),
        (nn.GRUCell(3, 4), [(2, 3)], {"reset gate", "update gate", "new gate", "hidden state"}),
    ],
    ids=["layer norm", "group norm", "attention", "lstm", "gru"],
)
def test_steps_know_their_roles(reference: Any, shapes: list[tuple[int, ...]], expected: set[str]) -> None:
    outputs = ("output", "output.c") if isinstance(reference, nn.LSTMCell) else ("output",)
    assert expected <= roles(traced(reference, *shapes, outputs=outputs))


def of_view(x: Any) -> Any:
    y = x.clone()
    y[:, 1:].T[0] = 5.0
    return y * 2


def of_base(x: Any) -> Any:
    y = x.clone()
    part = y[0]
    y.mul_(3)
    return part + 1


def of_mask(x: Any) -> Any:
    y = x.clone()
    y[y > 0] = 0.5
    y.diagonal().add_(1)
    return y


def of_halves(x: Any) -> Any:
    y = torch.empty_like(x)
    y[:, :1].copy_(x[:, 2:])
    y.narrow(1, 1, 2)[:] = x[:, :2].exp()
    y += x
    return y


@pytest.mark.parametrize("reference", [of_view, of_base, of_mask, of_halves], ids=lambda function: function.__name__)
@pytest.mark.parametrize("by_units", [False, True])
def test_writing_to_a_view_writes_to_its_tensor(reference: Callable[[Any], Any], by_units: bool) -> None:
    ready = oracle(reference)
    assert isinstance(ready, TorchOracle)
    first, other = (Call(RNG.standard_normal((3, 3)), cotangents=RNG.standard_normal(3 if reference is of_base else (3, 3))) for _ in range(2))
    graph = differentiate(ready.graph(first), first, by_units)
    for call, values in ((first, graph.values), (other, graph.evaluated(arguments_of(other)))):
        assert not differing(ready, call, results_of(graph, call, values))


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (lambda x: x * torch.rand(3), "rand draws random numbers"),
        (lambda x: F.dropout(x, 0.5), "dropout draws its mask in training"),
        (lambda x: x if x.sum() > 0 else -x, "cannot trace it"),
        (torch.linalg.inv, "no elementary steps are known for PyTorch's linalg_inv_ex"),
        (lambda x: torch.fft.fft(x).abs(), "complex128"),
        (lambda x: x.half().double(), "float16"),
        (lambda x: x[x > 0].sum(), "depends on a computed condition"),
        (lambda x: Rounded.apply(x) * 2, "writes a derivative of its own"),
    ],
    ids=["random", "dropout", "branch", "linear algebra", "complex", "half", "condition", "own derivative"],
)
def test_what_has_no_graph_is_refused_with_the_reason(reference: Any, words: str) -> None:
    ready = oracle(reference)
    assert isinstance(ready, TorchOracle)
    with pytest.raises(NoGraphError, match=words):
        ready.graph(Call(RNG.standard_normal((3, 3))))


def test_wrong_shapes_are_refused_as_by_the_reference() -> None:
    ready = oracle(nn.Linear(4, 2))
    assert isinstance(ready, TorchOracle)
    with pytest.raises(RefusedError):
        ready.graph(Call(np.zeros((3, 3)), {"weight": np.zeros((2, 4)), "bias": np.zeros(2)}))
