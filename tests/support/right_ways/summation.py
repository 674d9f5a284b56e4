"""One sum in many orders: by BLAS, in pairs, one term after another from either end, in lanes as vector units do, with compensation.

A contraction is a sum of products, written as :func:`numpy.einsum` writes it for two operands. Every order of its terms is as right as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from crosscheck.core.precision import Array

Sum = Callable[[Array], Array]
"""Adds up the last axis."""

Contraction = Callable[[str, Array, Array], Array]
"""Gets subscripts such as ``"ij,kj->ik"`` and two arrays."""


def pairwise(terms: Array) -> Array:
    while (count := terms.shape[-1]) > 1:
        pairs = terms[..., : count - count % 2 : 2] + terms[..., 1::2]
        terms = np.concatenate([pairs, terms[..., count - 1 :]], axis=-1) if count % 2 else pairs
    return terms[..., 0] if terms.shape[-1] else np.zeros(terms.shape[:-1], terms.dtype)


def sequential(terms: Array) -> Array:
    """Return the sums, one term after another."""
    return np.add.accumulate(terms, axis=-1)[..., -1]


def backwards(terms: Array) -> Array:
    """Return the sums, from the last term to the first."""
    return sequential(terms[..., ::-1])


def halves(terms: Array) -> Array:
    """Return the sums of the first half and the second, as a parallel reduction folds an array."""
    while (count := terms.shape[-1]) > 1:
        half = (count + 1) // 2
        folded = terms[..., :half].copy()
        folded[..., : count - half] += terms[..., half:]
        terms = folded
    return terms[..., 0]


def lanes(terms: Array) -> Array:
    """Return the sums of four partial sums of every fourth term, as vector units do."""
    short = -terms.shape[-1] % 4
    padded = np.concatenate([terms, np.zeros((*terms.shape[:-1], short), terms.dtype)], axis=-1)
    return sequential(np.add.accumulate(padded.reshape(*terms.shape[:-1], -1, 4), axis=-2)[..., -1, :])


def sorted_by_size(terms: Array) -> Array:
    order = np.argsort(np.abs(terms), axis=-1)
    return sequential(np.take_along_axis(terms, order, axis=-1))


def compensated(terms: Array) -> Array:
    """Return Kahan's sums (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 4.3)."""
    total = np.zeros(terms.shape[:-1], terms.dtype)
    lost = np.zeros_like(total)
    for index in range(terms.shape[-1]):
        term = terms[..., index] - lost
        after = total + term
        lost = (after - total) - term
        total = after
    return total


SUMS: Mapping[str, Sum] = {one.__name__: one for one in (pairwise, sequential, backwards, halves, lanes, sorted_by_size, compensated)}


def by_einsum(subscripts: str, one: Array, two: Array) -> Array:
    """Return a contraction by einsum's own loops, without BLAS."""
    return np.asarray(np.einsum(subscripts, one, two, optimize=False))


def by_blas(subscripts: str, one: Array, two: Array) -> Array:
    inputs, output = subscripts.split("->")
    first, second = inputs.split(",")
    summed = [axis for axis in first if axis in second]
    product = np.tensordot(one, two, ([first.index(axis) for axis in summed], [second.index(axis) for axis in summed]))
    left = [axis for axis in first + second if axis not in summed]
    return np.ascontiguousarray(product.transpose([left.index(axis) for axis in output]))


def in_order(total: Sum) -> Contraction:
    """Return the contraction that forms all products and adds them up in an order."""

    def contraction(subscripts: str, one: Array, two: Array) -> Array:
        inputs, output = subscripts.split("->")
        summed = "".join(sorted(set(inputs) - set(output) - {","}))
        products = np.einsum(f"{inputs}->{output}{summed}", one, two, optimize=False)
        return total(products.reshape(*products.shape[: len(output)], -1))

    return contraction


CONTRACTIONS: Mapping[str, tuple[Contraction, Sum]] = {
    "blas": (by_blas, lambda terms: np.asarray(terms.sum(axis=-1))),
    "einsum": (by_einsum, lambda terms: np.asarray(np.einsum("...i->...", terms))),
    **{name: (in_order(total), total) for name, total in SUMS.items()},
}
"""Contractions by name, each with the sum of the same order."""
