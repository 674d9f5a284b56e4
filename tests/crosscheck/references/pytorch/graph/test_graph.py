"""The graph of every reference in the tests' tables computes what PyTorch computes, forward and backward, as far as rounding allows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Judgement, Verdict
from crosscheck.core.operation import Call, Oracle
from crosscheck.oracles.graph import backward
from crosscheck.oracles.graph.derivatives import RULES
from crosscheck.oracles.graph.passes import NoGraphError, Traceable, arguments_of, differentiate, results_of
from tests.support.graph_sources import differing, of_family, sources
from tests.support.right_ways.remembering import Remembering

_LINEAR_ALGEBRA = (
    "inverse",
    "solve",
    "determinant",
    "logarithm of the determinant",
    "cholesky",
    "cholesky solve",
    "triangular solve",
    "qr",
    "singular values",
    "eigenvalues",
    "pseudoinverse",
    "least squares",
    "elimination",
    "reflections",
)
_COMPLEX = ("fft", "rfft", "irfft", "fft2", "stft", "eigenvalues, not symmetric", "square root of squares")
_FUNCTIONS = ("digamma", "inverse error function", "log gamma")

WITHOUT: Mapping[str, str] = {
    **{f"case {name}": "factorises matrices" for name in _LINEAR_ALGEBRA},
    **{f"case {name}": "computes with complex numbers" for name in _COMPLEX},
    **{f"case {name}": "is no elementary function" for name in _FUNCTIONS},
    "case matrix exponential": "decides by the size of the matrix how often it squares",
    "case interpolate antialias": "has no steps for filters of antialiasing",
    "case interpolate bicubic antialias": "has no steps for filters of antialiasing",
    "case alignments": "has no steps for sums over alignments",
    "task module CTCLoss": "has no steps for sums over alignments",
    "task module FractionalMaxPool2d": "has no steps for windows of random sizes",
    "task module FractionalMaxPool3d": "has no steps for windows of random sizes",
    "task module CrossMapLRN2d": "writes its own derivative, and changes the shape of a tensor in place",
    "task module GaussianNLLLoss": "looks whether a variance is negative",
}
"""References that have no graph, each with what stands in the way."""

INEXACT: Mapping[str, str] = {
    "function HardSigmoid": "PyTorch's own gradient takes a sixth in single precision",
    "task module Hardsigmoid": "PyTorch's own gradient takes a sixth in single precision",
    "task module CELU, alpha 0.7": "PyTorch's own gradient divides by alpha in single precision",
}
"""References whose gradient is less exact than the graph's."""

FIXED: Mapping[str, str] = {"task dropout": "the tests' own oracle takes the mask out of the call, so that it is part of the code"}
"""References that hold for the numbers of one call only."""

NAMES = tuple(sources())


@cache
def drawn(name: str) -> tuple[Oracle, Oracle, Call]:
    """Return a reference, the same one with a memory, and a call of it."""
    with warnings.catch_warnings(action="ignore"):
        reference, call = sources()[name](0)
    return reference, Remembering(reference), call


def wrong(name: str, by_units: bool, seed: int = 0) -> dict[str, Judgement]:
    """Return what is wrong with the results of a reference's graph; with a seed, on another call than the one that the graph was made from."""
    reference, remembering, first = drawn(name)
    assert isinstance(reference, Traceable)
    graph = differentiate(reference.graph(first), first, by_units)
    call = sources()[name](seed)[1] if seed else first
    return differing(remembering, call, results_of(graph, call, graph.evaluated(arguments_of(call)) if seed else graph.values))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("by_units", [False, True], ids=["by steps", "by units"])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITHOUT])
def test_graph_computes_what_the_reference_computes(name: str, by_units: bool) -> None:
    found = wrong(name, by_units)
    assert found.keys() <= ({"grad_input"} if name in INEXACT else set()), found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in NAMES if name not in {*WITHOUT, *FIXED}])
def test_graph_holds_for_other_numbers(name: str) -> None:
    """Nothing of the first call is left in the graph: with the arguments of another call it computes what the reference computes for this one."""
    found = wrong(name, by_units=True, seed=1)
    assert found.keys() <= ({"grad_input"} if name in INEXACT else set()), found


@pytest.mark.slow("judges every family of inputs; test_graph_computes_what_the_reference_computes judges normal ones")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "normal"])
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("task ") and name not in WITHOUT])
def test_graph_is_right_at_ties_and_for_large_and_small_numbers(name: str, family: str) -> None:
    reference, call = of_family(family)[name](0)
    assert isinstance(reference, Traceable)
    graph = differentiate(reference.graph(call), call, by_units=True)
    found = differing(reference, call, results_of(graph, call, graph.values))
    mismatching = {quantity for quantity, judgement in found.items() if judgement.verdict is Verdict.MISMATCH}
    assert mismatching <= ({"grad_input"} if name in INEXACT else set()), found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WITHOUT)
def test_reference_without_a_graph_is_refused(name: str) -> None:
    reference, _, call = drawn(name)
    assert isinstance(reference, Traceable)
    with pytest.raises(NoGraphError):
        reference.graph(call)


def test_every_reference_without_a_graph_is_one_of_the_tables() -> None:
    assert {*WITHOUT, *INEXACT} <= {*NAMES}


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("tanh", "task module LSTM"),
        ("divide", "task module RMSNorm"),
        ("matmul", "task module Conv2d"),
        ("amax", "task module MaxPool2d, overlapping"),
    ],
)
def test_wrong_rule_is_seen(monkeypatch: pytest.MonkeyPatch, operation: str, name: str) -> None:
    """A rule whose gradients are a millionth of a millionth too large makes the gradients of real layers mismatch."""
    right = RULES[operation]

    def changed(graph: Any, *others: Any) -> Any:
        for number, part in right(graph, *others):
            yield number, graph.add("multiply", part, 1 + 1e-12)

    monkeypatch.setattr(backward, "RULES", {**RULES, operation: changed})
    found = wrong(name, by_units=False)
    assert "output" not in found
    assert found["grad_input"].verdict is Verdict.MISMATCH
