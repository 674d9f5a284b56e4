"""Steps as formulas: brackets where they are needed and nowhere else, names and roles, and how far down a formula goes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from crosscheck.causes.variants.change import Rewrite, made
from crosscheck.causes.variants.formulas import Formulas
from crosscheck.core.operation import Call
from crosscheck.oracles.graph.graph import At, Graph
from crosscheck.oracles.graph.passes import differentiate

Steps = Callable[..., Rewrite]
"""Gets three arrays and returns an expression of them."""


def graph() -> tuple[Graph, list[At]]:
    result = Graph()
    return result, [result.input(name, np.full((2, 2), number)) for name, number in (("a", 1.0), ("b", 2.0), ("c", 3.0))]


FORMULAS: Mapping[str, Steps] = {
    "a + b + c": lambda a, b, c: made("add", made("add", a, b), c),
    "a + b - c": lambda a, b, c: made("subtract", made("add", a, b), c),
    "a - (b + c)": lambda a, b, c: made("subtract", a, made("add", b, c)),
    "a - (b - c)": lambda a, b, c: made("subtract", a, made("subtract", b, c)),
    "a - b - c": lambda a, b, c: made("subtract", made("subtract", a, b), c),
    "(a + b) * c": lambda a, b, c: made("multiply", made("add", a, b), c),
    "a * b + c": lambda a, b, c: made("add", made("multiply", a, b), c),
    "a + b * c": lambda a, b, c: made("add", a, made("multiply", b, c)),
    "a / (b * c)": lambda a, b, c: made("divide", a, made("multiply", b, c)),
    "a / (b / c)": lambda a, b, c: made("divide", a, made("divide", b, c)),
    "a / b / c": lambda a, b, c: made("divide", made("divide", a, b), c),
    "a * (b / c)": lambda a, b, c: made("multiply", a, made("divide", b, c)),
    "(a + b)**2": lambda a, b, c: made("square", made("add", a, b)),
    "a**2 * b": lambda a, b, c: made("multiply", made("square", a), b),
    "(a**2)**2": lambda a, b, c: made("square", made("square", a)),
    "a**3": lambda a, b, c: made("power", a, 3),
    "-a * b": lambda a, b, c: made("multiply", made("negative", a), b),
    "-(a + b)": lambda a, b, c: made("negative", made("add", a, b)),
    "(-a)**2": lambda a, b, c: made("square", made("negative", a)),
    "a * (-b)": lambda a, b, c: made("multiply", a, made("negative", b)),
    "a - -b": lambda a, b, c: made("subtract", a, made("negative", b)),
    "a @ b @ c": lambda a, b, c: made("matmul", made("matmul", a, b), c),
    "a @ (b @ c)": lambda a, b, c: made("matmul", a, made("matmul", b, c)),
    "a @ b.T": lambda a, b, c: made("matmul", a, made("transpose", b, axes=(1, 0))),
    "(a + b).T": lambda a, b, c: made("transpose", made("add", a, b), axes=(1, 0)),
    "tanh(a + b)": lambda a, b, c: made("tanh", made("add", a, b)),
    "where(a > b, a, c)": lambda a, b, c: made("where", made("greater", a, b), a, c),
    "sum(a * b, axis=1)": lambda a, b, c: made("sum", made("multiply", a, b), axes=(1,)),
    "mean(a, axis=(0, 1))": lambda a, b, c: made("mean", a, axes=(0, 1)),
    "sum(a, axis=1) / (n - 1)": lambda a, b, c: made("mean", a, axes=(1,), less=1),
    "max(a, axis=0)": lambda a, b, c: made("amax", a, axes=(0,)),
    "a[:, 0]": lambda a, b, c: made("index", a, key=(slice(None), 0)),
    "(a + b)[0, 1:]": lambda a, b, c: made("index", made("add", a, b), key=(0, slice(1, None))),
    "1 / (a + b)": lambda a, b, c: made("reciprocal", made("add", a, b)),
    "1 / sqrt(a)": lambda a, b, c: made("reciprocal", made("sqrt", a)),
    "a / 2.5": lambda a, b, c: made("divide", a, 2.5),
    "a + b * 0.1": lambda a, b, c: made("add", a, made("multiply", b, 0.1)),
    "~(a > b)": lambda a, b, c: made("logical_not", made("greater", a, b)),
    "a + b * c - a": lambda a, b, c: made("subtract", made("add", a, made("multiply", b, c)), a),
}


def of_python(text: str) -> Rewrite:
    """Read a formula as Python does, as the operations that it stands for."""
    return of_node(ast.parse(text, mode="eval").body)


_BINARY = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.MatMult: "matmul", ast.Pow: "power"}


def of_node(node: ast.expr) -> Rewrite:
    if isinstance(node, ast.BinOp):
        return made(_BINARY[type(node.op)], of_node(node.left), of_node(node.right))
    if isinstance(node, ast.UnaryOp):
        assert isinstance(node.op, ast.USub)
        return made("negative", of_node(node.operand))
    assert isinstance(node, ast.Name)
    return At("abc".index(node.id))


@pytest.mark.parametrize("text", FORMULAS)
def test_formula_has_the_brackets_that_it_needs(text: str) -> None:
    known, arrays = graph()
    assert Formulas(known).rewritten(FORMULAS[text](*arrays), depth=5) == text


ONLY_SIGNS = [text for text in FORMULAS if not {*text} - {*"abc+-*/@() "} and "**" not in text]


@pytest.mark.parametrize("text", ONLY_SIGNS)
def test_python_reads_the_formula_as_the_same_operations(text: str) -> None:
    _, arrays = graph()
    assert of_python(text) == FORMULAS[text](*arrays)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a", lambda a, b, c: made("negative", made("negative", a))),
        ("a * b", lambda a, b, c: made("negative", made("multiply", made("negative", a), b))),
        ("(a + b) / c", lambda a, b, c: made("divide", made("negative", made("negative", made("add", a, b))), c)),
        ("-(-a + b)", lambda a, b, c: made("negative", made("add", made("negative", a), b))),
    ],
)
def test_two_signs_cancel(text: str, steps: Steps) -> None:
    known, arrays = graph()
    assert Formulas(known).rewritten(steps(*arrays), depth=5) == text


@pytest.mark.parametrize(
    ("depth", "text"), [(0, "..."), (1, "exp(...)"), (2, "exp(... + c)"), (3, "exp(tanh(...) + c)"), (4, "exp(tanh(a * b) + c)")]
)
def test_formula_ends_at_its_depth(depth: int, text: str) -> None:
    known, (a, b, c) = graph()
    at = known.add("exp", known.add("add", known.add("tanh", known.add("multiply", a, b)), c))
    assert Formulas(known).name(at, depth) == text


def test_names_come_before_roles_and_roles_before_formulas() -> None:
    known, (a, b, c) = graph()
    named = known.named(known.add("add", a, b, role="total score"), "score")
    role = known.add("multiply", a, b, role="variance")
    words = known.add("multiply", b, c, role="sum of exponentials")
    plain = known.add("divide", a, b)
    formulas = Formulas(known)
    assert [formulas.name(at) for at in (a, named, role, words, plain)] == ["a", "score", "variance", "sum of exponentials", "a / b"]
    assert formulas.of(named) == "a + b"
    assert formulas.of(known.add("divide", named, role)) == "score / variance"
    assert formulas.of(known.add("square", words)) == "(sum of exponentials)**2"


@pytest.mark.parametrize("moved", ["same", "stop", "reshape", "expand"])
def test_steps_that_compute_nothing_are_not_seen(moved: str) -> None:
    known, (a, b, _) = graph()
    settings: dict[str, Any] = {"shape": (2, 2)} if moved in ("reshape", "expand") else {}
    at = known.add(moved, known.add("add", a, b), **settings)
    assert Formulas(known).of(known.add("exp", at)) == "exp(a + b)"


def test_gradient_is_told_by_what_it_is_the_gradient_of() -> None:
    known = Graph()
    x = known.input("input", np.ones((2, 2)))
    hidden = known.named(known.add("tanh", known.add("multiply", x, 3.0)), "hidden")
    known.outputs["output"] = known.add("square", hidden)
    call = Call({"input": np.ones((2, 2))}, cotangents=np.ones((2, 2)))
    both = differentiate(known, call, by_units=True)
    formulas = Formulas(both)
    assert formulas.name(both.gradient_of[hidden]) == "grad(hidden)"
    assert formulas.name(both.inputs["grad_output"]) == "grad_output"
    assert formulas.name(x) == "x"


def test_constants_are_numbers_or_names() -> None:
    known, (a, *_) = graph()
    one, table = known.constant(np.array(2.5)), known.constant(np.arange(4.0).reshape(2, 2), "table")
    unnamed = known.constant(np.arange(3.0))
    formulas = Formulas(known)
    assert [formulas.name(at) for at in (one, table, unnamed)] == ["2.5", "table", "constant of shape (3,)"]
    assert formulas.rewritten(made("multiply", a, np.zeros((2, 2)))) == "a * 0"
    assert formulas.rewritten(made("multiply", a, np.ones((2, 2)))) == "a * 1"
