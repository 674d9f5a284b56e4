"""Products of matrices and vectors."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

from crosscheck.oracles.graph.graph import At
from crosscheck.references.jax.graph.steps import Operand
from crosscheck.references.jax.graph.translate import Rule, Translation


def _product(t: Translation, params: Mapping[str, Any], left: Operand, right: Operand) -> Operand:
    """Add a sum of products, as a product of matrices where it is one, otherwise in Einstein's notation.

    The axes of the result are those that both operands keep, then those of the left one alone, then those of the right one alone.
    """
    (left_summed, right_summed), (left_shared, right_shared) = params["dimension_numbers"]
    x, y = (one if t.is_real(one) else t.add("as_number", one) for one in (t.at(left), t.at(right)))
    shared = [t.shape(x)[axis] for axis in left_shared]
    x_free, y_free = _rest(t, x, left_summed, left_shared), _rest(t, y, right_summed, right_shared)
    if len(left_summed) != 1 or len(y_free) > 1 or (shared and len(x_free) > 1):
        return _einsum(t, x, y, params["dimension_numbers"])
    if not shared and not x_free and not y_free:
        return t.add("sum", t.add("multiply", x, y), axes=(0,), keepdims=False)
    x = t.transpose(x, (*left_shared, *x_free, *left_summed))
    y = t.transpose(y, (*right_shared, *right_summed, *y_free))
    length = t.shape(x)[-1]
    if not x_free:
        x = t.reshape(x, (*shared, 1, length))
    if not y_free:
        y = t.reshape(y, (*shared, length, 1))
    return t.reshape(t.add("matmul", x, y), t.out.shape)


def _rest(t: Translation, at: At, *others: Sequence[int]) -> list[int]:
    taken = {axis for axes in others for axis in axes}
    return [axis for axis in range(len(t.shape(at))) if axis not in taken]


def _einsum(t: Translation, x: At, y: At, numbers: Any) -> At:
    (left_summed, right_summed), (left_shared, right_shared) = numbers
    letters = iter(string.ascii_letters)
    left = [next(letters) for _ in t.shape(x)]
    right = ["" for _ in t.shape(y)]
    for own, other in ((left_summed, right_summed), (left_shared, right_shared)):
        for one, two in zip(own, other, strict=True):
            right[two] = left[one]
    right = [letter or next(letters) for letter in right]
    kept = [left[axis] for axis in left_shared]
    kept += [left[axis] for axis in _rest(t, x, left_summed, left_shared)] + [right[axis] for axis in _rest(t, y, right_summed, right_shared)]
    return t.add("einsum", x, y, equation=f"{''.join(left)},{''.join(right)}->{''.join(kept)}")


RULES: Mapping[str, Rule] = {"dot_general": _product}
"""The rules by the names of JAX's primitives."""
