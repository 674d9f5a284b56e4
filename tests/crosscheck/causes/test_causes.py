"""Fault models judged: each explains the fault that it is there for, and leaves what only looks like it unknown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from torch import nn

import scratch
from crosscheck import Pair
from crosscheck.adapters.adapted_layer import AdaptedLayer
from crosscheck.adapters.layout import LayerLayout
from crosscheck.adapters.objects import Dicts
from crosscheck.causes import FAULT_MODELS, Cause, diagnose
from crosscheck.causes.candidate import Candidate
from crosscheck.causes.evidence import Evidence
from crosscheck.checks import Settings
from crosscheck.checks.facts import check_facts
from crosscheck.checks.values import value_check
from crosscheck.core.check_layer import Failure
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import Call, RefusedError
from crosscheck.core.precision import Array, Bound
from crosscheck.oracles.wrapped import limited
from crosscheck.report.words import also_wrong
from crosscheck.run.check import PairResult, check_pair
from tests.support.cases import CASES
from tests.support.faults import FAULTS
from tests.support.faults.outcome import first_outcome_of
from tests.support.faults.results import RESULTS, Change, Changed, scaled
from tests.support.functions.normalizations import ROWS
from tests.support.layer_runs import Run, check, divergence, quantities_of, twin_of
from tests.textbook.convolution import Conv2d

LAYERS = [
    *(
        "conv2d-s2p1",
        "conv2d-g2",
        "conv2d-same-s2",
        "maxpool2d-3s2p1",
        "avgpool2d-3s1",
        "globalaveragepool2d",
        "zeropad2d-0123",
        "relu-4d",
        "sigmoid",
    ),
    *("logsoftmax", "batchnorm1d", "dropout-0.5", "flatten", "linear", "softmaxcrossentropy", "nllloss", "mseloss"),
]


def failed(case: str, quantity: str, change: Change, dtype: str = "float64") -> Failure:
    checked = check(Changed(twin_of(case)[0], change), Run(case, 3, "normal", dtype, 0))
    failure = checked.failure(next(j for j in checked.judgements if j.place.quantity == quantity))
    assert failure is not None
    return failure


def off_by(size: float, quantity: str) -> Change:
    """Return a change that makes every number of a quantity wrong, each by another part of itself."""

    def change(right: dict[str, Array], call: Call, oracle: object) -> dict[str, Array | None]:
        parts = np.random.default_rng(1).standard_normal(right[quantity].shape)
        return {quantity: np.asarray(right[quantity] * (1 + size * parts) + size * parts, call.dtype)}

    return change


ALONE = """
    convolution-kernel-flipped-on-the-way-back convolution-weight-gradient-flipped convolution-bias-left-out convolution-bias-gradient-missing
    convolution-weight-gradient-averaged convolution-weight-gradient-negated convolution-weight-gradient-of-the-last-sample
    convolution-weight-decay-in-the-gradient windows-last-row-of-the-input-gradient-lost windows-last-row-not-computed
    windows-last-column-lost-in-the-weight-gradient windows-input-gradient-one-row-later windows-stride-ignored-on-the-way-back
    windows-dilation-ignored-on-the-way-back windows-dilation-ignored-in-the-weight-gradient windows-overlap-overwritten
    numerics-weight-gradient-too-large-by-a-billionth numerics-single-inside-double numerics-whole-numbers pooling-overlap-overwritten
    pooling-gradient-not-shared pooling-average-overwritten pooling-average-gradient-to-the-largest activation-derivative-at-zero-is-one
    activation-sigmoid-derivative-of-the-input activation-sigmoid-derivative-of-the-output activation-tanh-derivative-of-the-input
    activation-tanh-derivative-not-squared activation-tanh-by-exponentials activation-slopes-exchanged activation-derivative-left-out
    linear-channels-last linear-channels-last-on-the-way-back linear-weight-transposed linear-weight-transposed-on-the-way-back
    linear-input-gradient-from-the-updated-weight linear-bias-never-added loss-labels-counted-from-one
    loss-labels-counted-from-one-in-the-gradient loss-gradient-not-averaged loss-constant-in-the-logarithm loss-softmax-twice
    loss-one-hot-left-out loss-labels-smoothed-in-the-gradient
"""
IN_CODE: dict[str, tuple[str, ...]] = dict.fromkeys(ALONE.split(), ()) | {
    "convolution-kernel-flipped": ("grad_input",),
    "convolution-kernel-transposed": ("grad_input",),
    "convolution-groups-interleaved": ("grad_input", "weight.grad"),
    "windows-padded-at-the-end-alone": ("grad_input", "weight.grad"),
    "windows-padded-with-edge": ("weight.grad",),
    "pooling-padded-with-zero": ("grad_input",),
    "pooling-sum-for-mean": ("grad_input",),
    "pooling-padding-not-counted": ("grad_input",),
    "loss-no-shift": ("grad_input",),
    "softmax-over-the-batch": ("grad_input",),
}
"""Faults in code, and what they make wrong beside the quantity where they show first."""
FAMILY = {"activation-derivative-at-zero-is-one": "kinks", "loss-no-shift": "large"}


@pytest.mark.parametrize("name", IN_CODE)
def test_cause_of_a_fault_in_code(name: str) -> None:
    """Its own quantities are wrong and no others, and the cause is the one that the catalogue knows."""
    fault, check = FAULTS[name], f"values-float64-{FAMILY.get(name, 'normal')}"
    (found,) = check_pair(fault.pair(), Settings(shrink=False), only=lambda one: one == check).results
    assert {j.place.quantity for _, j in found.judgements if j.verdict is not Verdict.MATCH} == {fault.at, *IN_CODE[name]}
    assert found.divergence is not None
    cause = found.divergence.cause
    assert (found.divergence.judgement.place.quantity, cause.name if cause else "") == (fault.at, fault.cause)


FEW = [
    *(f"normalisation-{name}" for name in ("running-deviation", "momentum-reversed", "mean-term-left-out", "samples-counted", "gradients-exchanged")),
    *(f"normalisation-{name}" for name in ("epsilon-missing", "scale-forgotten", "running-statistics-pile-up")),
    *(f"optimizers-{name}" for name in ("decay-left-out", "looks-ahead", "buffers-in-single-precision", "one-buffer-for-all", "dampening-left-out")),
    *(f"training-{name}" for name in ("updated-before-passed-on", "gradients-not-cleared", "rate-twice", "decay-nobody-asked-for")),
    *(f"training-{name}-seen-from-outside" for name in ("layer-not-updated", "last-gradient", "sum", "updated-before-passed-on")),
]
IN_STEPS = [name for name, fault in FAULTS.items() if fault.cause and name.startswith(("normalisation-", "optimizers-", "training-"))]


@pytest.mark.slow("takes a minute; the default ones are of each kind, and scripts/detection.py runs all", default=FEW)
@pytest.mark.parametrize("name", IN_STEPS)
def test_cause_of_a_fault_of_statistics_and_steps(name: str) -> None:
    outcome = first_outcome_of(FAULTS[name])
    assert (outcome.place, outcome.cause) == (FAULTS[name].at, FAULTS[name].cause)


@pytest.mark.parametrize("name", RESULTS)
def test_cause(name: str) -> None:
    """A wrong result is a mismatch that has its cause, a near miss one that has none; all other quantities match."""
    row = RESULTS[name]
    checked = row.checked()
    verdicts = {j.place.quantity: j.verdict for j in checked.judgements}
    assert verdicts == {q: Verdict.MISMATCH if q in row.wrong else Verdict.MATCH for q in quantities_of(row.case)}
    cause = divergence(checked, row.wrong[0]).cause
    assert (cause.name if cause else None) == row.cause, cause


@pytest.mark.each_choice("case", "size", "dtype")
@pytest.mark.parametrize(("size", "dtype"), [(1e-9, "float64"), (0.3, "float64"), (0.01, "float32")])
@pytest.mark.parametrize("case", LAYERS)
def test_noise_has_no_cause(case: str, size: float, dtype: str) -> None:
    """Numbers that are wrong at random are explained by nothing, whatever the size of the error."""
    for_loss = case in ("softmaxcrossentropy", "nllloss", "mseloss")
    quantity = "grad_input" if for_loss else "output"
    assert diagnose(failed(case, quantity, off_by(size, quantity), dtype)) is None


@pytest.mark.each_choice("case", "quantity")
@pytest.mark.parametrize(("case", "quantity"), [(case, quantity) for case in LAYERS for quantity in quantities_of(case) if "running" not in quantity])
def test_fault_models_refuse_and_do_not_fail(case: str, quantity: str) -> None:
    """A fault model that does not apply says nothing, or is refused by the oracle; it never stumbles."""
    failure = failed(case, quantity, off_by(0.3, quantity))
    assert all(isinstance(candidate, Candidate) for candidate in _all(failure))


def _all(failure: Failure) -> Iterator[Candidate]:
    for hypothesis in FAULT_MODELS:
        with suppress(RefusedError), np.errstate(all="ignore"):
            yield from hypothesis(failure)


def test_room_for_anything_explains_nothing() -> None:
    """A candidate whose bound has room for the right numbers as well is no explanation, however well the subject's fit."""
    failure = failed("linear", "output", off_by(1e-9, "output"))
    vague = Candidate("vague", "", failure.expected, Bound(np.abs(failure.expected) * 1e9, 1.0))
    sharp = Candidate("sharp", "", failure.found, Bound(np.abs(failure.found), 1.0))
    assert [Evidence(failure).explained(candidate, lambda _: iter(())) is not None for candidate in (vague, sharp)] == [False, True]


def test_hypothesis_that_stumbles_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in one fault model does not stop the others."""

    def stumbles(failure: Failure) -> Iterator[Candidate]:
        yield Candidate("fits", "", failure.found + np.zeros((7, 7, 7)))

    monkeypatch.setattr("crosscheck.causes.FAULT_MODELS", (stumbles, *FAULT_MODELS))
    cause = diagnose(failed("linear", "weight.grad", lambda right, call, oracle: {"weight.grad": 2 * right["weight.grad"]}))
    assert isinstance(cause, Cause)
    assert cause.name == "constant factor"


def test_reference_may_warn_of_inputs_that_the_search_shows_it() -> None:
    """Warnings are errors here, and instance normalisation warns of another number of channels."""
    pair = ROWS["instance norm"].faulty
    result = check_pair(pair, Settings(shrink=False), only=lambda name: name == "values-float64-normal")
    assert [one.verdict for one in result.results] == [Verdict.MISMATCH]


def test_causes_that_cannot_be_told_apart_are_named_together() -> None:
    """With two classes the one after and the one before are the same."""
    case = "softmaxcrossentropy-2"

    def other(right: dict[str, Array], call: Call, oracle: object) -> dict[str, Array | None]:
        p = np.exp(call.x) / np.exp(call.x).sum(axis=1, keepdims=True)
        return {"output": np.asarray(-np.log(p[np.arange(len(p)), 1 - call.constants["labels"]]).mean())}

    cause = diagnose(failed(case, "output", other))
    assert cause is not None
    assert cause.name == "label off by one"
    assert "class after" in cause.words
    assert "; or the class before" in cause.words


def test_limited_oracle_refuses_once_it_was_asked_often_enough() -> None:
    """The search for two faults is bounded by calls, which are the same on every machine."""
    oracle = limited(twin_of("relu-4d")[0], 1)
    oracle.vjp(Call(np.ones((1, 1, 2, 2))))
    with pytest.raises(RefusedError, match="no oracle call is left"):
        oracle.vjp(Call(np.ones((1, 1, 2, 2))))


BATCH = 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("family", ["normal", "digits", "wide"])
@pytest.mark.parametrize(
    ("factor", "words"), [(-1, "wrong sign"), (2, "is twice as large"), (BATCH, "multiplied by the batch size"), (3.7, "is 3.7 times")]
)
def test_mistake_with_a_name_comes_before_a_fitted_number(factor: float, words: str, family: str, dtype: str) -> None:
    """A fitted factor lies closer to the numbers than -1 does, and says less."""
    case = "conv2d-p1"
    checked = check(Changed(twin_of(case)[0], scaled("weight.grad", factor)), Run(case, BATCH, family, dtype, 0))
    cause = divergence(checked, "weight.grad").cause
    assert cause is not None
    assert words in cause.words


@pytest.mark.parametrize("rule", ["last", "all", "split"])
@pytest.mark.parametrize("case", ["maxpool2d-2", "maxpool2d-2-odd", "maxpool2d-2x3s3s2"])
def test_tie_rule_is_named(rule: scratch.pooling.TieRule, case: str) -> None:
    """If a pool has another tie rule, the rule is named as the cause on tied values; on other values the pool matches."""
    like = CASES[case].make(None)  # type: ignore[arg-type]
    subject = AdaptedLayer(Dicts(scratch.MaxPool2d(like.kernel_size, like.stride, like.padding, rule)), LayerLayout())
    tied = divergence(check(subject, Run(case, BATCH, "digits", "float64", 0)), "grad_input")
    assert tied.cause is not None
    assert tied.cause.name == f"tie rule: {rule}"
    assert divergence(check(subject, Run(case, BATCH, "normal", "float64", 0)), "grad_input").judgement.verdict is Verdict.MATCH


class TwoFaults(Conv2d):
    """The bias is not added, and its gradient is averaged; all else is right."""

    def bias(self) -> Array:
        return 0 * super().bias()

    def bias_gradient(self, grad_output: Array) -> Array:
        return super().bias_gradient(grad_output) / len(grad_output)


@pytest.fixture(scope="module")
def found() -> PairResult:
    same = {"weight": "weight", "bias": "bias"}
    pair = Pair(TwoFaults(2, 3, (3, 3)), nn.Conv2d(2, 3, 3), shapes=[(4, 2, 7, 6)], params=same, name="conv")
    return check_pair(pair, Settings(shrink=False), only=lambda name: name in ("values-float64-normal", "values-float64-digits"))


def test_each_wrong_quantity_has_its_cause(found: PairResult) -> None:
    """The first divergence has the first fault's cause, the other quantity the other one's."""
    first = found.results[0]
    assert first.divergence is not None
    causes = {one.judgement.place.quantity: one.cause.name for one in [first.divergence, *first.others] if one.cause}
    assert causes == {"output": "bias left out", "bias.grad": "constant factor"}


def test_cause_is_looked_for_once(found: PairResult) -> None:
    """What is known from the check before is not looked for again."""
    assert found.results[1].others == []


def test_report_says_the_other_cause(found: PairResult) -> None:
    """Beside the other wrong quantity stands why."""
    checks = [check_facts(value_check(result.dtype, result.check.rpartition("-")[2]), result, "again", 0.0) for result in found.results]
    lines = list(also_wrong({"name": "conv", "checks": checks}, checks[0]))
    assert [line for line in lines if line.startswith("bias.grad in 2 checks") and "divided by the batch size, 4" in line]
