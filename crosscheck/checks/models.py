"""Checks of models: each training step is compared with the oracle's step from the same weights, and a free run with the reference's run.

Both checks use the same run, which is made once for each precision and seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from crosscheck.adapters.network_listened import TracedNetwork
from crosscheck.causes.divergence import Divergence
from crosscheck.checks.check import Check, CheckResult, Settings
from crosscheck.core.arguments import times
from crosscheck.core.guard import SubjectError
from crosscheck.core.judge import Judgement, Kind, Verdict, judgement_facts, number, significant
from crosscheck.core.trace import Place, key_of
from crosscheck.pairs.model_pair import ModelPair
from crosscheck.pairs.prepare_model import PreparedModel
from crosscheck.pairs.prepare_whole import PreparedWhole
from crosscheck.pairs.trained_subject import Batch
from crosscheck.report.words import consequence_in_words, decision_in_words
from crosscheck.training.comparison import Comparison
from crosscheck.training.free_run import DistanceSample
from crosscheck.training.listened import TrainingComparison
from crosscheck.training.opaque import StepComparison
from crosscheck.training.record import Key, Series

LOOKS = 4
"""How many times a free run is compared, the last time at its end."""
FOLLOWING = 5
"""How many consequences of a fault are listed one by one."""
PERTURBED = 8
"""The number of references with perturbed rounding in a free run."""


@dataclass
class ModelRun:
    """A training run of the subject, compared with its references."""

    comparison: Comparison
    failed: str = ""  # the error of the subject that ended the run, if any
    ended: bool = False  # whether the run ended by itself; False if it was stopped


def lockstep_check(dtype: str) -> Check:
    """Return the check of each training step in one precision."""
    about = f"{dtype} training steps: everything that is observed in each step, and the step as a whole"
    return _check(f"lockstep-{dtype}", about, dtype, _lockstep)


def freerun_check(dtype: str) -> Check:
    """Return the check of a free run in one precision."""
    about = f"{dtype} training on its own stays as close to the reference as {PERTURBED} references with perturbed rounding do"
    return _check(f"freerun-{dtype}", about, dtype, _freerun)


def _check(name: str, about: str, dtype: str, judged: Callable[[str, ModelRun, ModelPair], CheckResult]) -> Check:
    def run(prepared: PreparedModel, settings: Settings) -> CheckResult:
        if reason := why_no_run(prepared, dtype):
            return CheckResult(name, Verdict.SKIPPED, reason)
        return judged(name, run_of(prepared, dtype, settings.seed), prepared.pair)

    return Check(name, about, run, dtype)


def why_no_run(prepared: PreparedModel | PreparedWhole, dtype: str) -> str:
    """Return why no training run can be made in a precision, or an empty string."""
    if dtype not in prepared.pair.dtypes:
        return prepared.pair.precisions_in_words
    if dtype not in prepared.dtypes:
        return f"subject() takes no argument and does not make a {dtype} network; let it take the precision, subject({dtype!r})"
    return ""


def _lockstep(name: str, run: ModelRun, pair: ModelPair) -> CheckResult:
    comparison, shape = run.comparison, times(pair.shape)
    result = CheckResult(name, comparison.steps_verdict, divergence=comparison.first)
    result.judgements = [(shape, judgement) for key, series in comparison.record.series.items() for judgement in telling(key, series)]
    result.notes = notes(comparison)
    if isinstance(comparison, TrainingComparison):
        result.others = [divergence for divergence in comparison.divergences.values() if divergence is not comparison.first]
    otherwise = "no training step was compared" if result.verdict is Verdict.SKIPPED else ""
    result.reason = next((j.reason for _, j in result.judgements if j.verdict is result.verdict and j.reason), otherwise)
    if run.failed:
        result.verdict, result.reason = Verdict.MISMATCH, f"step {comparison.steps}: {run.failed}"
    elif not run.ended and result.verdict is not Verdict.MISMATCH:
        result.verdict, result.reason = Verdict.UNDECIDED, f"step {comparison.steps} did not end"
    return result


def _freerun(name: str, run: ModelRun, pair: ModelPair) -> CheckResult:
    comparison = run.comparison
    result = CheckResult(name, comparison.free_verdict)
    looks = comparison.free.history if comparison.free else []
    if result.verdict is Verdict.MISMATCH:
        left = next(look for look in looks if look.verdict is Verdict.MISMATCH)
        result.reason = f"training on its own, your code moved away from the reference by step {left.step}: {distance_in_words(left)}"
        place = Place(left.step, *key_of(left.parameter))
        result.divergence = Divergence(Judgement(place, Kind.WHOLE, Verdict.MISMATCH, reason=result.reason))
    elif run.failed or not run.ended:
        how = f"failed: {run.failed}" if run.failed else "did not end"
        result.verdict, result.reason = Verdict.UNDECIDED, f"step {comparison.steps} of {pair.steps} {how}"
    elif result.verdict is Verdict.UNDECIDED:
        result.reason = "the weights are not finite"
    elif result.verdict is Verdict.SKIPPED:
        result.reason = "no step could be compared, so it is not known how far rounding leads"
    last = [look for look in looks if look.step == looks[-1].step]
    if last:
        result.notes.append(f"after {last[0].step} steps the weights differ by at most {max(look.largest for look in last):.2g}")
        result.notes += [distance_in_words(look) for look in last]
    return result


def distance_in_words(look: DistanceSample) -> str:
    """Return in words how far a parameter is from the reference's, and how large a distance rounding explains."""
    distance, allowed = significant(look.distance), significant(look.allowed)
    return f"{look.parameter} differs from the reference's by {distance} as a norm; rounding explains at most {allowed}"


def telling(key: Key, series: Series) -> list[Judgement]:
    """Return a series' first mismatch, or else its worst judgement, plus one judgement for all undecided and one for all skipped steps."""
    kind, layer, quantity = key
    judged = series.first or series.worst
    others = [verdict for verdict in (Verdict.UNDECIDED, Verdict.SKIPPED) if series.counts[verdict]]
    unjudged = [Judgement(Place(0, layer, quantity), kind, verdict, reason=series.reason) for verdict in others]
    return unjudged if judged is None else [judged, *unjudged]


def notes(comparison: Comparison) -> list[str]:
    """Return notes on a run: consequences of the first mismatch, and decisions at kinks that differ or that rounding may flip."""
    following = list(comparison.consequences.values())
    words = [consequence_in_words(judgement_facts(c.judgement) | {"relative_error": number(c.relative)}) for c in following[:FOLLOWING]]
    if len(following) > FOLLOWING:
        words.append(f"{len(following) - FOLLOWING} more quantities are off although their layers are right: they received wrong values")
    decisions = [{"layer": d.layer, "different_choices": d.differing, "largest_margin": number(d.margin)} for d in comparison.decisions.values()]
    words += [decision_in_words(decision) for decision in decisions]
    if isinstance(comparison, StepComparison):
        first = comparison.first.judgement.place if comparison.first else None
        others = [f"{layer}.{q}" for (_, layer, q), s in comparison.record.series.items() if s.first and s.first.place != first]
        if others:
            words.append(f"also off: {', '.join(others)}; when layers are not observed, a fault cannot be told from its consequences")
        if comparison.ambiguous:
            words.append(f"rounding may flip {comparison.ambiguous:,} decisions at kinks in a step; both sides were tried")
    return words


def run_of(prepared: PreparedModel, dtype: str, seed: int) -> ModelRun:
    """Return the run for a precision and a seed, made on first use. A run that was stopped is kept, because it would not end next time either."""
    if (dtype, seed) not in prepared.runs:
        batches = prepared.batches(dtype, seed, prepared.pair.steps)
        prepared.runs[dtype, seed] = ModelRun(comparison_of(prepared, dtype, seed, PERTURBED))
        _train(prepared.runs[dtype, seed], batches)
    found: ModelRun = prepared.runs[dtype, seed]
    return found


def comparison_of(prepared: PreparedModel, dtype: str, seed: int, perturbed: int) -> Comparison:
    """Return a comparison before its first step; raise :class:`SubjectError` if no network can be made."""
    network, reference, precision = prepared.fresh(dtype, seed), prepared.reference, prepared.precision(dtype)
    if isinstance(network, TracedNetwork):
        return TrainingComparison(reference.architecture, network, reference.make, precision, LOOKS, perturbed, seed)
    return StepComparison(reference.architecture, network, reference.make, precision, LOOKS, perturbed, seed)


def _train(run: ModelRun, batches: list[Batch]) -> None:
    looks = {math.ceil(len(batches) * look / LOOKS) for look in range(1, LOOKS + 1)}
    for step, batch in enumerate(batches, start=1):
        try:
            run.comparison.step(*batch.values())
        except SubjectError as error:
            run.failed = error.reason
            break
        if step in looks:
            run.comparison.look()
    run.ended = True
