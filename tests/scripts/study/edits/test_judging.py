"""Verdicts on sentences: rules say only what leaves no doubt; a verdict by hand belongs to the seed, the row and the sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from study.edits.judging import Line, judged, read
from study.edits.tasks import EDIT, HALF, NOISE, ONE_ELEMENT, TWO_EDITS

from crosscheck.run.cli import UsageError

RULES = {
    "n - 1": ("degrees of freedom", "v = x.var()", "v = x.var(ddof=1)", "the variance is divided by n - 1 = 5, not by n = 6", "right"),
    "not n - 1": ("degrees of freedom", "v = x.var()", "v = x.var(ddof=1)", "it is divided by n, not by n - 1", "to be judged"),
    "root": ("epsilon", "s = np.sqrt(v + eps)", "s = np.sqrt(v) + eps", "epsilon is added outside the square root", "right"),
    "number": ("number", "return x * 0.1", "return x * 0.2", "the slope is 0.2, not 0.1", "right"),
    "numbers the other way round": ("number", "return x * 0.1", "return x * 0.2", "the slope is 0.1, not 0.2", "to be judged"),
    "part of a number": ("number", "return x * 0.1", "return x * 0.2", "the slope is 0.25, not 0.1", "to be judged"),
    "whole numbers": ("number", "return x ** 2", "return x ** 3", "3 and not 2", "to be judged"),
    "sign of all": ("sign", "return dout * s", "return -(dout * s)", "the input gradient has the wrong sign", "right"),
    "sign of a part": ("sign", "return a + b * c", "return a + -(b * c)", "the input gradient has the wrong sign", "to be judged"),
    "sign and other words": ("sign", "return dout * s", "return -(dout * s)", "the input gradient is -1 times too large", "to be judged"),
    "= for +=": ("= for +=", "d[i] += g", "d[i] = g", "contributions are overwritten", "right"),
    "sign of what is added": ("sign", "self.dW += a @ b", "self.dW += -(a @ b)", "the weight gradient has the wrong sign", "right"),
    "gradient of 0": ("dropped statement", "self.dW += a", "pass", "every element of the weight gradient is 0: it was never computed", "right"),
    "gradient of 0 for another reason": ("dropped statement", "x += a", "pass", "every element of the weight gradient is 0", "to be judged"),
    "bias": ("left-out term", "return x @ self.W + self.b", "return x @ self.W", "the bias is not added", "right"),
    "not the bias": ("left-out term", "return x + self.b", "return self.b", "the bias is not added", "to be judged"),
    "sum": ("left-out factor", "return loss / n", "return loss", "it is multiplied by the batch size, 4: a sum instead of a mean", "right"),
    "mean": ("other function", "d = x.sum(axis=0)", "d = x.mean(axis=0)", "it is divided by the batch size, 3, once too often", "right"),
    "mean of another axis": (
        "other function",
        "d = x.sum(axis=1)",
        "d = x.mean(axis=1)",
        "divided by the batch size, 3, once too often",
        "to be judged",
    ),
    "strict": ("comparison", "dx[x <= 0] = 0", "dx[x < 0] = 0", "the gradient is passed on at the 4 inputs that are exactly 0", "right"),
    "turned round": (
        "comparison",
        "dx[x <= 0] = 0",
        "dx[x >= 0] = 0",
        "the gradient is passed on at the 4 inputs that are exactly 0",
        "to be judged",
    ),
    "kind without a rule": ("axis", "x.sum(axis=0)", "x.sum(axis=1)", "the sum is over axis 1, not axis 0", "to be judged"),
    "no sentence": ("axis", "x.sum(axis=0)", "x.sum(axis=1)", "", "unknown"),
}


@pytest.mark.parametrize("name", RULES)
def test_rule(name: str) -> None:
    kind, before, after, words, verdict = RULES[name]
    first = "weight.grad" if "self.d" in before else "grad_input"
    line = Line(before, after, words and f"{first}: {words}", "backward", first)
    assert judged(EDIT, kind, line) == (verdict, "" if verdict == "to be judged" else "rule")


@pytest.mark.parametrize(
    ("function", "first", "causes", "by_rule"),
    [
        ("backward", "grad_input", 1, True),
        ("backward", "grad_input.q", 1, True),
        ("forward", "grad_input", 1, False),
        ("sigmoid", "grad_input", 1, False),
        ("backward", "output", 1, False),
        ("backward", "grad_input", 2, False),
    ],
)
def test_rule_judges_one_sentence_on_the_first_wrong_quantity(function: str, first: str, causes: int, by_rule: bool) -> None:
    """Otherwise the sentence may speak of a consequence, or there is more to judge than one sentence."""
    said = "grad_input" if first == "output" else first
    line = Line("return dout * s", "return -(dout * s)", f"{said}: the input gradient has the wrong sign", function, first, causes)
    assert (judged(EDIT, "sign", line)[0] == "right") == by_rule


@pytest.mark.parametrize(
    ("kind", "sentence", "verdict", "by"),
    [
        (HALF, "", "silent", "rule"),
        (HALF, "the output is 1.3 times too large", "false", "rule"),
        (ONE_ELEMENT, "one element is wrong", "true", "rule"),
        (ONE_ELEMENT, "the output has the wrong sign", "false", "rule"),
        (TWO_EDITS, "a factor is missing", "to be judged", ""),
    ],
)
def test_fault_that_no_edit_explains(kind: str, sentence: str, verdict: str, by: str) -> None:
    assert judged(NOISE, kind, Line("", "", sentence)) == (verdict, by)


def test_verdict_by_hand_counts_more() -> None:
    line = Line("v = x.var()", "v = x.var(ddof=1)", "divided by n - 1")
    assert judged(EDIT, "degrees of freedom", line, "half") == ("half", "hand")
    assert judged(EDIT, "degrees of freedom", Line(line.before, line.after, ""), "right") == ("unknown", "rule")


ENTRY = {"seed": 0, "row": "e001, dense", "sentence": "words", "verdict": "half"}


def written(folder: Path, content: Any) -> Path:
    path = folder / "judged.json"
    path.write_text(json.dumps(content))
    return path


def test_verdicts_are_read(tmp_path: Path) -> None:
    entries = [ENTRY, ENTRY | {"row": "e002", "verdict": ""}, ENTRY | {"row": "n003", "verdict": "false", "note": "more"}]
    assert read(written(tmp_path, entries)) == {(0, "e001, dense", "words"): "half", (0, "n003", "words"): "false"}
    assert read(None) == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "holds a dict, expected a list of verdicts"),
        ([{"seed": 0}], "entry 0: needs seed, row, sentence and verdict"),
        ([ENTRY, ENTRY | {"verdict": "good"}], "entry 1: the verdict on 'e001, dense' is 'good', expected right, half, wrong, or nothing"),
        ([ENTRY | {"row": "n001", "verdict": "half"}], "expected true, false, or nothing"),
    ],
)
def test_unreadable_verdicts(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(written(tmp_path, content))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="write it with --to-judge"):
        read(tmp_path / "none.json")
