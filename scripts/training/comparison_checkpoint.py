"""Checkpoints of a comparison: the subject, the references, every perturbed reference, and all findings so far.

A resumed comparison ends with the same weights, verdict and report as an uninterrupted one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cattrs import BaseValidationError, Converter, transform_error
from cattrs.gen import make_dict_unstructure_fn, override
from rich.console import Console

from crosscheck.core.judge import Facts
from crosscheck.core.trace import Place
from crosscheck.core.training import AnyArray, Snapshot, merge, split
from crosscheck.training.comparison import ComparisonState
from crosscheck.training.facts import RunFacts
from crosscheck.training.listened import TrainingComparison
from crosscheck.training.record import Means, Peaks, Series
from training.checkpoints import Checkpoint, CheckpointError, Clock, read, write
from training.progress_lines import Averages
from training.subjects import Resumable


@dataclass(frozen=True)
class RunState:
    """The state of a run except for its arrays."""

    comparison: ComparisonState
    averages: Averages  # since the last printed line
    # lines, losses: of the report so far
    lines: list[Facts]
    losses: Means


def _converter() -> Converter:
    """Return the converter between the state and data for JSON; it leaves out the points of curves, which are saved as arrays."""
    converter = Converter()
    points = make_dict_unstructure_fn(Peaks, converter, steps=override(omit=True), values=override(omit=True))
    converter.register_unstructure_hook(Peaks, points)
    converter.register_unstructure_hook(Place, list)
    converter.register_structure_hook(Place, lambda place, _: Place(*place))
    return converter


@dataclass
class Keeper:
    """Writes the checkpoints of a run, and continues from the last one."""

    path: Path
    options: dict[str, Any]  # the options that affect the results
    clock: Clock
    subject: Resumable
    comparison: TrainingComparison
    facts: RunFacts
    _converter: Converter = field(default_factory=_converter, repr=False)

    def keep(self, averages: Averages) -> None:
        """Write a checkpoint."""
        findings, arrays = self.comparison.snapshot()
        state = RunState(findings, averages, self.facts.lines, self.facts.losses)
        whole = merge(
            {
                "comparison": arrays,
                "subject": self.subject.snapshot(),
                "curves": Snapshot(_points([series for _, series in findings.series]), {}),
            }
        )
        write(self.path, Checkpoint(self.options, whole.arrays, {"run": self._converter.unstructure(state), "parts": whole.facts}))

    def go_on(self, console: Console) -> Averages:
        """Restore the checkpoint, print the step after which the run continues, and return the averages since the last printed line.

        CheckpointError says that the checkpoint is damaged or belongs to another run.
        """
        found = read(self.path, self.options)
        parts = split(Snapshot(found.arrays, found.facts["parts"]))
        try:
            state = self._converter.structure(found.facts["run"], RunState)
        except BaseValidationError as error:
            reasons = "; ".join(transform_error(error))
            raise CheckpointError(f"{self.path}: not what this release writes ({reasons}); use the release that wrote it, or delete it") from None
        _set_points([series for _, series in state.comparison.series], parts["curves"].arrays)
        self.subject.restore(parts["subject"])
        self.comparison.restore(state.comparison, parts["comparison"])
        self.facts.lines.extend(state.lines)
        self.facts.losses = state.losses
        console.print(f"going on after step {self.comparison.steps:,} of {self.path}", markup=False)
        return state.averages


def _points(series: list[Series]) -> dict[str, AnyArray]:
    """Return the points of all curves, concatenated into arrays, which take far less space than text."""
    curves = [one.curve for one in series]
    return {
        "lengths": np.array([len(curve.steps) for curve in curves], np.int64),
        "steps": np.array([step for curve in curves for step in curve.steps], np.int64),
        "values": np.array([value for curve in curves for value in curve.values], np.float64),
    }


def _set_points(series: list[Series], arrays: Any) -> None:
    """Put the points back into all curves."""
    ends = np.cumsum(arrays["lengths"])
    for one, steps, values in zip(series, np.split(arrays["steps"], ends[:-1]), np.split(arrays["values"], ends[:-1]), strict=True):
        one.curve.steps, one.curve.values = steps.tolist(), values.tolist()
