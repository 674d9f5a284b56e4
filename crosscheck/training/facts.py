"""The facts of a training comparison as plain data for JSON. All reports are made from these alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from crosscheck.causes.conventions import Convention
from crosscheck.causes.divergence import divergence_facts
from crosscheck.core import __version__
from crosscheck.core.judge import EXIT_STATUS, Facts, Kind, Verdict, combine_verdicts, judgement_facts, number
from crosscheck.core.precision import Array
from crosscheck.report.words import counted
from crosscheck.training.jury import Jury
from crosscheck.training.listened import LINKS, TrainingComparison
from crosscheck.training.record import Means, Series

SCHEMA_VERSION = 2
POINTS = 400
"""The largest number of points of a curve in the report. A longer curve is thinned to the largest value of each group of neighbours."""


@dataclass(frozen=True)
class SideTest:
    """The results of the subject or the reference on the test images."""

    loss: float
    accuracy: float


@dataclass
class RunFacts:
    """The facts of a run that the caller adds to those of the comparison."""

    subject: str  # the subject's name in reports
    reference: str  # the reference's name in reports
    settings: Facts  # all options of the run
    environment: Facts  # versions, threads, seed, checksums
    steps_asked: int  # the number of steps that were requested
    checks_asked: int  # the number of checked steps that were requested
    command: str  # the command line that repeats the run
    without_steps: str  # the command line without the number of steps; with ``--steps N`` added, it repeats the run up to step N
    lines: list[Facts] = field(default_factory=list)  # the progress lines: step, epoch, and loss and accuracy of both sides
    losses: Means = field(default_factory=Means)
    test: dict[str, SideTest] = field(default_factory=dict)  # for ``"subject"`` and ``"reference"``; empty if the test was not reached
    predictions_differing: int | None = None  # the number of test images that subject and reference classify differently
    images: list[Facts] = field(default_factory=list)  # the differently classified images in the report: pixels, label and both predictions
    interrupted: bool = False
    failed: str = ""
    seconds: float = 0.0


def verdict_of(comparison: TrainingComparison, run: RunFacts) -> Verdict:
    """Return the comparison's verdict, but ``undecided`` instead of ``match`` if fewer steps were done or checked than requested."""
    verdict = comparison.verdict
    incomplete = run.interrupted or bool(run.failed) or comparison.steps < run.steps_asked or comparison.steps_checked < run.checks_asked
    return Verdict.UNDECIDED if verdict is Verdict.MATCH and incomplete else verdict


def collect(comparison: TrainingComparison, run: RunFacts) -> Facts:
    """Return all facts that a report shows."""
    verdict = verdict_of(comparison, run)
    record, free, first = comparison.record, comparison.free, comparison.first
    return {
        "kind": "training",
        "schema_version": SCHEMA_VERSION,
        "crosscheck_version": __version__,
        "verdict": verdict.value,
        "exit_status": EXIT_STATUS[verdict],
        "headline": headline(comparison, run, verdict),
        "subject": run.subject,
        "reference": run.reference,
        "settings": run.settings,
        "steps_requested": run.steps_asked,
        "steps_done": comparison.steps,
        "steps_checked": comparison.steps_checked,
        "quantities_compared": record.compared,
        "elements_compared": record.elements,
        "first_divergence": None if first is None else divergence_facts(first, f"{run.without_steps} --steps {first.judgement.place.step}"),
        "consequences": [judgement_facts(c.judgement) | {"relative_error": number(c.relative)} for c in comparison.consequences.values()],
        "worst": None if (worst := record.worst(*LINKS, Kind.ISOLATED)) is None else judgement_facts(worst),
        "quantities": [_series(key, series, comparison) for key, series in record.series.items()],
        "decisions": [
            {"layer": d.layer, "different_choices": d.differing, "largest_margin": number(d.margin), "explained_by_rounding": d.admissible}
            for d in comparison.decisions.values()
        ],
        "free_run": _free_run(comparison),
        "jury": None if comparison.jury is None else jury_facts(comparison.jury, bool(comparison.perturbed)),
        "lines": [{name: number(value) if isinstance(value, float) else value for name, value in line.items()} for line in run.lines],
        "losses": _losses(run.losses),
        "test": {side: {"loss": number(t.loss), "accuracy": t.accuracy} for side, t in run.test.items()}
        | {"predictions_differing": run.predictions_differing, "differing_images": run.images},
        "weights": _weights(comparison) if free is not None else {},
        "environment": run.environment,
        "tolerance": {
            "unit_roundoff": comparison.precision.unit,
            "confidence": comparison.precision.confidence,
            "elements": comparison.precision.elements,
            "false_alarm_probability": comparison.precision.false_alarms,
        },
        "interrupted": run.interrupted,
        "command": run.command,
        "seconds": run.seconds,
    }


def headline(comparison: TrainingComparison, run: RunFacts, verdict: Verdict) -> str:
    """Return the report's first line: the verdict, the numbers of checked steps and quantities, and why the run is incomplete, if it is."""
    first = comparison.first
    checked = f"{comparison.steps_checked:,} of {run.steps_asked:,} steps checked, {comparison.record.compared:,} quantities compared"
    if widened := comparison.record.widened:
        checked += f", {counted(widened, 'tolerance')} widened by the reference's own rounding error"
    undone = ""
    if run.interrupted:
        undone = f"interrupted after step {comparison.steps:,} of {run.steps_asked:,}; "
    if run.failed:
        undone = f"stopped at step {comparison.steps:,} of {run.steps_asked:,}: {run.failed}; "
    if verdict is Verdict.MISMATCH:
        what = f"the free runs diverged by step {comparison.left_at}" if first is None else f"first divergence at {first.judgement.place}"
        return f"MISMATCH: {undone}{what}; {checked}"
    if verdict is Verdict.MATCH:
        return f"MATCH: rounding explains every difference{other_conventions(comparison)}; {checked}"
    if verdict is Verdict.SKIPPED:
        return f"NOT CHECKED: {undone}nothing was compared; {checked}"
    undecided = comparison.record.count(Verdict.UNDECIDED)
    reason = undone or (f"{undecided:,} quantities could not be judged; " if undecided else "")
    if not reason and comparison.jury is not None:
        reason = f"{disagreement(comparison)}; "
    return f"UNDECIDED: {reason}no mismatch so far; {checked}"


def disagreement(comparison: TrainingComparison) -> str:
    """Return a sentence that says which references find the subject right, and which do not."""
    assert comparison.jury is not None
    verdicts = {juror.name: comparison.jury.verdict_by(juror.name, bool(comparison.perturbed)) for juror in comparison.jury.jurors}
    groups = {verdict: [name for name, own in verdicts.items() if own is verdict] for verdict in Verdict}
    return "the references do not agree: " + ", ".join(f"{verdict.value} by {' and '.join(names)}" for verdict, names in groups.items() if names)


def other_conventions(comparison: TrainingComparison) -> str:
    """Return the words of a headline that name the other conventions of references; empty if there are none."""
    conventions = () if comparison.jury is None else comparison.jury.conventions.items()
    by_name: dict[str, list[str]] = {}
    for (reference, _), convention in conventions:
        by_name.setdefault(convention.name, []).append(reference)
    named = [f"{' and '.join(dict.fromkeys(references))} ({name})" for name, references in by_name.items()]
    return f", except for another convention of {', '.join(named)}" if named else ""


def jury_facts(jury: Jury, perturbed: bool) -> Facts:
    """Return the verdicts of the references on the subject and on each other."""
    return {
        "references": [
            {
                "name": juror.name,
                "verdict_on_subject": jury.verdict_by(juror.name, perturbed).value,
                "conventions": _conventions(jury, juror.name),
                "free_run": _beside(jury, juror.name, perturbed),
            }
            for juror in jury.jurors
        ],
        "opinions": [
            {
                "judge": tally.judge,
                "side": tally.side,
                "verdict": tally.verdict.value,
                "steps": tally.steps,
                "quantities_compared": tally.compared,
                "mismatches": tally.mismatches,
                "explained_by_convention": tally.explained,
                "undecided": tally.undecided,
                "worst": None if tally.worst is None else judgement_facts(tally.worst),
                "first_mismatch": None if tally.first is None else judgement_facts(tally.first),
            }
            for tally in jury.tallies.values()
        ],
    }


def _conventions(jury: Jury, reference: str) -> list[Facts]:
    """Return the conventions by which a reference differs from the first one, each with the quantities where it was seen."""
    found: dict[Convention, list[str]] = {}
    for (name, (layer, quantity)), convention in jury.conventions.items():
        if name == reference:
            found.setdefault(convention, []).append(f"{layer}.{quantity}")
    return [{"name": one.name, "in_words": one.words, "quantities": quantities} for one, quantities in found.items()]


def _beside(jury: Jury, name: str, perturbed: bool) -> Facts | None:
    """Return the subject's distance from a reference that trains independently; without perturbed references, the distance is not judged."""
    looks = jury.looks_at(name) or [look for (own, _), look in jury.looks.items() if own == name]
    if not looks:
        return None
    ratios = [look.distance / look.spread for look in looks if look.spread]
    verdict = combine_verdicts([look.verdict for look in jury.looks_at(name)] if perturbed else [])
    return {
        "max_weight_difference": number(max(look.largest for look in looks)),
        "largest_ratio_to_spread": number(max(ratios)) if ratios else None,
        "verdict": verdict.value,
    }


def _series(key: tuple[Kind, str, str], series: Series, comparison: TrainingComparison) -> Facts:
    kind, layer, quantity = key
    worst = series.worst
    beside = comparison.reference_fractions.get((layer, quantity)) if kind is Kind.WHOLE else None
    steps, fractions = thinned(series.curve.steps, series.curve.values)
    return {
        "kind": kind.value,
        "layer": layer,
        "quantity": quantity,
        "verdicts": {verdict.value: count for verdict, count in series.counts.items() if count},
        "elements": series.elements,
        "widened": series.widened,
        "worst": None if worst is None else judgement_facts(worst),
        "reference_fraction_of_tolerance": None if beside is None else number(beside),
        "reason": series.reason,
        "steps": steps,
        "fractions_of_tolerance": [number(fraction) for fraction in fractions],
    }


def thinned(steps: Sequence[int], values: Sequence[float]) -> tuple[list[int], list[float]]:
    """Return at most POINTS points of a curve: the largest value of each group of neighbours, and the step of this value."""
    if len(steps) <= POINTS:
        return list(steps), list(values)
    groups = np.array_split(np.arange(len(steps)), POINTS)
    picked = [int(group[int(np.argmax([values[i] for i in group]))]) for group in groups]
    return [steps[i] for i in picked], [values[i] for i in picked]


def _losses(losses: Means) -> Facts:
    """Return the loss curves."""
    points = losses.points()
    return {
        "steps": [step for step, _, _ in points],
        "subject": [number(subject) for _, subject, _ in points],
        "reference": [number(reference) for _, _, reference in points],
    }


def _free_run(comparison: TrainingComparison) -> Facts:
    free = comparison.free
    history = free.history if free else []
    last = [look for look in history if look.step == comparison.steps]
    largest = max((look.largest for look in last), default=math.nan)
    return {
        "verdict": comparison.free_verdict.value,
        "max_weight_difference": number(largest),
        "diverged_at_step": comparison.left_at,
        "perturbed_runs": comparison.perturbed,
        "measurements": [
            {
                "step": look.step,
                "parameter": look.parameter,
                "distance": number(look.distance),
                "spread": number(look.spread),
                "allowed": number(look.allowed),
                "largest_difference": number(look.largest),
            }
            for look in history
        ],
    }


def _weights(comparison: TrainingComparison) -> Facts:
    """Return the subject's and the reference's final filters, ``(out, in, height, width)``; layers with many filters are left out."""
    assert comparison.free is not None
    subject: Mapping[str, Array] = comparison.subject.params
    reference = comparison.free.reference.params
    images = {name for name, value in subject.items() if value.ndim == 4 and value.shape[0] * value.shape[1] <= 64}
    return {
        name: {side: np.nan_to_num(values[name].astype(np.float64)).tolist() for side, values in (("subject", subject), ("reference", reference))}
        for name in subject
        if name in images
    }
