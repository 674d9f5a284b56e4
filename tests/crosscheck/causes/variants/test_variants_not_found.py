"""Nothing is explained falsely: numbers that no single edit computes have no explanation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from crosscheck.causes.variants.change import Edit
from crosscheck.causes.variants.example import Example
from crosscheck.causes.variants.explanation import Explanation, Mode
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from tests.support.edited_programs import Loop, loop

LAYERS = ("layer norm", "softmax", "causal attention", "conv2d", "batch norm")


@cache
def layer(name: str) -> Loop:
    return loop(name)


Damage = Callable[[np.random.Generator, Array], Array]
"""Changes the right numbers of a quantity."""


def noisy(rng: np.random.Generator, right: Array) -> Array:
    """Add noise of a thousandth."""
    return right * (1 + 1e-3 * rng.standard_normal(right.shape))


def one_element(rng: np.random.Generator, right: Array) -> Array:
    """Change one number at random by a half."""
    found = right.copy()
    found.flat[rng.integers(right.size)] += 0.5
    return found


def half_scaled(rng: np.random.Generator, right: Array) -> Array:
    """Double every second number."""
    found = right.copy()
    found.flat[::2] *= 2
    return found


def permuted(rng: np.random.Generator, right: Array) -> Array:
    """Return the numbers in a random order."""
    return rng.permutation(right.ravel()).reshape(right.shape)


DAMAGES: tuple[Damage, ...] = (noisy, one_element, half_scaled, permuted)


def damaged(one: Loop, call: Call, quantity: str, damage: Damage, seed: int) -> Example:
    rng = np.random.default_rng(seed)
    right = one.right(call).expected
    found = one.example(call, lambda given: {name: damage(rng, value) if name == quantity else value for name, value in right.items()})
    assert found is not None
    assert found.wrong == {quantity}
    return found


@pytest.mark.parametrize("quantity", ["output", "grad_input"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", LAYERS)
def test_damaged_numbers_are_not_explained(name: str, damage: Damage, quantity: str) -> None:
    one = layer(name)
    quantity = next(known for known in one.right(one.call).expected if known.startswith(quantity))
    failing, *again = (damaged(one, call, quantity, damage, seed) for seed, call in enumerate((one.call, *one.again)))
    search = one.search(failing, again)
    assert search.run() == []
    assert search.tried


def both(one: Loop, call: Call, kinds: tuple[str, str], mode: Mode) -> Example:
    """Return a call on which the subject makes two mistakes at once: the last edit of stage 0 of each kind."""
    program = one.program("units", call)
    assert program is not None
    edits = one.programs.edits(program, mode is not Mode.BACKWARD)
    first, second = ([edit for edit in edits if (edit.kind, edit.stage) == (kind, 0)][-1] for kind in kinds)
    edit: Edit = replace(first, rewrites={**first.rewrites, **second.rewrites})
    assert len(edit.rewrites) == len(first.rewrites) + len(second.rewrites)
    right = one.right(call)
    results = Explanation(program, edit, mode).results(one.programs.values(program, right))
    found = one.example(call, lambda given: {name: results[name] for name in right.expected})
    assert found is not None
    return found


@pytest.mark.parametrize("mode", [Mode.CARRIED, Mode.DERIVED], ids=lambda mode: mode.name)
@pytest.mark.parametrize(
    ("name", "kinds"), [("layer norm", ("less", "sign")), ("causal attention", ("number", "left out")), ("softmax", ("sign", "not reduced"))]
)
def test_two_edits_at_once_are_not_explained(name: str, kinds: tuple[str, str], mode: Mode) -> None:
    one = layer(name)
    failing, *again = (both(one, call, kinds, mode) for call in (one.call, *one.again))
    assert one.search(failing, again).run() == []
