"""A sentence is complete, whatever the edit: every placeholder is filled, and a formula is told in full or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from crosscheck.causes.variants.explanation import Explanation, Mode
from crosscheck.causes.variants.programs import FORMS
from crosscheck.causes.variants.words import sentence
from tests.support.edited_programs import Loop, loop

LAYERS = ("layer norm", "softmax", "causal attention", "conv2d", "cross-entropy", "batch norm", "GRU")


@cache
def layer(name: str) -> Loop:
    return loop(name)


def incomplete(text: str, names_a_part: bool = True) -> bool:
    """Return whether a sentence is not finished, or not readable as one; only where it names no part of the formulas, these may be shortened."""
    formulas = text.partition("; yours: ")[2]
    return (
        "{" in text or "}" in text or ("..." in formulas and names_a_part) or "constant of shape" in formulas or "  " in text or text != text.strip()
    )


def explanations(name: str, every: int) -> Iterator[Explanation]:
    """Yield the edits of a layer in all its forms, each in the modes that it has."""
    for form in FORMS:
        if (program := layer(name).program(form)) is not None:
            for forward in (True, False):
                for number, edit in enumerate(layer(name).programs.edits(program, forward)[::every]):
                    mode = (Mode.CARRIED, Mode.DERIVED, Mode.RIGHT)[number % 3] if forward else Mode.BACKWARD
                    yield Explanation(program, edit, mode)


@pytest.mark.parametrize("name", LAYERS)
def test_every_edit_makes_a_complete_sentence(name: str) -> None:
    every = 40 if name == "GRU" else 3
    told = {one.edit.key: (sentence(one), "{" in one.edit.words) for one in explanations(name, every)}
    assert len(told) > 50
    assert {key: text for key, (text, names_a_part) in told.items() if incomplete(text, names_a_part)} == {}


def test_missing_placeholder_is_seen() -> None:
    explanation = next(explanations("softmax", 1))
    broken = replace(explanation, edit=replace(explanation.edit, words="{{0}} is left out", about=(0.5,)))
    assert incomplete(sentence(broken))


@pytest.mark.parametrize("mode", [Mode.CARRIED, Mode.RIGHT], ids=lambda mode: mode.name)
def test_right_gradients_are_said(mode: Mode) -> None:
    one = layer("layer norm")
    explanation = one.explanation(one.call, one.having("units", mode, "less", 0))
    assert explanation is not None
    assert ("gradients" in sentence(explanation)) == (mode is Mode.RIGHT)


def test_formulas_are_of_one_step_before_and_after() -> None:
    one = layer("softmax")
    explanation = one.explanation(one.call, one.having("units", Mode.BACKWARD, "mean", 0))
    assert explanation is not None
    before, yours, right = sentence(explanation).replace("; right: ", "; yours: ").split("; yours: ")
    assert yours == right.replace("sum(", "mean(")
    assert before
