"""Judge whether a side of the benchmark is right: its steps are compared with the oracle's whole steps from the same weights.

Loss and updated weights are compared with float64, up to what rounding explains, as everywhere in this project. Dropout uses the mask that the side
itself drew. The state of a side's optimizer is not visible: the oracle keeps its own state, and a bound of the errors that may have added up in it.

Decisions at kinks are not excused: if rounding changes a decision, and this moves a weight by more than the tolerance, that is a mismatch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from digits.batches import Labels, scaled
from training.subjects import imported

import scratch
from crosscheck.adapters.layout import LayerLayout
from crosscheck.causes.tie_rules import ruled
from crosscheck.core.judge import Judgement, Kind, Verdict, judge
from crosscheck.core.operation import Arrays
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place
from crosscheck.core.training import TrainState
from crosscheck.oracles.network import Architecture
from crosscheck.oracles.step import oracle_step
from crosscheck.report.words import fraction_in_words
from reference.copying import layouts_of
from study.benchmark.sides import DTYPE, Images, Side, Workload

Key = tuple[str, str]
LOSS: Key = ("loss", "output")


@dataclass
class Judge:
    """Judges the first steps of one side."""

    side: Side
    architecture: Architecture  # the network of PyTorch's oracles
    layouts: Mapping[str, LayerLayout]  # from the side's parameters to PyTorch's
    steps: int  # how many steps will be judged
    _done: int = 0
    _state: dict[str, Arrays] = field(default_factory=dict)
    _state_errors: dict[str, Arrays] = field(default_factory=dict)

    @staticmethod
    def of(side: Side, workload: Workload, steps: int) -> Judge:
        """Return the judge of a side that has not trained yet."""
        loss = None if side.tie_rule else scratch.SoftmaxCrossEntropy()
        architecture = imported("torch").network(side.layers, loss, workload.settings()).architecture
        return Judge(side, architecture, layouts_of(side.layers), steps)

    def step(self, images: Images, labels: Labels) -> list[Judgement]:
        """Let the side do one step and judge its loss and its weights after it."""
        self._done += 1
        before = self._params()
        loss, masks = self.side.observed(images, labels)
        after = {(name.rpartition(".")[0], name.rpartition(".")[2]): value for name, value in self._params().items()}
        found = {LOSS: np.asarray(loss, DTYPE)} | after
        precision = Precision(DTYPE, self.steps * sum(value.size for value in found.values()))
        x, constants = scaled(images, DTYPE), {name: {"mask": mask} for name, mask in masks.items()}
        start = TrainState(before, self._state, state_errors=self._state_errors, constants=constants)
        architecture = self._ruled(start, x, labels, precision)

        step = oracle_step(architecture, start, x, labels, precision, {})
        self._state, self._state_errors = step.state, step.state_errors
        return [judge(Place(self._done, *key), Kind.WHOLE, value, *step.expected[key], precision) for key, value in found.items()]

    def _params(self) -> dict[str, Array]:
        params = self.side.params()
        return {
            f"{layer}.{p.name}": p.layout.to_reference(params[f"{layer}.{ours}"])
            for layer, layout in self.layouts.items()
            for ours, p in layout.params.items()
        }

    def _ruled(self, start: TrainState, x: Array, labels: Labels, precision: Precision) -> Architecture:
        """Return the architecture, with the side's tie rule if this differs from PyTorch's."""
        if not self.side.tie_rule:
            return self.architecture
        step = oracle_step(self.architecture, start, x, labels, precision, {})
        inputs = {name: run.call.x for name, run in zip(step.names, step.runs, strict=True)}
        return next(other for name, _, other in ruled(self.architecture, inputs) if name == f"tie rule: {self.side.tie_rule}")


def wrong(judgements: list[Judgement]) -> str:
    """Return a description of the first mismatch; empty if there is none."""
    found = next((j for j in judgements if j.verdict is not Verdict.MATCH), None)
    if found is None:
        return ""
    place = f"step {found.place.step}, {found.place.layer}.{found.place.quantity}"
    return (
        f"{place}: {found.reason or f'{fraction_in_words(found.fraction)} times the tolerance, {found.exceeding:,} of {found.elements:,} elements'}"
    )
