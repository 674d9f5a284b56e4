"""Checks of whole networks beside a reference of any architecture: each training step, and what the trained network predicts.

Both checks use the same run, which is made once for each precision and seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crosscheck.adapters.whole_network import Batch
from crosscheck.checks.check import Check, CheckResult, Settings
from crosscheck.checks.models import telling, why_no_run
from crosscheck.core.guard import SubjectError
from crosscheck.core.judge import Verdict
from crosscheck.pairs.prepare_whole import PreparedWhole
from crosscheck.training.whole import KINK, WholeComparison

ATTEMPTS = 3
"""How many runs on other batches are made at most until one is not cut short by a decision at a kink that rounding may change."""

FEWEST = 4
"""The fewest steps, or all if there are fewer, before a decision at a kink may end a run without another attempt."""

_NO_PREDICTION = "your code shows no function that predicts: say WholeStep(..., predict=...)"


@dataclass
class WholeRun:
    """A training run of the subject beside its reference."""

    comparison: WholeComparison
    failed: str = ""  # the error of the subject that ended the run, if any
    ended: bool = False  # whether the run ended by itself; False if it was stopped


def steps_check(dtype: str) -> Check:
    """Return the check of each training step in one precision."""
    about = f"{dtype} training steps: the loss, the gradients, the updated parameters and the running statistics"
    return _check(f"lockstep-{dtype}", about, dtype, _steps)


def predict_check(dtype: str) -> Check:
    """Return the check of what the trained network predicts, in one precision."""
    return _check(f"predict-{dtype}", f"{dtype} predictions of the trained network, in evaluation mode", dtype, _predictions)


def _check(name: str, about: str, dtype: str, judged: Callable[[str, WholeRun, PreparedWhole, str, int], CheckResult]) -> Check:
    def run(prepared: PreparedWhole, settings: Settings) -> CheckResult:
        if reason := why_no_run(prepared, dtype):
            return CheckResult(name, Verdict.SKIPPED, reason)
        return judged(name, run_of(prepared, dtype, settings.seed), prepared, dtype, settings.seed)

    return Check(name, about, run, dtype)


def _steps(name: str, run: WholeRun, prepared: PreparedWhole, dtype: str, seed: int) -> CheckResult:
    comparison, shape = run.comparison, str(prepared.case)
    result = CheckResult(name, comparison.verdict, divergence=comparison.first)
    result.judgements = [(shape, judgement) for key, series in comparison.record.series.items() for judgement in telling(key, series)]
    result.reason = next((judgement.reason for _, judgement in result.judgements if judgement.verdict is result.verdict and judgement.reason), "")
    if run.failed:
        result.verdict, result.reason = Verdict.MISMATCH, f"step {comparison.steps}: {run.failed}"
    elif not run.ended and result.verdict is not Verdict.MISMATCH:
        result.verdict, result.reason = Verdict.UNDECIDED, f"step {comparison.steps} did not end"
    elif comparison.lost and comparison.judged > 1:
        result.verdict = Verdict.MATCH
        result.notes.append(f"compared until step {comparison.judged - 1} of {comparison.steps}: in the next, {KINK}")
    return result


def _predictions(name: str, run: WholeRun, prepared: PreparedWhole, dtype: str, seed: int) -> CheckResult:
    comparison = run.comparison
    if not comparison.subject.predicts:
        return CheckResult(name, Verdict.SKIPPED, _NO_PREDICTION)
    if run.failed or comparison.first is not None:
        return CheckResult(name, Verdict.SKIPPED, "does not apply: the training steps are not right")
    if not run.ended or comparison.lost:
        return CheckResult(name, Verdict.SKIPPED, "does not apply: the training steps were not compared to their end")
    (batch,) = prepared.batches(dtype, seed + 1, 1)
    try:
        judgement = comparison.predict(batch)
    except SubjectError as error:
        return CheckResult(name, Verdict.MISMATCH, error.reason)
    result = CheckResult(name, judgement.verdict)
    result.add(str(prepared.case), judgement, source=comparison.subject.source)
    return result.conclude()


def run_of(prepared: PreparedWhole, dtype: str, seed: int) -> WholeRun:
    """Return the run for a precision and a seed, made on first use. A run that was stopped is kept, because it would not end next time either."""
    known: dict[tuple[str, int], WholeRun] = prepared.runs
    if (dtype, seed) not in known:
        for attempt in range(ATTEMPTS):
            batches = prepared.batches(dtype, seed + 1000 * attempt, prepared.pair.steps)
            run = known[dtype, seed] = WholeRun(comparison_of(prepared, dtype, seed))
            _train(run, batches)
            if not run.comparison.lost or run.comparison.judged > min(FEWEST, len(batches)):
                break
    return known[dtype, seed]


def comparison_of(prepared: PreparedWhole, dtype: str, seed: int) -> WholeComparison:
    """Return a comparison before its first step; raise :class:`SubjectError` if no network can be made."""
    network, precision, reference = prepared.fresh(dtype, seed), prepared.precision(dtype), prepared.reference
    start = {name: value for name, value in prepared.start(dtype, seed).items() if name not in prepared.frozen}
    held = {name: value for name, value in reference.network.buffers.items() if name not in network.buffers}
    optimizer = reference.optimizer(start, precision.underflow)
    return WholeComparison(
        reference.network,
        network,
        optimizer,
        precision,
        every=prepared.pair.accumulate,
        frozen=prepared.frozen,
        buffers=held,
        zeros=prepared.zeros,
        oracle=reference.oracle,
    )


def _train(run: WholeRun, batches: Sequence[Batch]) -> None:
    for batch in batches:
        try:
            run.comparison.step(batch)
        except SubjectError as error:
            run.failed = error.reason
            break
    run.comparison.explain()
    run.ended = True
