"""Which multiplications round."""

from __future__ import annotations

import pytest

from crosscheck.references.noise import names, rounds_products


@pytest.mark.parametrize(
    ("factor", "rounds"), [(0, False), (1, False), (-0.25, False), (2.0**80, False), (3, True), (0.1, True), (2j, False), (3j, True), (1 + 1j, True)]
)
def test_products_with_powers_of_two_are_exact(factor: complex, rounds: bool) -> None:
    assert rounds_products(factor) is rounds


def test_names_of_a_text() -> None:
    assert names("add sub\n mul") == {"add", "sub", "mul"}
