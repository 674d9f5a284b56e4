"""Known mistakes in a training step whose layers can be seen: wrong connections, labels, and values that are kept from an earlier step.

They are found in the first step in which a quantity is wrong, and reported once they explain another step, too, that took no part in the search.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import permutations

import numpy as np

from crosscheck.causes import Cause
from crosscheck.causes.candidate import Candidate, in_words, recomputed
from crosscheck.causes.divergence import Divergence
from crosscheck.causes.evidence import Evidence
from crosscheck.causes.step_updates import OtherParameters
from crosscheck.causes.wiring import ORDERS, Wrong, among, rearranged, same
from crosscheck.core.check_layer import Failure
from crosscheck.core.judge import Judgement
from crosscheck.core.operation import Labels
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Trace
from crosscheck.oracles.network import INPUT, LOSS, Architecture
from crosscheck.oracles.optimizers import PARAM, Update

Key = tuple[str, str]

FEW_SAMPLES = 5
"""Batches of at most this many samples are tried with their labels in every order."""


@dataclass(frozen=True)
class EarlierStep:
    """An earlier step.

    ``received`` are the arrays that the layers received in it, ``sent`` those that they should have received, and ``labels`` those of its batch.
    """

    number: int
    received: Mapping[Key, Array]
    sent: Mapping[Key, Array]
    labels: Labels


@dataclass(frozen=True)
class SeenStep:
    """A step of the subject, with the first step and the previous one by these words, if they were traced."""

    architecture: Architecture
    trace: Trace
    x: Array
    labels: Labels
    precision: Precision
    earlier: Mapping[str, EarlierStep]

    def sent(self, layer: str, quantity: str) -> dict[str, Array]:
        """Return the arrays that a layer should receive, or whose sum it should receive, by the layer that they are from."""
        if quantity == "input":
            return {one: self.x if one == INPUT else self.trace[one, "output"] for one in self.architecture.wiring[layer]}
        return {one: self.trace[one, "grad_input"] for one in self.architecture.consumers[layer]}


@dataclass
class SeenSuspects:
    """The mistakes that explain the first wrong step of a quantity, until the next wrong step of the same quantity decides."""

    open: dict[Key, list[Cause]] = field(default_factory=dict)
    earlier: dict[str, EarlierStep] = field(default_factory=dict)

    def before(self, number: int) -> dict[str, EarlierStep]:
        """Return the earlier steps that are known in a step."""
        return {which: one for which, one in self.earlier.items() if which == "first" or one.number == number - 1}

    def note(self, step: SeenStep) -> None:
        """Keep what the layers received in a step, and what they should have received, for the next steps."""
        received = {key: value for key, value in step.trace.items() if key[1] in ("input", "grad_output")}
        sent = {}
        for layer, quantity in received:
            with suppress(LookupError):
                parts = list(step.sent(layer, quantity).values())
                sent.update({(layer, quantity): parts[0]} if len(parts) == 1 else {})
        self.earlier["previous"] = EarlierStep(step.trace.step, received, sent, step.labels.copy())
        self.earlier.setdefault("first", self.earlier["previous"])

    def examined(self, divergence: Divergence, suspected: Sequence[Cause]) -> Divergence:
        """Return a mismatch; if its cause has rivals, or if it has none but mistakes that another step has to confirm, without a cause for now."""
        if not suspected or (divergence.cause is not None and divergence.cause.confirmed):
            return divergence
        self.open[divergence.judgement.place.key] = [one for one in (divergence.cause, *suspected) if one is not None]
        return replace(divergence, cause=None)

    def confirmed(self, divergence: Divergence, found: Sequence[Cause | None]) -> Divergence:
        """Return a mismatch with the first of its suspected mistakes that is among those ``found`` in another step; with no cause if none is."""
        explains = {(one.name, one.words) for one in found if one is not None}
        suspected = self.open.pop(divergence.judgement.place.key)
        cause = next((replace(one, confirmed=True) for one in suspected if (one.name, one.words) in explains), None)
        return divergence if cause is None else replace(divergence, cause=cause, why_not="")


def wrong_connections(judgement: Judgement, step: SeenStep) -> Iterator[Cause]:
    """Yield the mistakes that explain why a layer received another array than it should, or none."""
    layer, quantity = judgement.place.key
    try:
        sent = step.sent(layer, quantity)
    except LookupError:
        return
    for name, words in _connections(layer, quantity, sent, step):
        yield Cause(name, words, judgement.units, 0.0, 0.0)


def _connections(layer: str, quantity: str, sent: Mapping[str, Array], step: SeenStep) -> Iterator[Wrong]:
    forward = quantity == "input"
    if (received := step.trace.get((layer, quantity))) is None:
        yield from _left_out(layer, forward, sent, step)
        return
    yield from _of_earlier_steps(layer, quantity, received, step)
    ending = "output" if forward else "grad_input"
    others = {one: value for (one, other), value in step.trace.items() if other == ending and one not in sent}
    if forward and INPUT not in sent:
        others[INPUT] = step.x
    right = " and ".join(dict.fromkeys(_named(one, forward) for one in sent))
    equal = [_named(other, forward) for other in among(received, others)]
    for other in ([" or ".join(equal)] if len(equal) > 1 else []) + equal:
        fix = "connect the layers in the declared order" if forward else "pass gradients back in the reverse order of the layers"
        yield "another layer", f"{layer} receives {other}, where {right} is right: {fix}"
    if len(sent) == 1:
        for name, words in rearranged(received, *sent.values()):
            yield name, f"{layer} receives {right}, but {words}: pass it on unchanged"
    else:
        for part in among(received, sent):
            yield "not added up", f"{layer} receives {_named(part, forward)} alone: it has to receive the sum of {right}"


def _of_earlier_steps(layer: str, quantity: str, received: Array, step: SeenStep) -> Iterator[Wrong]:
    """Yield that a layer received what it should have received in an earlier step."""
    batch, what = step.architecture.wiring[layer] == (INPUT,), "input" if quantity == "input" else "gradient"
    for which, one in step.earlier.items():
        if (layer, quantity) in one.sent and same(received, one.sent[layer, quantity]):
            if batch and quantity == "input":
                yield "earlier batch", f"{layer} receives the batch of the {which} step: pass on the batch of each step"
            else:
                yield f"earlier {what}", f"{layer} receives its {what} of the {which} step: pass on that of each step"


def _left_out(layer: str, forward: bool, sent: Mapping[str, Array], step: SeenStep) -> Iterator[Wrong]:
    """Yield that a layer is left out, if the next one received what this layer should have received."""
    architecture, quantity = step.architecture, "input" if forward else "grad_output"
    following = architecture.consumers[layer] if forward else architecture.wiring[layer]
    for other in following if len(sent) == 1 else ():
        received = step.trace.get((other, quantity))
        if received is not None and same(received, *sent.values()):
            way, what = ("forward", "input") if forward else ("backward", "gradient")
            came = _named(next(iter(sent)), forward)
            yield f"left out {way}", f"{layer} is left out of the {way} pass: {other} receives {came}. Pass this {what} through {layer} first"


def _named(layer: str, forward: bool) -> str:
    if layer == INPUT:
        return "the batch"
    return f"the output of {layer}" if forward else f"the gradient that {layer} returns"


def wrong_values(failure: Failure, step: SeenStep) -> Iterator[Cause]:
    """Yield the mistakes that explain the wrong result of a layer or the loss on the values that it received."""
    evidence, model = Evidence(failure), partial(_candidates, step)
    for candidate in evidence.candidates(model):
        if (found := evidence.explained(candidate, model)) is not None:
            yield found.cause


def _candidates(step: SeenStep, failure: Failure) -> Iterator[Candidate]:
    layer, call = failure.judgement.place.layer, failure.call
    if layer == LOSS:
        yield from _with_other_labels(failure, step)
        return
    if failure.quantity == "grad_input" or failure.quantity.endswith(".grad"):
        for which, one in step.earlier.items():
            kept = one.received.get((layer, "input"))
            if kept is not None and kept.shape == call.x.shape:
                words = (
                    f"{in_words(failure.quantity)} is computed from the input of the {which} step, which {layer} kept: keep that of each forward pass"
                )
                yield recomputed(failure, "earlier input", words, replace(call, inputs=dict.fromkeys(call.inputs, kept.astype(np.float64))))
    elif failure.quantity == "output":
        yield from _with_other_parameters(failure, step)


def _with_other_labels(failure: Failure, step: SeenStep) -> Iterator[Candidate]:
    for name, words, labels in _labels(step):
        if labels.shape == step.labels.shape and not np.array_equal(labels, step.labels):
            yield recomputed(failure, name, words, replace(failure.call, constants={**failure.call.constants, "labels": labels}))


def _labels(step: SeenStep) -> Iterator[tuple[str, str, Labels]]:
    for which, one in step.earlier.items():
        yield "earlier labels", f"the labels are those of the {which} step: use the labels of each step", one.labels
    right, name = step.labels, "labels in another order"
    for words, reordered in ORDERS.items():
        yield name, words, reordered(right)
    for order in permutations(range(len(right))) if len(right) <= FEW_SAMPLES else ():
        yield name, "the labels are in another order than the samples: each label has to stay with its sample", right[list(order)]


def _with_other_parameters(failure: Failure, step: SeenStep) -> Iterator[Candidate]:
    """Yield the output with the parameters from which the update started, if these follow from the updated ones."""
    layer, settings, precision = failure.judgement.place.layer, step.architecture.update.settings, step.precision
    if layer in step.architecture.frozen or settings.weight_decay or not failure.call.params:
        return
    params, excess = {}, 1.0
    for name in failure.call.params:
        after, grad = (step.trace[layer, quantity].astype(np.float64) for quantity in (name, f"{name}.grad"))
        state = {kept: value.astype(np.float64) for kept, value in step.trace.state(layer, name, before=True).items()}
        moved, bound = Update(settings).bounded(np.zeros_like(after), grad, state, precision)[PARAM]
        params[name] = after - moved
        # The rounding errors of the update, in multiples of those of a number as large as the parameter.
        excess = max(excess, float(np.max((np.abs(after) + precision.error(bound)) / np.abs(params[name]), initial=0.0)))
    candidate = recomputed(failure, "parameters replaced", _replaced_words(layer), replace(failure.call, params=params))

    def wide() -> Bound:
        own = candidate.limits(failure)
        return Bound(own.abs_sum * excess, own.n_roundings + 2)

    yield replace(candidate, bound=wide)


def _replaced_words(layer: str) -> str:
    return f"the parameters of {layer} are replaced between the start of the step and the forward pass: use those that the previous step left"


def other_parameters(layer: str, parameter: str, step: SeenStep) -> OtherParameters:
    """Return what a wrong update may have taken from other parameters: norms of several gradients together, and states of the same shape."""
    architecture, trace = step.architecture, step.trace
    trained = [(name, own) for name in architecture.names if name not in architecture.frozen for own in architecture.params[name]]
    squares = {key: float(np.square(grad.astype(np.float64)).sum()) for key in trained if (grad := trace.get((key[0], f"{key[1]}.grad"))) is not None}
    norms = {"each layer": sum(value for (name, _), value in squares.items() if name == layer), "the whole network": sum(squares.values())}
    shape = trace[layer, parameter].shape
    others = [(name, own) for name, own in trained if (name, own) != (layer, parameter) and trace[name, own].shape == shape]
    states = {f"{name}.{own}": (trace.state(name, own, before=True), trace.state(name, own)) for name, own in others}
    return OtherParameters({of: float(np.sqrt(total)) for of, total in norms.items()}, states)
