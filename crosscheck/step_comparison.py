"""A training run of a subject that shows nothing but its loss and its parameters: every step against the oracle's whole step from where it started.

Decisions at kinks are not to be seen from outside. Where a step ends elsewhere than the oracle's, the few that rounding may turn are tried both ways;
what still exceeds is a mismatch. Its cause is looked for in the gradient that the update implies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.adapters.listening import Unseen
from crosscheck.adapters.whole_step import SteppedNetwork
from crosscheck.arithmetic import Array, Bound
from crosscheck.causes import Cause, diagnose
from crosscheck.chain import own_errors
from crosscheck.comparison import Comparison, Labels
from crosscheck.decisions import ambiguous, differing, tried
from crosscheck.divergence import Divergence
from crosscheck.failure import Failure
from crosscheck.freerun import FreeRun, noise_of
from crosscheck.judgement import Judgement, Kind, Verdict, equal, judge
from crosscheck.oracle_step import OracleStep, Start, oracle_step
from crosscheck.trace import Place
from crosscheck.update import implied_gradient

LOSS = ("loss", "output")
Key = tuple[str, str]


@dataclass
class StepComparison(Comparison):
    """A comparison in progress with a subject that is seen from outside alone: call :meth:`step` for each batch.

    Attributes
    ----------
    tried : int
        How many ambiguous decisions at kinks were tried both ways.
    """

    subject: SteppedNetwork
    tried: int = 0
    _buffers: dict[str, Array] = field(default_factory=dict, repr=False)
    _buffer_errors: dict[str, Array] = field(default_factory=dict, repr=False)
    _grads: dict[Key, Array] = field(default_factory=dict, repr=False)

    def step(self, x: Array, labels: Labels) -> None:
        """Let both sides do one step on a batch; judge the loss and every updated parameter."""
        self.steps += 1
        before = self.subject.params
        loss = self.subject.step(x, labels)
        after = self.subject.params
        found = {LOSS: loss} | {_key(name): value for name, value in after.items()}
        start = Start(before, self._buffers, self._buffer_errors)
        if not all(np.isfinite(value).all() for value in before.values()):
            reason = "the parameters that the step starts from are not finite"
            self.record.add([Judgement(Place(self.steps, *key), Kind.WHOLE, Verdict.UNDECIDED, reason=reason) for key in found])
        else:
            self._judge(start, found, x, labels)
        if self.free is not None:
            self.free.step(x, labels)

    def _judge(self, start: Start, found: Mapping[Key, Array], x: Array, labels: Labels) -> None:
        def again(decisions: Mapping[str, npt.NDArray[Any]]) -> OracleStep:
            return oracle_step(self.architecture, start, x, labels, self.arithmetic, decisions)

        step = again({})
        judgements = self._judgements(step, start, found)
        if self.first is None and _exceeding(judgements) and all(np.isfinite(value).all() for value in found.values()):
            choices, own = ambiguous(step, self.arithmetic, self.seed), step
            other = tried(own, choices, again, lambda s: self._residual(s, own, found))
            self.tried += len(choices)
            if not _exceeding(explained := self._judgements(other, start, found)):
                step, judgements = other, explained
                self.count(differing(step, self.arithmetic))
        self.steps_checked += 1
        self.record.add(judgements)
        if self.first is None and (exceeding := _exceeding(judgements)):
            self.first = self._divergence(exceeding[0], step, start, found)
        if self.free is None:
            values = [
                (name, quantity, run.result[quantity], error)
                for name, run, own in zip(step.names, step.runs, own_errors(step.runs, self.arithmetic), strict=True)
                for quantity, error in own.items()
            ]
            noise = noise_of(values, self.architecture.params, self.arithmetic)
            self.free = FreeRun(self.make, start.params, noise, self.perturbed, self.looks, self.arithmetic, self.seed)
        self._buffers, self._buffer_errors = step.buffers, step.buffer_errors
        self._grads = {_key(name): self._grad(step, _key(name)) for name in start.params if _key(name) in step.expected}

    def _judgements(self, step: OracleStep, start: Start, found: Mapping[Key, Array]) -> list[Judgement]:
        """Return the verdicts in the order in which a fault spreads: the loss, then the parameters of the last layer to those of the first."""
        judgements = [self._judgement(LOSS, step, found)]
        for layer in reversed(self.architecture.names):
            for parameter in self.architecture.params[layer]:
                key = (layer, parameter)
                if key in step.expected:
                    judgements.append(self._judgement(key, step, found))
                else:
                    held = start.params[f"{layer}.{parameter}"]
                    judgements.append(equal(Place(self.steps, *key), Kind.WHOLE, found[key], held, self.arithmetic))
        return judgements

    def _judgement(self, key: Key, step: OracleStep, found: Mapping[Key, Array]) -> Judgement:
        expected, bound = step.expected[key]
        return judge(Place(self.steps, *key), Kind.WHOLE, found[key], expected, bound, self.arithmetic)

    def _residual(self, step: OracleStep, unit: OracleStep, found: Mapping[Key, Array]) -> Array:
        """Return the subject's numbers less those of a step, in tolerances of another one; what must be exact counts as if it rounded once."""
        parts = []
        for key, value in found.items():
            if key in step.expected:
                tolerance = self.arithmetic.tolerance(unit.expected[key][1]) + self.arithmetic.unit * np.abs(unit.expected[key][0])
                parts.append((value.astype(np.float64) - step.expected[key][0]).ravel() / np.maximum(tolerance, self.arithmetic.smallest).ravel())
        return np.concatenate(parts)

    def _grad(self, step: OracleStep, key: Key) -> Array:
        layer, parameter = key
        return step.runs[step.names.index(layer)].result[f"{parameter}.grad"]

    def _divergence(self, judgement: Judgement, step: OracleStep, start: Start, found: Mapping[Key, Array]) -> Divergence:
        layer, quantity = key = (judgement.place.layer, judgement.place.quantity)
        cause = None
        if key == LOSS:
            expected, bound = step.expected[key]
            run = step.runs[-1]
            layer_itself = Unseen(self.subject.source)
            cause = diagnose(Failure(judgement, found[key], expected, bound, run.call, run.stage.oracle, layer_itself, self.arithmetic))
        elif key in step.expected and found[key].shape == step.expected[key][0].shape:
            with np.errstate(all="ignore"):  # the subject's numbers may be anything
                cause = self._cause_of_gradient(step, start, found[key], layer, quantity)
        return Divergence(judgement, cause, self.subject.source)

    def _cause_of_gradient(self, step: OracleStep, start: Start, after: Array, layer: str, parameter: str) -> Cause | None:
        """Return what explains the gradient that an update implies, if that can be told from the change of the parameter."""
        name, run = f"{layer}.{parameter}", step.runs[step.names.index(layer)]
        settings, buffer = self.architecture.update.settings, start.buffers.get(name)
        try:
            implied, factor = implied_gradient(settings, start.params[name].astype(np.float64), after.astype(np.float64), buffer)
        except ZeroDivisionError:
            return None
        error = step.expected[layer, parameter][1].terms / abs(factor) + np.abs(implied)
        bound, expected = Bound(error, 1.0), self._grad(step, (layer, parameter))
        place = Place(self.steps, layer, f"{parameter}.grad")
        found = implied.astype(self.arithmetic.dtype)
        judgement = judge(place, Kind.WHOLE, found, expected, bound, self.arithmetic)
        if judgement.verdict is not Verdict.MISMATCH:
            return None
        oracle, layer_itself = run.stage.oracle, Unseen(self.subject.source)
        cause = diagnose(Failure(judgement, found, expected, bound, run.call, oracle, layer_itself, self.arithmetic))
        if (layer, parameter) in self._grads and (cause is None or cause.fitted):
            stale = judge(place, Kind.WHOLE, found, self._grads[layer, parameter], bound, self.arithmetic)
            if stale.verdict is Verdict.MATCH:
                cause = Cause("stale gradient", "it is the gradient of the step before", judgement.units, stale.units, stale.fraction)
        words = "the gradient that the update implies, (before - after) / lr"
        return None if cause is None else replace(cause, words=f"of {words}: {cause.words}")


def _key(name: str) -> Key:
    layer, _, parameter = name.rpartition(".")
    return layer, parameter


def _exceeding(judgements: list[Judgement]) -> list[Judgement]:
    return [judgement for judgement in judgements if judgement.verdict is Verdict.MISMATCH]
