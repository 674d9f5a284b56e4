"""Numbers in words: short, and with enough digits to tell apart what is said to differ."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crosscheck.core.judge import Facts, Judgement, Kind, Verdict, equal, judge, judge_norm, judgement_facts, significant
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Place
from crosscheck.report.words import also_wrong, error_in_words, not_compared_rows, told_apart

SINGLE = Precision(np.dtype(np.float32), 100)
PLACE = Place(0, "layer", "output")


@pytest.mark.parametrize(
    ("value", "text"), [(2.8e-3, "0.0028"), (1.14e-9, "1.1e-9"), (-3e12, "-3e12"), (1e-100, "1e-100"), (0.0, "0"), (12.0, "12"), (1e10, "1e10")]
)
def test_significant(value: float, text: str) -> None:
    assert significant(value) == text
    assert f"{float(text):.2g}" == f"{value:.2g}"


@pytest.mark.parametrize(
    ("found", "expected", "texts"),
    [
        (-0.4941234567, -0.383, ("-0.494123", "-0.383")),
        (1.0, 1 + 2**-23, ("1", "1.000000119")),
        (1.0, math.nextafter(1, 2), ("1.0", "1.0000000000000002")),
        (None, 2.5, ("not finite", "2.5")),
    ],
)
def test_values_look_different(found: float | None, expected: float | None, texts: tuple[str, str]) -> None:
    assert told_apart(found, expected) == texts
    assert len(set(texts)) == 2


def judged(error: float, bound: Bound) -> Judgement:
    """Return the judgement on 1 and 1 with an error, beside two ones."""
    return judge(PLACE, Kind.ISOLATED, np.array([1, 1 + error], np.float32), np.ones(2), bound, SINGLE)


def test_error_beside_its_tolerance() -> None:
    """However close they are, the two numbers look different."""
    unit = SINGLE.unit
    assert error_in_words(judgement_facts(judged(0.5, Bound(1.0, 1.0)))) == "off by 0.5; rounding explains at most 6e-8; 1 of 2 elements wrong"
    close = judged(32 * unit, Bound(31.9, 1.0))
    assert error_in_words(judgement_facts(close)) == "off by 1.91e-6; rounding explains at most 1.9e-6; 1 of 2 elements wrong"


def test_error_where_nothing_is_rounded() -> None:
    facts = judgement_facts(judged(0.5, Bound(1.0, 0.0)))
    assert error_in_words(facts) == "off by 0.5; nothing is rounded here, so it must be equal; 1 of 2 elements wrong"
    assert facts["worst_element"] == {"index": [1], "found": 1.5, "expected": 1.0, "error": 0.5, "tolerance": 0.0}


def test_error_of_a_norm() -> None:
    """It is about no single element, and says so."""
    judgement = judge_norm(PLACE, Kind.WHOLE, np.array([4, 5], np.float32), np.array([4.0, 2.0]), 1.0, SINGLE)
    assert judgement.reason == "off by 3 as a norm (expected values: 4.5); rounding explains at most 6e-8"
    assert judgement_facts(judgement)["worst_element"]["tolerance"] is None


def test_numbers_that_must_be_the_same() -> None:
    before: Array = np.array([1, np.nan], np.float32)
    judgement = equal(PLACE, Kind.WIRE, np.array([1, 2], np.float32), before, SINGLE)
    assert (judgement.verdict, judgement.reason) == (Verdict.MISMATCH, "1 of 2 elements are not the same number")


def test_quantities_that_are_wrong_in_the_same_checks_stand_together() -> None:
    """Beyond three names, the number says how many there are."""

    def check(name: str, wrong: str) -> Facts:
        quantities = [{"layer": "net", "quantity": one, "verdict": "mismatch"} for one in wrong]
        return {"check": name, "counts_as": "mismatch", "quantities": quantities, "first_divergence": None, "reason": ""}

    first, other = check("steps", "abcde"), check("others", "e")
    assert list(also_wrong({"name": "net", "checks": [first, other]}, first)) == [
        "a, b, c and 1 more in 1 check: steps",
        "e in 2 checks: steps, others",
    ]


def test_what_no_check_compared_is_said_in_a_match() -> None:
    """What one check left out and another compared is not told."""

    def check(**verdicts: str) -> Facts:
        quantities = [{"layer": "net", "quantity": name, "verdict": verdict, "reason": "hidden"} for name, verdict in verdicts.items()]
        return {"verdict": "match", "quantities": quantities}

    pair = {"name": "net", "checks": [check(output="match", a="skipped", b="skipped"), check(output="match", a="match", c="skipped")]}
    assert list(not_compared_rows(pair)) == [("not compared", "b, c: hidden")]
