"""Compare a training run of a subject that shows only its loss and parameters: the oracle repeats each step from the same parameters.

The subject's decisions at kinks cannot be seen. If a step gives other results than the oracle's step, the few decisions that rounding may change are
tried both ways; a difference that they do not explain is a mismatch. Its cause is looked for in the gradient that the update implies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.adapters.network_listened import Unseen
from crosscheck.adapters.whole_network import WholeNetwork
from crosscheck.causes import Cause, diagnose
from crosscheck.causes.candidate import in_words
from crosscheck.causes.divergence import Divergence
from crosscheck.causes.tie_rules import ruled
from crosscheck.causes.training_step import NOT_UPDATED, grads_by_updated_params
from crosscheck.core.check_layer import Failure
from crosscheck.core.judge import Judgement, Kind, Verdict, equal, judge
from crosscheck.core.operation import Arrays, Labels
from crosscheck.core.precision import Array, Bound
from crosscheck.core.trace import Place, key_of
from crosscheck.core.training import TrainState
from crosscheck.oracles.chain import own_errors
from crosscheck.oracles.network import Architecture
from crosscheck.oracles.optimizers import implied_gradient
from crosscheck.oracles.step import OracleStep, oracle_step
from crosscheck.training.comparison import Comparison
from crosscheck.training.free_run import FreeRun, noise_of
from crosscheck.training.kinks import ambiguous, differing, tried
from crosscheck.training.shown_mistakes import mistakes
from crosscheck.training.shown_step import LOSS, Key, ShownStep, Suspects

ComputeStep = Callable[..., OracleStep]
"""Function that computes the oracle's step of a network, with imposed decisions at kinks if any are given."""


@dataclass
class StepComparison(Comparison):
    """The comparison of a training run with a subject whose layers cannot be seen: call :meth:`step` for each batch."""

    subject: WholeNetwork
    ambiguous: int = 0  # the largest number of decisions at kinks that rounding may change, over the steps in which decisions were tried
    _state: dict[str, Arrays] = field(default_factory=dict, repr=False)
    _state_errors: dict[str, Arrays] = field(default_factory=dict, repr=False)
    _grads: dict[Key, Array] = field(default_factory=dict, repr=False)
    _sums: dict[Key, Array] = field(default_factory=dict, repr=False)
    _suspects: Suspects | None = field(default=None, repr=False)
    _last_loss: Array | None = field(default=None, repr=False)
    _right_loss: tuple[Array, Bound] | None = field(default=None, repr=False)
    _batches: list[tuple[Array, Labels]] = field(default_factory=list, repr=False)  # those of the first step and of the previous step

    @np.errstate(all="ignore")  # a training that diverges overflows on both sides; the verdicts say so
    def step(self, x: Array, labels: Labels) -> None:
        """Let the subject and the references do one step on a batch; judge the loss and every updated parameter."""
        self.steps += 1
        before = self.subject.params
        loss = self.subject.step(x, labels)
        after = self.subject.params
        found = {LOSS: loss} | {key_of(name): value for name, value in after.items()}
        start = TrainState(before, self._state, state_errors=self._state_errors)
        if not all(np.isfinite(value).all() for value in before.values()):
            reason = "the parameters that the step starts from are not finite"
            self.record.add([Judgement(Place(self.steps, *key), Kind.WHOLE, Verdict.UNDECIDED, reason=reason) for key in found])
        else:
            self._judge(start, found, x, labels)
        if self.free is not None:
            self.free.step(x, labels)

    def _judge(self, start: TrainState, found: Mapping[Key, Array], x: Array, labels: Labels) -> None:
        def compute(architecture: Architecture, decisions: Mapping[str, npt.NDArray[Any]] | None = None) -> OracleStep:
            return oracle_step(architecture, start, x, labels, self.precision, decisions or {})

        step = compute(self.architecture)
        judgements = self._judgements(step, start, found)
        if self.first is None and _exceeding(judgements):
            step, judgements = self._tried(step, judgements, start, found, compute)
        self.steps_checked += 1
        self.record.add(judgements)
        shown = ShownStep(
            self.steps, self.architecture, self.precision, start, found, x, labels, step, self._last_loss, self._right_loss, self._batches[:]
        )
        self._confirm(shown, judgements)
        if self.first is None and (exceeding := _exceeding(judgements)):
            self.first = self._divergence(exceeding[0], step, start, found)
            if (tie_rule := self._tie_rule(exceeding[0], step, start, found, compute)) is not None:
                self.first = replace(self.first, cause=tie_rule)
            else:
                self._suspects = Suspects(exceeding[0], self.first.cause)
                self._suspects.look(mistakes(shown), shown)
                self.first = replace(self.first, cause=None if self._suspects.open else self.first.cause)
        if self.free is None:
            values = [
                (name, quantity, run.result[quantity], error)
                for name, run, own in zip(step.names, step.runs, own_errors(step.runs, self.precision), strict=True)
                for quantity, error in own.items()
            ]
            noise = noise_of(values, self.architecture.params, self.precision)
            self.free = FreeRun(self.make, TrainState(start.params), noise, self.perturbed, self.looks, self.precision, self.seed)
        self._state, self._state_errors = step.state, step.state_errors
        self._grads = {key_of(name): self._grad(step, key_of(name)) for name in start.params if key_of(name) in step.expected}
        self._sums = {key: self._sums.get(key, 0.0) + grad for key, grad in self._grads.items()}
        self._last_loss, self._right_loss = found[LOSS].copy(), step.expected[LOSS]
        self._batches = [*self._batches[:1], (x.copy(), labels.copy())]

    def _confirm(self, step: ShownStep, judgements: Sequence[Judgement]) -> None:
        """Report a mistake that explains the first wrong step, once it explains another step, too."""
        if self.first is None or self._suspects is None or not self._suspects.open:
            return
        again = [one for one in _exceeding(judgements) if one.place.key == self.first.judgement.place.key]
        named = self._divergence(again[0], step.right, step.start, step.found).cause if again else None
        if (cause := self._suspects.confirmed(step, named)) is not None:
            self.first = replace(self.first, cause=cause)

    def _tried(
        self, step: OracleStep, judgements: list[Judgement], start: TrainState, found: Mapping[Key, Array], compute: ComputeStep
    ) -> tuple[OracleStep, list[Judgement]]:
        """Return ``step``, or one with other decisions at kinks that explains the subject's results, and the judgements by the returned step.

        If other decisions may explain the results but there are too many to try, mismatches become undecided.
        """
        exceeding = _exceeding(judgements)
        finite = all(np.isfinite(value).all() for value in found.values())
        frozen = any(j.place.key not in step.expected for j in exceeding)
        choices = ambiguous(step, self.precision, self.seed) if finite and not frozen else []
        if not choices or self._tie_rule(exceeding[0], step, start, found, compute):
            return step, judgements
        self.ambiguous = max(self.ambiguous, len(choices))
        closest, left = tried(step, choices, lambda imposed: compute(self.architecture, imposed), lambda s: self._residual(s, step, found))
        by_closest = self._judgements(closest, start, found)
        if not _exceeding(by_closest):
            self.count(differing(closest, self.precision))
            return closest, by_closest
        if (np.abs(self._residual(step, step, found)) > 1 + left).any():
            return step, judgements
        reason = (
            f"rounding may change {len(choices):,} decisions at kinks, which may explain this, but they are too many to try; use inputs without "
            "ties, or a pair that shows its layers"
        )
        return step, [replace(j, verdict=Verdict.UNDECIDED, reason=reason) if j.verdict is Verdict.MISMATCH else j for j in judgements]

    def _tie_rule(self, judgement: Judgement, step: OracleStep, start: TrainState, found: Mapping[Key, Array], compute: ComputeStep) -> Cause | None:
        """Return the tie rule of max pooling that explains the whole step; None if no rule does."""
        inputs = {name: run.call.x for name, run in zip(step.names, step.runs, strict=True)}
        for name, words, architecture in ruled(self.architecture, inputs):
            judgements = self._judgements(compute(architecture), start, found)
            if not _exceeding(judgements):
                worst = max(judgements, key=lambda j: j.fraction)
                return Cause(name, words, judgement.units, worst.units, worst.fraction)
        return None

    def _judgements(self, step: OracleStep, start: TrainState, found: Mapping[Key, Array]) -> list[Judgement]:
        """Return the judgements in the order in which a fault spreads: the loss, then the parameters from the last layer to the first."""
        judgements = [self._judgement(LOSS, step, found)]
        for layer in reversed(self.architecture.names):
            for parameter in self.architecture.params[layer]:
                key = (layer, parameter)
                if key in step.expected:
                    judgements.append(self._judgement(key, step, found))
                else:
                    held = start.params[f"{layer}.{parameter}"]
                    judgements.append(equal(Place(self.steps, *key), Kind.WHOLE, found[key], held, self.precision))
        return judgements

    def _judgement(self, key: Key, step: OracleStep, found: Mapping[Key, Array]) -> Judgement:
        expected, bound = step.expected[key]
        return judge(Place(self.steps, *key), Kind.WHOLE, found[key], expected, bound, self.precision)

    def _residual(self, step: OracleStep, unit: OracleStep, found: Mapping[Key, Array]) -> Array:
        """Return the differences between the subject's numbers and the numbers of ``step``, as fractions of the tolerances of ``unit``."""
        keys = [key for key in found if key in step.expected]
        differences = [(found[key].astype(np.float64) - step.expected[key][0]).ravel() for key in keys]
        tolerances = [np.broadcast_to(self.precision.tolerance(unit.expected[key][1]), found[key].shape).ravel() for key in keys]
        return np.asarray(np.concatenate(differences) / np.maximum(np.concatenate(tolerances), self.precision.smallest))

    def _grad(self, step: OracleStep, key: Key) -> Array:
        layer, parameter = key
        return step.runs[step.names.index(layer)].result[f"{parameter}.grad"]

    def _divergence(self, judgement: Judgement, step: OracleStep, start: TrainState, found: Mapping[Key, Array]) -> Divergence:
        layer, quantity = key = judgement.place.key
        cause = None
        if key == LOSS:
            expected, bound = step.expected[key]
            run = step.runs[-1]
            layer_itself = Unseen(self.subject.source)
            cause = diagnose(Failure(judgement, found[key], expected, bound, run.call, run.stage.oracle, layer_itself, self.precision))
        elif key in step.expected and found[key].shape == step.expected[key][0].shape:
            if np.array_equal(found[key], start.params[f"{layer}.{quantity}"]):
                cause = Cause("not updated", NOT_UPDATED, judgement.units, 0.0, 0.0)
            else:
                cause = self._cause_of_gradient(step, start, found, layer, quantity)
        return Divergence(judgement, cause, self.subject.source)

    def _cause_of_gradient(self, step: OracleStep, start: TrainState, after: Mapping[Key, Array], layer: str, parameter: str) -> Cause | None:
        """Compute the gradient that an update implies; return the cause if this gradient is wrong and a cause is found, otherwise None."""
        name, run = f"{layer}.{parameter}", step.runs[step.names.index(layer)]
        settings, buffer = self.architecture.update.settings, start.state.get(name, {}).get("momentum")
        try:
            implied, factor = implied_gradient(settings, start.params[name].astype(np.float64), after[layer, parameter].astype(np.float64), buffer)
        except (ZeroDivisionError, TypeError):
            return None
        error = step.expected[layer, parameter][1].abs_sum / abs(factor) + np.abs(implied)
        bound, expected = Bound(error, 1.0), self._grad(step, (layer, parameter))
        place = Place(self.steps, layer, f"{parameter}.grad")
        found = implied.astype(self.precision.dtype)
        judgement = judge(place, Kind.WHOLE, found, expected, bound, self.precision)
        if judgement.verdict is not Verdict.MISMATCH:
            return None
        oracle, layer_itself = run.stage.oracle, Unseen(self.subject.source)
        cause = diagnose(Failure(judgement, found, expected, bound, run.call, oracle, layer_itself, self.precision))
        for other, words, value in self._other_gradients(step, after, (layer, parameter)) if cause is None or cause.fitted else ():
            tested = judge(place, Kind.WHOLE, found, value, Bound(bound.abs_sum + np.abs(value), 2.0), self.precision)
            if tested.verdict is Verdict.MATCH:
                cause = Cause(other, words, judgement.units, tested.units, tested.fraction)
                break
        return None if cause is None else replace(cause, words=f"{cause.words}; the gradient is implied by the update: (before - after) / lr")

    def _other_gradients(self, step: OracleStep, after: Mapping[Key, Array], key: Key) -> Iterator[tuple[str, str, Array]]:
        """Yield, for known mistakes in a training step, the mistake's name, a sentence, and the wrong gradient of the parameter that it gives."""
        if key in self._grads:
            name = in_words(f"{key[1]}.grad")
            yield "stale gradient", f"{name} is the gradient of the previous step", self._grads[key]
            words = f"{name} is the sum of all gradients so far: they are not cleared"
            yield "accumulated gradients", words, self._sums[key] + self._grad(step, key)
        passed_on = grads_by_updated_params(step.runs, step.names, after)
        if key in passed_on:
            words = "the later layers computed their input gradients with updated parameters: compute all gradients before the update"
            yield "updated weight", words, passed_on[key]


def _exceeding(judgements: Sequence[Judgement]) -> list[Judgement]:
    return [judgement for judgement in judgements if judgement.verdict is Verdict.MISMATCH]
