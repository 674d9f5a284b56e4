"""Judge a whole training step, link by link along the subject's trace.

A link is a layer, the value that a layer receives, or an update. Each layer is judged on the inputs and upstream gradients that it actually received.
Each layer must receive exactly the values that its sources returned. Each update must use the gradients and the state in the trace. If every link
holds, the step is right, even in a deep network. The first link that does not hold is the first divergence.

In addition, the oracle computes the same step on its own, with the subject's decisions at kinks, and the end-to-end values are compared.
Their tolerance is the sum of the errors that right layers may make on the way. A larger error without a broken link arises between the layers, and is
always a mismatch. If no link is missing and every link holds, the end-to-end values follow from the links, and need not be compared in each step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from crosscheck.core.check_layer import LayerContext, backward_quantities, context_of, forward_quantities, judge_one
from crosscheck.core.judge import Judgement, Kind, Verdict, equal, judge, judge_norm
from crosscheck.core.operation import Call, Labels, Oracle
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.subject import SubjectLayer
from crosscheck.core.trace import Place, Trace
from crosscheck.oracles.chain import joint, sum_wires
from crosscheck.oracles.network import INPUT, LOSS, Architecture
from crosscheck.oracles.optimizers import UpdatedParameter, Updating, judge_updates
from crosscheck.oracles.step import oracle_step, start_of
from crosscheck.training.kinks import Decision, differing

Layers = dict[str, SubjectLayer]


@dataclass
class StepReport:
    """All judgements about one step."""

    step: int
    links: list[Judgement] = field(default_factory=list)  # the judgements on layers, their inputs and updates, in execution order
    whole: list[Judgement] = field(default_factory=list)  # the judgements on the end-to-end values, in execution order
    contexts: dict[str, LayerContext] = field(default_factory=dict)  # the expected values of each layer by name, and of the loss under ``"loss"``
    decisions: list[Decision] = field(default_factory=list)  # the decisions at kinks that the oracle alone would have taken differently
    # the oracle's end-to-end value of each quantity, with its bound
    expected: dict[tuple[str, str], tuple[Array, Bound]] = field(default_factory=dict)
    norms: dict[tuple[str, str], float] = field(default_factory=dict)  # in a deep network, the largest error norm that rounding explains


def check_step(
    architecture: Architecture,
    subject: Layers,
    trace: Trace,
    x: Array,
    labels: Labels,
    precision: Precision,
    previous: Trace | None = None,
    to_the_end: bool = True,
) -> StepReport:
    """Judge one training step of the subject.

    Parameters
    ----------
    subject : dict of str to SubjectLayer
        The layers by name, and the loss under ``"loss"``. They are not called, but say which quantities they do not show and how others were read.
    trace : Trace
        The trace of the subject's step.
    x, labels : array
        The batch, in the subject's precision.
    previous : Trace, optional
        The trace of the previous step, if there is one; this step must start from the state in which the previous step ended.
    to_the_end : bool
        Whether to judge the end-to-end values, too. They are always judged if a link does not hold or is missing.
    """
    report = StepReport(trace.step)
    report.links.extend(_Links(architecture, subject, trace, x, labels, precision, report).all(previous))
    proved = all(judgement.verdict is Verdict.MATCH for judgement in report.links)
    if (to_the_end or not proved) and _in_a_row(architecture, x, report):
        _whole(architecture, trace, x, labels, precision, report)
    return report


def check_links(architecture: Architecture, subject: Layers, trace: Trace, x: Array, labels: Labels, precision: Precision) -> StepReport:
    """Judge each layer, the values that it received and each update in one training step, but not the end-to-end values."""
    report = StepReport(trace.step)
    report.links.extend(_Links(architecture, subject, trace, x, labels, precision, report).all(None))
    return report


@dataclass
class _Links:
    """Judges the links of one step in execution order."""

    architecture: Architecture
    subject: Layers
    trace: Trace
    x: Array
    labels: Labels
    precision: Precision
    report: StepReport

    def all(self, previous: Trace | None) -> Iterator[Judgement]:
        """Yield the judgements on the state at the start, on all layers, on the values that they received, and on all updates."""
        yield from self.start(previous)
        yield from self.forward()
        yield from self.backward()
        yield from self.updates()

    def start(self, previous: Trace | None) -> Iterator[Judgement]:
        """Yield the judgements on whether parameters and state are the same as at the end of the previous step."""
        if previous is None:
            return
        for layer, quantity in previous.left():
            if "." in quantity and (layer, f"{quantity}.before") not in self.trace:
                place = Place(self.trace.step, layer, f"{quantity}.before")
                yield Judgement(place, Kind.WIRE, Verdict.MISMATCH, reason="it existed after the previous step, but this step starts without it")
        for (layer, quantity), value in self.trace.items():
            if quantity.endswith(".before"):
                left = previous.get((layer, quantity.removesuffix(".before")))
                if left is not None:
                    yield equal(Place(self.trace.step, layer, quantity), Kind.WIRE, value, left, self.precision)

    def forward(self) -> Iterator[Judgement]:
        """Yield the judgements on each layer's input, output and buffers, from the first layer to the loss."""
        for name, sources in self.architecture.wiring.items():
            sent = [self.x if source == INPUT else self.trace.get((source, "output")) for source in sources]
            yield self._wire(name, "input", sent)
            yield from self._judge_layer(name)

    def _judge_layer(self, name: str) -> Iterator[Judgement]:
        """Compute a layer's expected values for both passes, and yield the judgements on the forward pass."""
        trace = self.trace
        if (name, "input") not in trace:
            yield Judgement(Place(trace.step, name, "output"), Kind.LAYER, Verdict.MISMATCH, reason="this layer was never run")
            return
        oracle, call = call_of(self.architecture, trace, name, self.labels, self.precision)
        self.report.contexts[name] = context_of(oracle, call, self.precision)
        for quantity in forward_quantities(call):
            yield self._judge(name, quantity)

    def _judge(self, name: str, quantity: str) -> Judgement:
        context, place = self.report.contexts[name], Place(self.trace.step, name, quantity)
        return judge_one(place, Kind.LAYER, quantity, self.trace.get((name, quantity)), context, self.subject[name], self.precision)[0]

    def _wire(self, name: str, quantity: str, sent: Sequence[Array | None]) -> Judgement:
        """Judge whether a layer received the array that its source returned or, if there are several sources, the sum of their arrays."""
        place, received = Place(self.trace.step, name, quantity), self.trace.get((name, quantity))
        arrived = [part for part in sent if part is not None]
        if received is None or not arrived or len(arrived) < len(sent):
            reason = "the layer received nothing" if received is None else "the layers that it is connected to returned nothing"
            return Judgement(place, Kind.WIRE, Verdict.MISMATCH, reason=reason)
        if len(arrived) == 1:
            return equal(place, Kind.WIRE, received, arrived[0], self.precision)
        if shapes := {part.shape for part in arrived} - {received.shape}:
            reason = f"the layer received the shape {received.shape}; a layer that it is connected to returned {min(shapes)}"
            return Judgement(place, Kind.WIRE, Verdict.MISMATCH, reason=reason)
        wide = [part.astype(np.float64) for part in arrived]
        return judge(place, Kind.WIRE, received, sum_wires(wide), joint(wide), self.precision)

    def backward(self) -> Iterator[Judgement]:
        """Yield the judgements on the loss's gradient, and then, from last layer to first, on the upstream, input and parameter gradients."""
        names = self.architecture.names[self.architecture.first_trained :]
        if not names or LOSS not in self.report.contexts:
            return
        yield self._judge(LOSS, "grad_input")
        for name in reversed(names):
            if name not in self.report.contexts:
                return
            yield self._wire(name, "grad_output", [self.trace.get((other, "grad_input")) for other in self.architecture.consumers[name]])
            if (name, "grad_output") not in self.trace:
                return
            for quantity in backward_quantities(self.report.contexts[name].call):
                yield self._judge(name, quantity)

    def updates(self) -> Iterator[Judgement]:
        """Yield the judgements on each updated parameter and its optimizer state, computed from the gradients and the state in the trace."""
        keys = [(name, parameter) for name in self.architecture.names for parameter in self.architecture.params[name]]
        updatings = {key: updating for key in keys if (updating := self._updating(*key)) is not None}
        judged = dict(zip(updatings, judge_updates(self.architecture.update, list(updatings.values()), self.precision), strict=True))
        for key in keys:
            name, parameter = key
            place, after = Place(self.trace.step, *key), self.trace[key]
            if name in self.architecture.frozen:
                yield equal(place, Kind.UPDATE, after, self.trace[name, f"{parameter}.before"], self.precision)
            elif key not in judged:
                yield Judgement(place, Kind.UPDATE, Verdict.MISMATCH, reason="there is no gradient to update it with")
            else:
                yield from judged[key]

    def _updating(self, name: str, parameter: str) -> Updating | None:
        """Return the data to judge the update of a parameter; None if the parameter is frozen or has no gradient."""
        trace, grad = self.trace, self.trace.get((name, f"{parameter}.grad"))
        if name in self.architecture.frozen or grad is None or name not in self.report.contexts:
            return None
        states = trace.state(name, parameter, before=True), trace.state(name, parameter)
        updated = UpdatedParameter(trace[name, f"{parameter}.before"], grad, trace[name, parameter], *states)
        reading = self.subject[name].reading(f"{parameter}.grad", self.report.contexts[name].call, grad)
        return Updating(updated, Place(trace.step, name, parameter), reading)


def call_of(architecture: Architecture, trace: Trace, name: str, labels: Labels, precision: Precision) -> tuple[Oracle, Call]:
    """Return a layer's oracle, and the call that the layer received in a step."""
    if name == LOSS:
        return architecture.loss, Call(trace[name, "input"], {}, np.ones((), precision.dtype), {"labels": labels})
    params, buffers = trace.before(name, architecture.params[name]), trace.before(name, architecture.buffers.get(name, ()))
    return architecture.layers[name], Call(trace[name, "input"], params, trace.get((name, "grad_output")), trace.constants(name), buffers)


def _whole(architecture: Architecture, trace: Trace, x: Array, labels: Labels, precision: Precision, report: StepReport) -> None:
    """Let the oracle do the step from the same weights with the subject's decisions at kinks, and judge the end-to-end values by it."""
    decisions = {name: architecture.layers[name].decisions(report.contexts[name].call.x.astype(np.float64)) for name in architecture.names}
    own = [{q: precision.error(b) for q, b in report.contexts[name].bounds.items()} for name in architecture.wiring]
    imposed = {name: value for name, value in decisions.items() if value is not None}
    step = oracle_step(architecture, start_of(architecture, trace), x, labels, precision, imposed, own)
    report.decisions.extend(differing(step, precision))
    report.expected.update(step.expected)
    report.norms.update(step.norms)
    for (layer, quantity), (expected, bound) in step.expected.items():
        found = trace.get((layer, quantity))
        if found is None:
            continue
        place = Place(trace.step, layer, quantity)
        if step.norms:
            report.whole.append(judge_norm(place, Kind.WHOLE, found, expected, step.norms[layer, quantity], precision))
        else:
            report.whole.append(judge(place, Kind.WHOLE, found, expected, bound, precision))


def _in_a_row(architecture: Architecture, x: Array, report: StepReport) -> bool:
    """Return whether every quantity of every layer could be judged, and every layer received the shape that its sources should return."""
    shapes = {INPUT: x.shape}
    for name, sources in architecture.wiring.items():
        context = report.contexts.get(name)
        if context is None or not context.judged_whole or {shapes[source] for source in sources} != {context.call.x.shape}:
            return False
        shapes[name] = context.expected["output"].shape
    return True
