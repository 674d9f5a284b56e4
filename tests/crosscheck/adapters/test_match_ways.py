"""Which orders of axes people use, and which parameters' names mean the same."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from crosscheck.adapters.match_ways import orders_of, ways

Shapes = Mapping[str, tuple[int, ...] | None]

KERNELS: dict[str, tuple[tuple[int, ...] | None, tuple[int, ...], list[tuple[int, ...]]]] = {
    # name: the subject's shape, the reference's, and the orders: for each of the reference's longer axes the subject's
    "same-shape": ((8, 2, 3, 3), (8, 2, 3, 3), [(0, 1, 2, 3)]),
    "one-channel": ((8, 3, 3), (8, 1, 3, 3), [(0, 1, 2)]),
    "one-channel-with-its-axis": ((8, 1, 3, 3), (8, 1, 3, 3), [(0, 2, 3)]),
    "kernel-first": ((3, 3, 2, 8), (8, 2, 3, 3), [(3, 2, 0, 1)]),
    "kernel-between": ((8, 3, 3, 2), (8, 2, 3, 3), [(0, 3, 1, 2)]),
    "as-many-inputs-as-outputs": ((8, 8, 3, 3), (8, 8, 3, 3), [(0, 1, 2, 3), (1, 0, 2, 3)]),
    "no-usual-order": ((3, 8, 2, 4), (8, 2, 3, 4), [(1, 2, 0, 3)]),
    "one-dimension": ((4, 2, 4), (4, 2, 4), [(0, 1, 2), (2, 1, 0)]),
    "argument": (None, (2, 3, 5), [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]),
    "matrix": ((4, 4), (4, 4), [(0, 1), (1, 0)]),
    "no-order": ((4, 5), (4, 6), []),
    "other-axes": ((20,), (4, 5), []),
}


@pytest.mark.parametrize("case", KERNELS)
def test_orders(case: str) -> None:
    shape, expected, orders = KERNELS[case]
    assert orders_of(shape, expected, kernel_last=True) == orders


def test_kernel_is_not_known() -> None:
    """Where the reference does not say which axes are a kernel's, every order that fits may be meant."""
    assert orders_of((8, 2, 3, 3), (8, 2, 3, 3)) == [(0, 1, 2, 3), (0, 1, 3, 2)]


SEVERAL: dict[str, tuple[Shapes, Mapping[str, tuple[int, ...]], list[str]]] = {
    "one-layout": (
        {"W_q": (4, 4), "W_k": (4, 4)},
        {"q.weight": (4, 4), "k.weight": (4, 4)},
        ["W_q is q.weight; W_k is k.weight", "W_q is q.weight: a b -> b a; W_k is k.weight: a b -> b a"],
    ),
    "names-do-not-fit": ({"weight": (3,), "bias": (2,)}, {"weight": (2,), "bias": (3,)}, ["weight is bias; bias is weight"]),
    "no-names": ({"p": (3,), "q": (3,)}, {"s": (3,), "t": (3,)}, ["p is s; q is t", "p is t; q is s"]),
    "no-common-order": (
        {"A": (3, 3, 2), "B": (2, 3, 3)},
        {"A": (3, 2, 3), "B": (3, 2, 3)},
        [
            "A is A: a b c -> a c b; B is B: a b c -> b a c",
            "A is A: a b c -> a c b; B is B: a b c -> c a b",
            "A is A: a b c -> b c a; B is B: a b c -> b a c",
            "A is A: a b c -> b c a; B is B: a b c -> c a b",
        ],
    ),
    "no-way": ({"W": (4, 5)}, {"weight": (4, 6)}, []),
}


@pytest.mark.parametrize("case", SEVERAL)
def test_ways(case: str) -> None:
    subject, reference, expected = SEVERAL[case]
    assert ["; ".join(map(str, chosen)) for chosen in ways(subject, reference)] == expected
