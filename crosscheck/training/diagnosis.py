"""Find the cause of a divergence in a training step: in the layer itself, or in the training code around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crosscheck.causes import Cause, Edits
from crosscheck.causes.divergence import Divergence, examined
from crosscheck.causes.step_updates import suspected_updates
from crosscheck.causes.training_step import explained_in_step, explained_update
from crosscheck.core.check_layer import Failure, LayerContext, with_reading
from crosscheck.core.judge import Judgement, Kind
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.subject import SubjectLayer
from crosscheck.core.trace import Trace
from crosscheck.oracles.network import LOSS, Architecture
from crosscheck.oracles.optimizers import UpdatedParameter
from crosscheck.training.lockstep import StepReport
from crosscheck.training.seen_mistakes import SeenStep, other_parameters, wrong_connections, wrong_values


@dataclass(frozen=True)
class StepDiagnosis:
    """The data of one step, with all its judgements, from which the causes of its mismatches are found."""

    architecture: Architecture  # the network, whose update has this step's learning rate
    layers: Mapping[str, SubjectLayer]
    precision: Precision
    report: StepReport
    trace: Trace
    earlier: Trace | None  # the trace of the previous step, if there is one
    # the verdicts on the layers tested alone, on the reference's values; each mismatch with the data from which it was judged, and with the search
    # for an edit of the reference that explains it
    isolated: Sequence[tuple[Judgement, Failure | None, Edits | None]]
    seen: SeenStep

    def divergence(self, judgement: Judgement) -> Divergence:
        """Return a mismatch of this step with its cause, the line of code, and the verdict on the layer tested alone."""
        layer, quantity = key = judgement.place.key
        subject, context, found = self.layers[layer], self.report.contexts.get(layer), self.trace.get(key)
        alone, failure, edits = next((one for one in self.isolated if one[0].place.key == key), (None, None, None))
        if judgement.kind is Kind.ISOLATED and failure is not None:
            # The layer tested alone is a copy that still holds the gradients of the step.
            return self._examined(failure, found, alone, edits)
        if judgement.kind is not Kind.LAYER or context is None or quantity not in context.expected or found is None:
            return Divergence(judgement, self._cause_of_update(judgement), subject.sources.get(quantity, ""), alone)
        return self._examined(self._failure(judgement, context, found), self._earlier(layer, quantity), alone, edits)

    def suspects(self, judgement: Judgement) -> list[Cause]:
        """Return the mistakes that explain a mismatch of this step, and that another step has to confirm."""
        layer, quantity = judgement.place.key
        context, found = self.report.contexts.get(layer), self.trace.get(judgement.place.key)
        if judgement.kind is Kind.WIRE:
            return list(wrong_connections(judgement, self.seen))
        if judgement.kind is Kind.LAYER and context is not None and found is not None and quantity in context.expected:
            return list(wrong_values(self._failure(judgement, context, found), self.seen))
        if judgement.kind is Kind.UPDATE and (updated := self._updated(judgement)) is not None:
            settings, others = self.architecture.update.settings, other_parameters(layer, quantity, self.seen)
            return list(suspected_updates(judgement, f"{layer}.{quantity}", settings, updated[0], others, self.precision, updated[1]))
        return []

    def _failure(self, judgement: Judgement, context: LayerContext, found: Array) -> Failure:
        layer, quantity = judgement.place.key
        subject, oracle = self.layers[layer], self.architecture.loss if layer == LOSS else self.architecture.layers[layer]
        bound = with_reading(context.bounds[quantity], subject.reading(quantity, context.call, found), self.precision)
        return Failure(judgement, found, context.expected[quantity], bound, context.call.astype(np.float64), oracle, subject, self.precision)

    def _examined(self, failure: Failure, earlier: Array | None, alone: Judgement | None, edits: Edits | None) -> Divergence:
        divergence, layer = examined(failure, alone, edits), failure.judgement.place.layer
        itself = divergence.cause is not None and not divergence.cause.fitted
        if itself and failure.judgement.kind is Kind.LAYER:
            return divergence
        # If a layer is wrong only when tested alone, the cause is a value that the step left in it, even if another cause fits the numbers.
        after = {} if layer == LOSS else {name: self.trace[layer, name] for name in self.architecture.params[layer]}
        return replace(divergence, cause=explained_in_step(failure, after, earlier) or divergence.cause)

    def _cause_of_update(self, judgement: Judgement) -> Cause | None:
        """Return the cause of a wrong update of a parameter; None if none is found, or if the judgement is not about a parameter with a gradient."""
        if (found := self._updated(judgement)) is None:
            return None
        layer, name = judgement.place.key
        earlier, batch = self._earlier(layer, f"{name}.grad"), len(self.report.contexts[layer].call.x)
        return explained_update(judgement, self.architecture.update.settings, found[0], earlier, batch, self.precision, found[1])

    def _updated(self, judgement: Judgement) -> tuple[UpdatedParameter, Bound | None] | None:
        """Return a wrongly updated parameter, with the bound of the error made in inferring its gradient; None if it has no gradient."""
        layer, name = judgement.place.key
        context, grad = self.report.contexts.get(layer), self.trace.get((layer, f"{name}.grad"))
        if judgement.kind is not Kind.UPDATE or layer in self.architecture.frozen or context is None or grad is None:
            return None
        before, after = self.trace[layer, f"{name}.before"], self.trace[layer, name]
        if not before.shape == after.shape == grad.shape:
            return None
        updated = UpdatedParameter(before, grad, after, self.trace.state(layer, name, before=True), self.trace.state(layer, name))
        return updated, self.layers[layer].reading(f"{name}.grad", context.call, grad)

    def _earlier(self, layer: str, quantity: str) -> Array | None:
        """Return a quantity's value in the previous step; None if the previous step was not traced."""
        return None if self.earlier is None else self.earlier.get((layer, quantity))
