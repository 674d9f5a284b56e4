"""Compare the training of a network of any architecture: its loss, its gradients, its updated parameters and its running statistics, step by step.

Each step is judged from the parameters that the subject has before it. The reference's loss and gradients for the batch are one function, whose
rounding errors a theory bounds. The update is judged from the subject's own gradients if it shows them and they are right, otherwise from the
reference's, whose rounding errors then count, too. The state of the optimizer is the reference's own, kept from step to step; so an error of the
subject's state shows in the parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from crosscheck.adapters.layer_events import Event
from crosscheck.adapters.network_listened import Traced
from crosscheck.adapters.whole_network import Batch, WholeNetwork
from crosscheck.causes import Cause
from crosscheck.causes.divergence import Divergence
from crosscheck.core.check_layer import LayerContext, context_of, judge_one
from crosscheck.core.judge import Judgement, Kind, Verdict, combine_verdicts, equal, judge
from crosscheck.core.operation import OUTPUT, Arrays, Call, RefusedError
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Place, key_of
from crosscheck.oracles.theories.measured import SCALES, NoisyOracle, reach_of_kinks, terms_of_runs
from crosscheck.oracles.whole import EACH, PREDICTION, PREDICTIONS, FollowedOptimizer, MakeOracle
from crosscheck.oracles.whole import WholeNetwork as Reference
from crosscheck.training.placement import parted
from crosscheck.training.predictions import judged_prediction
from crosscheck.training.record import Record
from crosscheck.training.update_causes import CLIPPED_ALONE, Update, Updates
from crosscheck.training.whole_gradients import Expected, Judged, ShownGradients, judged_gradients

KINK = "rounding may decide this: a value before a ReLU or among several maxima is as close to its neighbour as rounding errors are large"
"""The reason in a judgement that is undecided because noise of the size of the subject's rounding errors changes the result as much."""

_IS = {"output": "what it returns", "grad_output": "the gradient that it receives", "grad_input": "the gradient that it passes back"}
"""What the quantities of a layer are, in words."""

_NO_LOSS = "the training step returns no loss"
_NO_GRADIENT = "your code does not show it after the step"
_UPDATE = "its gradient is right; the update is another than the declared optimizer's"
_UPDATE_OR_GRADIENT = "the loss is right; your code shows no gradients, so that the update or a gradient may be wrong"
_UPDATE_GRADIENT_OR_LOSS = "your code shows no gradients and no loss, so that the update, a gradient or the forward pass may be wrong"
_FROZEN = "it is declared as frozen, and your code changes it"
_NO_OPTIMIZER = "no optimizer is declared, and your code changes it: declare optimizer=, or lr="
_BETWEEN = "your code changes it in a step in which no optimizer acts: declared is one update after {} steps"
_CHANGED = "it is changed after the backward pass; the updated parameters, which follow from it, are right"


@dataclass
class WholeComparison:
    """The comparison of a training run; call :meth:`step` for each batch.

    Attributes
    ----------
    reference, subject, optimizer
        The network under test, and the network and the optimizer that it is compared with.
    every : int
        After how many steps, whose gradients add up, the optimizer acts.
    frozen : frozenset of str
        The parameters that do not train.
    buffers : dict of str to array
        The reference's running statistics before the next step; those that the subject shows are read from it instead.
    zeros : dict of str to array
        The reference's parameters that the subject does without; they do not train.
    judged : int
        The number of steps that were judged.
    first : Divergence or None
        The first divergence. Later steps are then not judged.
    lost : bool
        Whether rounding may have decided at a kink. Later steps are then not judged, because the state of the subject's optimizer is not known.
    """

    reference: Reference
    subject: WholeNetwork
    optimizer: FollowedOptimizer
    precision: Precision
    every: int = 1
    frozen: frozenset[str] = frozenset()
    buffers: dict[str, Array] = field(default_factory=dict)
    zeros: dict[str, Array] = field(default_factory=dict)
    record: Record = field(default_factory=Record)
    steps: int = 0
    judged: int = 0
    first: Divergence | None = None
    lost: bool = False
    oracle: MakeOracle | None = None
    _alone: Judgement | None = None  # the worst judgement on gradients that are right but clipped by their own norms
    _sums: dict[str, tuple[Array, Bound]] = field(default_factory=dict, repr=False)  # the expected gradients since the last update
    _bounds: dict[str, Bound] = field(default_factory=dict, repr=False)  # those that were measured last
    _noisy: list[dict[str, Array]] = field(default_factory=list, repr=False)  # the same in perturbed runs, at each scale

    def __post_init__(self) -> None:
        self._updates = Updates(self.oracle, self.optimizer, self.precision)

    @property
    def verdict(self) -> Verdict:
        """The verdict on the steps so far."""
        return combine_verdicts([verdict for verdict in Verdict if self.record.count(verdict)])

    @property
    def trained(self) -> list[str]:
        """The names of the parameters that train, from the last to the first, as the backward pass reaches them."""
        return [name for name in reversed(list(self.reference.params)) if name not in self.frozen]

    @np.errstate(all="ignore")  # a training that diverges overflows on both sides; the verdicts say so
    def step(self, batch: Batch) -> None:
        """Let the subject do a step on a batch, and judge it."""
        self.steps += 1
        before, statistics = self.subject.params, {**self.buffers, **self.subject.buffers}
        self._updates.start = self._updates.start or {name: before[name].astype(np.float64) for name in self.trained}
        events: list[Event] = []
        loss = self.subject.train(self.subject.arguments(batch), self.precision.dtype, events)
        if self.first is not None or self.lost:
            self._follow(before, statistics, batch)
            return
        self.judged += 1
        call = self.call(before, statistics, batch)
        context = self._context(call, loss)
        if not context.expected:
            self.record.add([Judgement(Place(self.steps, "loss", OUTPUT), Kind.WHOLE, Verdict.UNDECIDED, reason=context.undecided)])
            return
        self._sums = self._with_gradients(context)
        judged = [*self._forward(context, loss), *self._backward(context, before)]
        if (wrong := [one for one in judged if one.wrong]) and self._by_kinks(context, wrong):
            self.lost = True
            judged = [one.left_out(Verdict.UNDECIDED, KINK) if one.wrong else one for one in judged]
        elif wrong:
            placed, source = self._placed(wrong, judged, events, call)
            self.first = Divergence(placed, None, source)
            self._updates.wrong = len(self._updates.all) if wrong[0].judgement.kind is Kind.UPDATE and not self.steps % self.every else None
        self.record.add(one.judgement for one in judged)
        self.buffers = {name: context.expected[self._outer(name)] for name in self.buffers}

    @np.errstate(all="ignore")
    def predict(self, batch: Batch) -> Judgement:
        """Return the judgement on what the subject predicts for a batch, in evaluation mode: outputs, probabilities or classes."""
        found = self.subject.predict(batch, self.precision.dtype)
        params, statistics = self.subject.params, {**self.buffers, **self.subject.buffers}
        call = replace(self.call(params, statistics, batch).forward, outputs=(OUTPUT, *PREDICTIONS))
        context = context_of(self.reference.evaluation, call, self.precision)
        place = Place(self.steps, self.reference.title, "prediction")
        if not context.expected:
            return Judgement(place, Kind.WHOLE, Verdict.UNDECIDED, reason=context.undecided)
        return judged_prediction(place, found, context, self.precision)

    def _follow(self, before: Arrays, statistics: Arrays, batch: Batch) -> None:
        """Keep a few updates after a wrong one; with them, what is wrong can be told apart."""
        if not self._updates.wanted or self.every > 1:
            return
        shown = self._shown()
        if not set(shown) >= set(self.trained):
            found = self.reference.training.vjp(self.call(before, statistics, batch).astype(np.float64))
            shown = {name: found[f"{self._outer(name)}.grad"] for name in self.trained}
        self._updates.all.append(Update(shown, self._updates.all[-1].clipped, self.subject.params))

    def explain(self) -> None:
        """Look for the cause of a wrong update, or of wrong clipping."""
        if self.first is None:
            return
        first, alone = self.first.judgement, self._alone
        if alone is not None:
            cause: Cause | None = Cause("clipped one by one", CLIPPED_ALONE, first.units, alone.units, alone.fraction)
        else:
            cause = self._updates.cause(first, next((name for name in self.trained if self._place(name)[1:] == first.place[1:]), ""))
        self.first = replace(self.first, cause=cause)

    def call(self, params: Arrays, statistics: Arrays, batch: Batch) -> Call:
        """Return the call of the reference for a batch, in the subject's precision."""
        outer, one = self.reference.outer, np.ones((), self.precision.dtype)
        call = Call({}, outer({**self.zeros, **params}), {OUTPUT: one}, dict(batch), outer(statistics), tuple(batch), (OUTPUT, PREDICTION))
        return call.astype(self.precision.dtype)

    def _outer(self, name: str) -> str:
        return next(iter(self.reference.outer({name: None})))

    def _place(self, name: str, quantity: str = "") -> Place:
        layer, own = key_of(name)
        return Place(self.steps, layer or self.reference.title, own + quantity)

    def _context(self, call: Call, loss: Array | None) -> LayerContext:
        """Return what is expected of a step.

        Bounds are measured in the first, second, fourth, eighth step and so on. In between, the largest of each array in an earlier step serves as
        long as everything agrees within it: parameters change little from step to step, and so does what rounding explains.
        """
        if self._bounds and self.judged & (self.judged - 1) and call.finite():
            wide = call.astype(np.float64)
            try:
                quick = LayerContext(call, wide, self.reference.training.vjp(wide), self._bounds)
            except RefusedError as error:
                return LayerContext(call, wide, undecided=str(error))
            found = [*self._forward(quick, loss), *self._gradients(quick, self._with_gradients(quick)).judged]
            if all(one.judgement.verdict in (Verdict.MATCH, Verdict.SKIPPED) for one in found):
                return quick
        context = context_of(self.reference.training, call, self.precision)
        self._bounds = {name: _largest(bound) for name, bound in context.bounds.items()}
        return context

    def _with_gradients(self, context: LayerContext) -> dict[str, tuple[Array, Bound]]:
        """Return the expected sums of the gradients since the last update, those of this step among them."""
        quantities = {name: f"{self._outer(name)}.grad" for name in self.trained}
        return {name: _added(self._sums.get(name), context.expected[own], context.bounds[own]) for name, own in quantities.items()}

    def _forward(self, context: LayerContext, loss: Array | None) -> Iterator[Judged]:
        """Yield the judgements on the running statistics and the loss."""
        found = {self._outer(name): (self._place(name), value.astype(self.precision.dtype)) for name, value in self.subject.buffers.items()}
        place = Place(self.steps, "loss", OUTPUT)
        if loss is not None:
            found[OUTPUT] = place, loss
        for quantity, (where, value) in found.items():
            judgement, _ = judge_one(where, Kind.WHOLE, quantity, value, context, Traced(), self.precision)
            yield Judged(judgement, quantity, _distance(value, context.expected[quantity]))
        if loss is None:
            yield Judged(Judgement(place, Kind.WHOLE, Verdict.SKIPPED, reason=_NO_LOSS))

    def _backward(self, context: LayerContext, before: Arrays) -> list[Judged]:
        """Return the judgements on the gradients, and on the parameters after the step."""
        shown, after = self._gradients(context, self._sums), self.subject.params
        self._alone = shown.alone
        if self.steps % self.every:
            self._add_noise(context)
            return [*shown.judged, *self._unchanged(before, after, _BETWEEN.format(self.every))]
        if shown.right:
            kept = self._shown()
            grads: Arrays = {name: kept[name].astype(np.float64) for name in self.trained}
        else:
            grads = {name: value for name, (value, _) in self._sums.items()}
            self._add_noise(context)
        updated = self._updated(before, grads, [] if shown.right else self._noisy, not shown.clipped)
        self._updates.all.append(Update(grads, shown.clipped, after))
        updates = [self._update(name, after[name], *updated[name]) for name in self.trained]
        updates += self._unchanged({name: before[name] for name in before if name in self.frozen}, after, _FROZEN)
        self._sums, self._noisy = {}, []
        judged = shown.judged
        if any(one.wrong for one in judged) and all(one.matches for one in updates):
            bounds = {name: bound for name, (_, bound) in updated.items()}
            if self._updates.decide(self._shown(), bounds):
                judged = [one.left_out(Verdict.SKIPPED, _CHANGED) if one.wrong else one for one in judged]
        return [*judged, *updates]

    def _update(self, name: str, found: Array, expected: Array, bound: Bound) -> Judged:
        judgement = judge(self._place(name), Kind.UPDATE, found, expected, bound, self.precision)
        return Judged(judgement, name, _distance(found, expected))

    def _shown(self) -> dict[str, Array]:
        """Return the gradients that the subject shows after a step; none if it has cleared them."""
        shown = self.subject.grads(self.precision.dtype)
        return shown if any(value.any() for value in shown.values()) else {}

    def _gradients(self, context: LayerContext, expected: Expected) -> ShownGradients:
        """Return the judgements on the gradients."""
        shown = self._shown()

        def judged(name: str, value: Array, bound: Bound, own: bool) -> Judged:
            return self._gradient(name, shown.get(name), value, bound, context if own and self.every == 1 else None)

        return judged_gradients(shown, expected, self.optimizer.clipped, judged)

    def _gradient(self, name: str, found: Array | None, expected: Array, bound: Bound, context: LayerContext | None = None) -> Judged:
        """Return the judgement on a gradient; with a context, the reference in the subject's precision is used, too."""
        place = self._place(name, ".grad")
        if found is None:
            return Judged(Judgement(place, Kind.WHOLE, Verdict.SKIPPED, reason=_NO_GRADIENT), name)
        if context is None:
            judgement = judge(place, Kind.WHOLE, found, expected, bound, self.precision)
        else:
            judgement, _ = judge_one(place, Kind.WHOLE, f"{self._outer(name)}.grad", found, context, Traced(), self.precision)
        return Judged(judgement, name, _distance(found, expected))

    def _add_noise(self, context: LayerContext) -> None:
        """Add the perturbed gradients of this step to those since the last update."""
        oracle, lost = cast("NoisyOracle", self.reference.training), self.precision.underflow
        self._noisy = self._noisy or [{} for _ in SCALES]
        for scale, own in zip(SCALES, self._noisy, strict=True):
            runs = oracle.noisy_runs(context.wide, scale, EACH, self.steps, lost * scale)
            own |= {name: own.get(name, 0.0) + runs[f"{self._outer(name)}.grad"][:EACH] for name in self.trained}

    def _updated(self, before: Arrays, grads: Arrays, noisy: list[dict[str, Array]], clip: bool) -> dict[str, tuple[Array, Bound]]:
        """Return the expected parameters after a step of the optimizer, with their bounds."""
        after, runs = self.optimizer.step({name: before[name].astype(np.float64) for name in self.trained}, grads, noisy, clip)
        return {name: (after[name], Bound(terms_of_runs(after[name], [own[name] for own in runs], self.precision), 1.0)) for name in self.trained}

    def _unchanged(self, before: Arrays, after: Arrays, why: str) -> list[Judged]:
        """Return the judgements on parameters that must not change; ``why`` is said of those that do."""
        found = {name: equal(self._place(name), Kind.UPDATE, after[name], value, self.precision) for name, value in before.items()}
        return [Judged(replace(one, reason=one.reason or why) if one.verdict is Verdict.MISMATCH else one, name) for name, one in found.items()]

    def _placed(self, wrong: Sequence[Judged], judged: Sequence[Judged], events: Sequence[Event], call: Call) -> tuple[Judgement, str]:
        """Return the first wrong judgement, at the layer where the step goes wrong if the subject's layers show it, and the line of its code."""
        first = wrong[0].judgement
        if first.kind is Kind.UPDATE:
            right = [one for one in judged if one.judgement.place.quantity.endswith(".grad") and one.judgement.verdict is Verdict.MATCH]
            lossless = any(one.judgement.reason == _NO_LOSS for one in judged)
            unseen = _UPDATE_GRADIENT_OR_LOSS if lossless else _UPDATE_OR_GRADIENT
            usual = _NO_OPTIMIZER if self.oracle is None else _UPDATE if right else unseen
            return replace(first, reason=first.reason or usual), self.subject.source
        forward = not first.place.quantity.endswith(".grad")
        found = parted(events, self.reference.recorded(call.astype(np.float64)), forward, self.precision)
        if found is None:
            return first, self.subject.source
        event, before = found
        agrees = f"; the array before it is that of the reference's {before}" if before else ""
        reason = f"{_IS[event.quantity]} is none that the reference computes{agrees} (layers matched by order and shape)"
        return Judgement(Place(self.steps, event.layer, event.quantity), Kind.WHOLE, Verdict.MISMATCH, event.value.size, reason=reason), event.source

    def _by_kinks(self, context: LayerContext, wrong: list[Judged]) -> bool:
        """Return whether decisions at kinks, which rounding may change, explain everything that is wrong."""
        reach = reach_of_kinks(self.reference.training, context.wide, context.expected, self.precision)

        def explained(one: Judged) -> bool:
            quantity = one.judgement.place.quantity
            own = reach.get(one.name if quantity == OUTPUT else f"{self._outer(one.name)}.grad")
            if own is None or one.error is None or not own.any():
                return False
            return one.judgement.kind is Kind.UPDATE or bool((one.error <= own).all())

        return all(explained(one) for one in wrong)


def _largest(bound: Bound) -> Bound:
    """Return the bound that holds for all elements that have a limit."""
    terms = np.asarray(bound.abs_sum * bound.n_roundings)
    return Bound(float(np.max(terms, where=np.isfinite(terms), initial=0.0)), 1.0)


def _distance(found: Array, expected: Array) -> Array | None:
    return np.abs(found.astype(np.float64) - expected) if found.shape == expected.shape else None


def _added(before: tuple[Array, Bound] | None, value: Array, bound: Bound) -> tuple[Array, Bound]:
    """Return the sum of two arrays with its bound."""
    if before is None:
        return value, bound
    total = before[0] + value
    return total, Bound(before[1].abs_sum * before[1].n_roundings + bound.abs_sum * bound.n_roundings + np.abs(total), 1.0)
