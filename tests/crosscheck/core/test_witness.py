"""The witness, the reference in the subject's own precision: what hearing it changes, and what it must not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from crosscheck import Functions, Pair, Settings
from crosscheck.adapters.network_listened import Traced
from crosscheck.checks.values import NO_WITNESS, value_check
from crosscheck.core.check_layer import check_layer
from crosscheck.core.judge import UNLIMITED, Effect, Kind, Verdict, judge
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Place
from crosscheck.core.witness import COARSE, Evidence, witness_errors
from crosscheck.pairs.prepare import prepare
from crosscheck.references.pytorch.oracle import oracle

ROWS, COLUMNS = 5, 40
SINGLE, DOUBLE = (Precision(np.dtype(dtype), 1000) for dtype in ("float32", "float64"))
RNG = np.random.default_rng(0)
RIGHT = RNG.uniform(1, 2, (ROWS, COLUMNS)).astype(np.float32).astype(np.float64)
SMALL = Call(RNG.standard_normal((ROWS, COLUMNS)), {}, RNG.standard_normal((ROWS, COLUMNS)))
HUGE = Call(SMALL.x * 2.0**50, {}, SMALL.x * 2.0**50)
LIMIT = 100.0
"""What theory allows, in unit roundoffs."""


def errors(own: float, rows: Mapping[int, float] | None = None) -> Array:
    """Return a witness's errors: this fraction of what theory allows as the largest of each row, another in some rows."""
    result = RNG.uniform(0, 0.9, (ROWS, COLUMNS))
    result[:, 7] = 1.0
    for row in range(ROWS):
        result[row] *= LIMIT * (rows or {}).get(row, own)
    return result


def off(fraction: float, row: int = 2) -> Callable[[Array], Array]:
    """Return what spoils one element by this multiple of what theory allows."""

    def spoiled(right: Array) -> Array:
        result = right.copy()
        result[row, 3] += fraction * LIMIT * 2.0**-24
        return result

    return spoiled


def nan_inside(right: Array) -> Array:
    return np.where(np.arange(right.size).reshape(right.shape) == 11, np.nan, right)


def half_wrong(right: Array) -> Array:
    return right * 1.001


def nearly_right(right: Array) -> Array:
    return right * (1 + 1e-5)


@dataclass(frozen=True)
class Case:
    """A subject and a witness, and what comes of hearing it."""

    found: Callable[[Array], Array]
    witness: Array
    verdict: Verdict
    effect: Effect | None
    terms: float = LIMIT
    call: Call = field(default_factory=lambda: SMALL)
    reason: str = ""


NAN: Array = np.where(np.arange(COLUMNS) == 5, np.nan, errors(0.1))
NAN_IN_ONE: Array = np.where(np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) == 5, np.nan, errors(0.1))
LOST: Array = np.full((ROWS, COLUMNS), 2.0**14)

CASES = {
    "theory is wide enough": Case(off(1.5), errors(0.4), Verdict.MISMATCH, None),
    "theory is too tight": Case(off(1.5), errors(0.8), Verdict.MATCH, Effect.WIDENED),
    "beyond twice the witness": Case(off(1.7), errors(0.8), Verdict.MISMATCH, Effect.WIDENED),
    "a bad sample excuses no other": Case(off(1.5), errors(0.1, {4: 3.0}), Verdict.MISMATCH, Effect.WIDENED),
    "a bad sample excuses itself": Case(off(1.5, row=4), errors(0.1, {4: 3.0}), Verdict.MATCH, Effect.WIDENED),
    "two bad samples of five excuse no other": Case(off(1.5), errors(0.1, {0: 3.0, 4: 3.0}), Verdict.MISMATCH, Effect.WIDENED),
    "a sample that is right by luck": Case(off(1.5), errors(0.8, {2: 0.0}), Verdict.MATCH, Effect.WIDENED),
    "at most 64 times theory": Case(off(63.0), errors(90.0), Verdict.MATCH, Effect.WIDENED),
    "beyond 64 times theory": Case(off(65.0), errors(90.0), Verdict.MISMATCH, None),
    "what is exact stays exact": Case(off(1.5), errors(0.8), Verdict.MISMATCH, None, terms=0.0),
    "no limit, and wrong": Case(
        half_wrong, errors(0.4), Verdict.MISMATCH, Effect.COARSE, terms=math.inf, reason="fewer than half of the digits are right"
    ),
    "no limit, and right": Case(nearly_right, errors(0.4), Verdict.UNDECIDED, Effect.COARSE, terms=math.inf, reason=COARSE),
    "no limit, and not finite": Case(nan_inside, errors(0.4), Verdict.MISMATCH, Effect.COARSE, terms=math.inf, reason="not finite"),
    "out of range, and wrong": Case(half_wrong, errors(0.4), Verdict.UNDECIDED, None, terms=math.inf, call=HUGE, reason=UNLIMITED),
    "out of range, and not finite": Case(nan_inside, errors(0.4), Verdict.UNDECIDED, None, terms=math.inf, call=HUGE, reason=UNLIMITED),
    "out of range, and not finite where that is lost": Case(
        nan_inside,
        np.where(np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) == 11, np.nan, errors(0.4)),
        Verdict.UNDECIDED,
        None,
        terms=math.inf,
        call=HUGE,
        reason=UNLIMITED,
    ),
    "a witness that is not finite": Case(off(1.5), NAN, Verdict.UNDECIDED, Effect.UNRELIABLE, reason="the reference itself is not finite in it"),
    "a witness that is not finite in one sample": Case(off(1.5, row=0), NAN_IN_ONE, Verdict.MATCH, Effect.WIDENED),
    "a witness that is not finite in another sample": Case(off(1.5), NAN_IN_ONE, Verdict.MISMATCH, Effect.WIDENED),
    "a witness that lost half of its digits": Case(off(1.5), LOST, Verdict.UNDECIDED, Effect.UNRELIABLE, reason="lost half of its digits"),
    "no limit, and lost where it is not finite": Case(
        lambda right: np.where(np.arange(right.size).reshape(right.shape) == 5, np.inf, nearly_right(right)),
        np.where(np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) == 5, np.inf, errors(0.4)),
        Verdict.UNDECIDED,
        Effect.COARSE,
        terms=math.inf,
        reason=COARSE,
    ),
    "no limit beside a lost witness": Case(half_wrong, LOST, Verdict.UNDECIDED, Effect.UNRELIABLE, terms=math.inf),
    "neither right nor finite": Case(nan_inside, errors(0.8), Verdict.MISMATCH, None),
}


def heard(case: Case, precision: Precision) -> tuple[Evidence, Verdict]:
    """Return the evidence of a case, and the verdict of theory alone."""
    found, bound = case.found(RIGHT).astype(precision.dtype), Bound(np.full(RIGHT.shape, case.terms), float(case.terms > 0))
    return Evidence(found, RIGHT, bound, case.witness, case.call, precision), theory(found, bound, precision)


def theory(found: Array, bound: Bound, precision: Precision) -> Verdict:
    return judge(Place(0, "layer", "output"), Kind.ISOLATED, found, RIGHT, bound, precision).verdict


@pytest.mark.parametrize("name", CASES)
def test_what_hearing_the_witness_changes(name: str) -> None:
    case = CASES[name]
    evidence, alone = heard(case, SINGLE)
    assert alone is not Verdict.MATCH
    judgement, bound = evidence.reconsider(judge(Place(0, "layer", "output"), Kind.ISOLATED, evidence.found, RIGHT, evidence.bound, SINGLE))
    assert judgement.verdict is case.verdict
    assert (judgement.witness_effect.effect if judgement.witness_effect else None) is case.effect
    assert case.reason in judgement.reason
    assert (bound is not evidence.bound) == (case.effect is Effect.WIDENED)


def test_weights_are_one_sample() -> None:
    """The gradient of a parameter has no samples: one large error of the witness is that of all."""
    evidence, _ = heard(CASES["a bad sample excuses no other"], SINGLE)
    place = Place(0, "layer", "weight.grad")
    assert evidence.reconsider(judge(place, Kind.ISOLATED, evidence.found, RIGHT, evidence.bound, SINGLE))[0].verdict is Verdict.MATCH


@pytest.mark.parametrize("witness", [NAN, LOST], ids=["not finite", "lost"])
def test_beside_float64_theory_stands_alone_where_float32_cannot_stand_for_it(witness: Array) -> None:
    evidence, alone = heard(Case(half_wrong, witness, Verdict.MISMATCH, None), DOUBLE)
    judgement, _ = evidence.reconsider(judge(Place(0, "layer", "output"), Kind.ISOLATED, evidence.found, RIGHT, evidence.bound, DOUBLE))
    assert judgement.verdict is alone is Verdict.MISMATCH


def test_beside_float64_there_is_no_coarse_look() -> None:
    """Float32 may be right by luck where rounding alone decides: columns of equal numbers have no variance but in some orders of summation."""
    evidence, _ = heard(Case(half_wrong, errors(0.4), Verdict.UNDECIDED, None, terms=math.inf), DOUBLE)
    judgement, _ = evidence.reconsider(judge(Place(0, "layer", "output"), Kind.ISOLATED, evidence.found, RIGHT, evidence.bound, DOUBLE))
    assert (judgement.verdict, judgement.reason, judgement.witness_effect) == (Verdict.UNDECIDED, UNLIMITED, None)


BLURRED = 2.0**28
"""What theory allows, in float64's roundoffs, where it leaves less than half of the digits."""
SATURATED = np.full((ROWS, COLUMNS), BLURRED / 4)
"""The errors of a float32 that has lost its digits and is nevertheless within that theory, in its own roundoffs."""
LOST_IN_ONE = np.where(np.arange(ROWS)[:, None] == 0, SATURATED, 0.0)


@pytest.mark.parametrize(
    ("fraction", "row", "witness", "verdict"),
    [
        (1.5, 0, SATURATED, Verdict.UNDECIDED),
        (1.5, 0, LOST_IN_ONE, Verdict.MATCH),
        (1.5, 2, LOST_IN_ONE, Verdict.MISMATCH),
        (65.0, 0, SATURATED, Verdict.MISMATCH),
    ],
    ids=["all lost", "lost", "another lost", "beyond 64 times theory"],
)
def test_where_theory_leaves_float64_little_a_lost_sample_is_not_judged(fraction: float, row: int, witness: Array, verdict: Verdict) -> None:
    found = RIGHT.copy()
    found[row, 3] += fraction * BLURRED * DOUBLE.sides * 2.0**-53
    bound = Bound(np.full(RIGHT.shape, BLURRED), 1.0)
    judgement = judge(Place(0, "layer", "output"), Kind.ISOLATED, found, RIGHT, bound, DOUBLE)
    assert judgement.verdict is Verdict.MISMATCH
    assert Evidence(found, RIGHT, bound, witness, SMALL, DOUBLE).reconsider(judgement)[0].verdict is verdict


@pytest.mark.parametrize("precision", [SINGLE, DOUBLE], ids=["float32", "float64"])
def test_the_witness_of_float64_is_float32_in_its_own_roundoffs(precision: Precision) -> None:
    """A function whose float32 is off by eight roundoffs testifies to eight roundoffs, of whichever precision the subject has."""

    def biased(x: torch.Tensor) -> torch.Tensor:
        return x * (1 + 2.0**-21) if x.dtype == torch.float32 else x

    reference, call = oracle(biased), Call(RIGHT, {}, np.ones_like(RIGHT)).astype(precision.dtype)
    witness = witness_errors(reference, call, reference.vjp(call.astype(np.float64)), precision)
    assert {name: bool((value >= 7 * np.abs(RIGHT if name == "output" else 1)).all()) for name, value in witness.items()} == {
        "output": True,
        "grad_input": True,
    }


def test_a_reference_that_answers_in_another_precision_is_no_witness() -> None:
    reference = oracle(lambda x: x.double() * 2)
    call = Call(RIGHT).astype(np.float32)
    assert witness_errors(reference, call, reference.vjp(call.astype(np.float64)), SINGLE) == {}


def wide_inside(x: torch.Tensor) -> torch.Tensor:
    return x.double() * 2


def wide_alone(x: torch.Tensor) -> torch.Tensor:
    """Refuse single precision where gradients are wanted, as some kernels do."""
    if x.requires_grad and x.dtype == torch.float32:
        raise ValueError("no kernel for float32")
    return x * 2


@pytest.mark.parametrize(
    ("reference", "reason"),
    [(wide_inside, "computes output in another precision"), (wide_alone, "no kernel for float32"), (lambda x: x * 2, "")],
    ids=["another precision", "refused", "heard"],
)
def test_a_witness_that_could_not_be_heard_is_a_note(reference: Callable[[torch.Tensor], torch.Tensor], reason: str) -> None:
    subject = Functions(lambda x: x * x.dtype.type(2.001), lambda grad_output: grad_output * 2, cache=False)
    pair = Pair(subject, reference, shapes=[(3, 4)], name="twice", framework="torch")
    found = value_check("float32", "normal").run(prepare(pair), Settings())
    assert found.verdict is Verdict.MISMATCH
    notes = [note for note in found.notes if note.startswith(NO_WITNESS)]
    assert len(notes) == bool(reason)
    assert all(reason in note for note in notes)


class Spoiled(Traced):
    """A layer that returns its input, one element of it spoiled."""

    def vjp(self, call: Call) -> dict[str, Array]:
        return {"output": off(1.5)(call.x).astype(call.dtype)}


@pytest.mark.parametrize(("witness", "verdict"), [({"output": errors(0.8)}, Verdict.MATCH), ({}, Verdict.MISMATCH), (None, Verdict.MISMATCH)])
def test_another_machines_witness_is_heard_in_its_place(witness: Mapping[str, Array] | None, verdict: Verdict) -> None:
    class Bounded:
        """An oracle of the identity that limits its error as these tests do."""

        settings: Mapping[str, tuple[int, ...]] = {}

        @property
        def rounding(self) -> Bounded:
            return self

        def vjp(self, call: Call) -> dict[str, Array]:
            return {"output": call.x}

        def bounds(self, *given: object) -> dict[str, Bound]:
            return {"output": Bound(np.full(RIGHT.shape, LIMIT), 1.0)}

        def propagated(self, *given: object) -> dict[str, Array]:
            raise NotImplementedError

        def decisions(self, x: Array) -> None:
            return None

    check = check_layer(Spoiled(), Bounded(), Call(RIGHT).astype(np.float32), SINGLE, "layer", witness=witness)
    assert [judgement.verdict for judgement in check.judgements] == [verdict]


@pytest.mark.parametrize(("size", "verdict"), [(1e-20, Verdict.MATCH), (1.0, Verdict.MISMATCH)])
def test_elements_that_rounding_decides_are_measured_by_the_whole(size: float, verdict: Verdict) -> None:
    """The oracle's own rounding may make a zero of a tiny number, as of 1 - s for a saturated sigmoid: a subject that has it right is right."""
    right, terms = RIGHT.copy(), np.full(RIGHT.shape, LIMIT)
    right[0, :3], terms[0, :3] = 0.0, math.inf
    found = (right + off(0.5)(np.zeros_like(right))).astype(np.float32)
    found[0, :3] = size
    evidence = Evidence(found, right, Bound(terms, 1.0), np.zeros_like(right), SMALL, SINGLE)
    place = Place(0, "layer", "weight.grad")
    assert evidence.reconsider(judge(place, Kind.ISOLATED, found, right, evidence.bound, SINGLE))[0].verdict is verdict
