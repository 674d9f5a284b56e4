"""Edits of optimizers' rules: each is one change, in a sentence that is short and names what to change."""

from __future__ import annotations

import numpy as np
import pytest

from crosscheck.causes.optimizers.edits import Edit, edits, role
from crosscheck.oracles.optimizers.programs import program_of
from tests.crosscheck.oracles.optimizers.test_programs import RULES, oracle_of

TWO_LINES = 240


def edits_of(rule: str, dtype: str = "float64") -> list[Edit]:
    program = program_of(oracle_of(rule).settings, np.dtype(dtype))
    assert program is not None
    return list(edits(program))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rule", RULES)
def test_sentences_are_short_and_differ(rule: str, dtype: str) -> None:
    words = [edit.words for edit in edits_of(rule, dtype)]
    assert max(map(len, words)) <= TWO_LINES, max(words, key=len)
    assert len(set(words)) == len(words)


def test_each_kind_of_edit_is_tried() -> None:
    names = {edit.name for edit in edits_of("adam")}
    assert names == {
        "another quantity in the rule",
        "another operator in the rule",
        "left out of the rule",
        "order in the rule",
        "elements left out",
        "lower precision",
    }


def test_constants_of_equal_value_are_not_exchanged() -> None:
    """Nothing would change."""
    program = program_of({"lr": 0.1, "betas": (0.9, 0.9), "eps": 1e-8}, np.dtype(np.float64))
    assert program is not None
    assert not any("use beta1 in place of beta2" in edit.words for edit in edits(program))


def test_variables_are_named_with_what_they_are() -> None:
    assert (role("v"), role("beta1")) == ("v (the running mean of the squares)", "beta1")


def test_smaller_edits_are_told_from_larger_ones() -> None:
    """With the squares of the step before, Adadelta's step is the gradient: leaving both roots out is the same, and is the larger edit."""
    found = {edit.words: edit.size for edit in edits_of("adadelta")}
    moved = next(size for words, size in found.items() if "v of the step before" in words)
    left_out = next(size for words, size in found.items() if words.startswith("d (the direction of the step) is g,"))
    assert moved < left_out
