"""Products of matrices and vectors."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

from crosscheck.oracles.graph.graph import At
from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.pytorch.graph.steps import Rule, Steps


def matmul(t: Steps, x: At, y: At) -> At:
    """Add a product of matrices; a vector is a row on the left and a column on the right."""
    n, m = len(t.shape(x)), len(t.shape(y))
    if n == m == 1:
        return t.add("sum", t.add("multiply", x, y), axes=(0,), keepdims=False)
    if m == 1:
        product = t.add("matmul", x, t.reshape(y, (*t.shape(y), 1)))
        return t.reshape(product, t.shape(product)[:-1])
    if n == 1:
        product = t.add("matmul", t.reshape(x, (1, *t.shape(x))), y)
        return t.reshape(product, (*t.shape(product)[:-2], t.shape(product)[-1]))
    return t.add("matmul", x, y)


def linear(t: Steps, x: At, weight: At, bias: At | None = None) -> At:
    """Add x @ weight.T + bias."""
    y = matmul(t, x, weight) if len(t.shape(weight)) == 1 else matmul(t, x, t.transpose(weight, (1, 0)))
    return y if bias is None else t.add("add", y, bias)


def _with_sum(t: Steps, added: At, product: At, beta: Any, alpha: Any) -> At:
    product = product if alpha == 1 else t.add("multiply", t.number(alpha), product)
    if beta == 0:
        return product
    return t.add("add", added if beta == 1 else t.add("multiply", t.number(beta), added), product)


def _product_and_sum(t: Steps, added: At, x: At, y: At, *, beta: Any = 1, alpha: Any = 1) -> At:
    return _with_sum(t, added, matmul(t, x, y), beta, alpha)


def _batches_and_sum(t: Steps, added: At, x: At, y: At, *, beta: Any = 1, alpha: Any = 1) -> At:
    return _with_sum(t, added, t.add("sum", t.add("matmul", x, y), axes=(0,), keepdims=False), beta, alpha)


def _outer(t: Steps, x: At, y: At) -> At:
    return t.add("multiply", t.reshape(x, (*t.shape(x), 1)), y)


def _outer_and_sum(t: Steps, added: At, x: At, y: At, *, beta: Any = 1, alpha: Any = 1) -> At:
    return _with_sum(t, added, _outer(t, x, y), beta, alpha)


def einsum(t: Steps, equation: str, operands: Sequence[At], path: Any = None) -> At:
    """Add a sum of products by Einstein's notation, without dots and with its output written out."""
    equation = equation.replace(" ", "")
    left, arrow, output = equation.partition("->")
    terms = left.split(",")
    free = [letter for letter in string.ascii_letters if letter not in equation]
    widest = max((len(t.shape(one)) - len(term.replace("...", "")) for term, one in zip(terms, operands, strict=True) if "..." in term), default=0)
    dots = "".join(free[:widest])
    if not arrow:
        letters = left.replace(",", "").replace("...", "")
        output = ("..." if "..." in left else "") + "".join(sorted({letter for letter in letters if letters.count(letter) == 1}))
    full = []
    for term, one in zip(terms, operands, strict=True):
        count = len(t.shape(one)) - len(term.replace("...", ""))
        full.append(term.replace("...", dots[widest - count :]))
    output = output.replace("...", dots)
    if any(len(set(term)) < len(term) for term in full):
        raise NoGraphError(f"einsum takes a diagonal: {equation}")
    sizes: dict[str, int] = {}
    for term, one in zip(full, operands, strict=True):
        for letter, size in zip(term, t.shape(one), strict=True):
            if sizes.setdefault(letter, size) != size:
                raise NoGraphError(f"einsum repeats an axis of length 1: {equation}")
    return t.add("einsum", *operands, equation=",".join(full) + "->" + output)


def _bilinear(t: Steps, x: At, y: At, weight: At, bias: At | None = None) -> At:
    lead, letters = t.shape(x)[:-1], "abcdefgh"[: len(t.shape(x)) - 1]
    assert len(lead) == len(letters)
    product = t.add("einsum", x, weight, y, equation=f"{letters}i,kij,{letters}j->{letters}k")
    return product if bias is None else t.add("add", product, bias)


def _cross(t: Steps, x: At, y: At, dim: int = -1) -> At:
    axis = dim % len(t.out.shape)
    x, y = (t.expand(one, tuple(t.out.shape)) for one in (x, y))
    parts = {one: [t.add("index", one, key=(*[slice(None)] * axis, number)) for number in range(3)] for one in (x, y)}
    found = []
    for number in range(3):
        left, right = (number + 1) % 3, (number + 2) % 3
        found.append(t.add("subtract", t.add("multiply", parts[x][left], parts[y][right]), t.add("multiply", parts[x][right], parts[y][left])))
    return t.add("stack", *found, axis=axis)


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot", "vdot", "linalg_matmul"), matmul),
    "linear": linear,
    **dict.fromkeys(("addmm", "addmv", "baddbmm"), _product_and_sum),
    "addbmm": _batches_and_sum,
    "addr": _outer_and_sum,
    **dict.fromkeys(("outer", "ger"), _outer),
    "einsum": einsum,
    "bilinear": _bilinear,
    "linalg_cross": _cross,
}
"""The rules by the names of PyTorch's operations."""
