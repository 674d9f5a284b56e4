"""Compare a whole training run of a network whose layers can be seen.

The subject trains with its own code. In each checked step, every link of its trace is judged: each layer, the values that it receives, and each
update. If a link does not hold or is missing, and in the first, second, fourth, eighth checked step and so on, the oracle and the reference do the
whole step from the same weights, too. In the first checked step, and if anything is wrong, the subject's layers are also tested alone, on the
reference's values. In the free run, a second reference, which copied the weights once, trains independently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from crosscheck.causes import Edits
from crosscheck.causes.divergence import Divergence
from crosscheck.causes.variants.explain import EditsOfLayer
from crosscheck.core.check_layer import Failure, check_layer
from crosscheck.core.judge import Judgement, Kind, Verdict, fractions_of
from crosscheck.core.operation import Call, Labels, Oracle
from crosscheck.core.precision import Array
from crosscheck.core.subject import Outcome, Subject
from crosscheck.core.trace import Place, Trace
from crosscheck.core.training import Snapshot, Training, TrainState, merge, split
from crosscheck.oracles.network import LOSS, Architecture
from crosscheck.oracles.step import start_of
from crosscheck.training.comparison import Comparison, ComparisonState, Consequence
from crosscheck.training.diagnosis import StepDiagnosis
from crosscheck.training.free_run import DistanceSample, FreeRun, noise_of
from crosscheck.training.jury import Jury
from crosscheck.training.lockstep import StepReport, check_step
from crosscheck.training.mask_counts import DropoutRateTest
from crosscheck.training.seen_mistakes import SeenStep, SeenSuspects

LINKS = (Kind.LAYER, Kind.WIRE, Kind.UPDATE)


@dataclass(frozen=True)
class BothOutcomes:
    """The outcomes of one step of the subject and of the reference that trains independently."""

    subject: Outcome
    reference: Outcome


@dataclass
class TrainingComparison(Comparison):
    """The comparison of a training run with a subject whose layers can be seen: call :meth:`step` for each batch."""

    subject: Subject
    jury: Jury | None = None  # several references; outside the jury, the subject is compared only with the first of them
    # the first divergence of each (layer, quantity) that is wrong in its own layer or update, in the step or when the layer is tested alone
    divergences: dict[tuple[str, str], Divergence] = field(default_factory=dict)
    reference_fractions: dict[tuple[str, str], float] = field(default_factory=dict)
    masks: dict[str, DropoutRateTest] = field(default_factory=dict)
    _suspects: SeenSuspects = field(default_factory=SeenSuspects, repr=False)

    def __post_init__(self) -> None:
        self._twin: Training = self.make(self.precision.dtype, None, 0)
        self._start = TrainState(self.subject.params, {}, self.subject.buffers)
        self._previous: Trace | None = None
        self._earlier: Trace | None = None
        self._update = self.architecture.update
        self._noise: dict[tuple[str, str], float] = {}
        self.broken: set[tuple[str, str]] = set()
        if self.jury is not None:
            self.jury.begin(self._start)

    @np.errstate(all="ignore")  # a training that diverges overflows on both sides; the verdicts say so
    def step(self, x: Array, labels: Labels, check: bool = True, lr_factor: float = 1.0) -> BothOutcomes:
        """Let the subject and the references do one step on a batch; if ``check``, judge all results. The first step is always traced.

        ``lr_factor`` multiplies the learning rate in this step; the references use this rate, and the subject is expected to use it.
        """
        self.steps += 1
        architecture = self.architecture.at_rate(lr_factor)
        if check or self.free is None:
            trace = self.subject.traced_step(self.steps, x, labels)
            constants = {name: trace.constants(name) for name in self.architecture.names}
            outcome = Outcome(float(trace[LOSS, "output"]), trace[LOSS, "input"], constants)
            to_the_end = not self.steps_checked & (self.steps_checked + 1)  # in the first, second, fourth, eighth checked step and so on
            report = check_step(architecture, dict(self.subject.layers), trace, x, labels, self.precision, self._previous, to_the_end)
            self._earlier, self._previous = self._previous, trace
            self._measure_noise(report)
            if check:
                self.steps_checked += 1
                self._judge(architecture, report, trace, x, labels, lr_factor)
                if self.jury is not None:
                    self.jury.judge(trace, dict(self.subject.layers), x, labels, report, lr_factor)
        else:
            self._earlier, self._previous = None, None
            outcome = self.subject.step(x, labels)
        if self.free is None:
            self.free = self._free_run()
        if self.jury is not None:
            self.jury.step(x, labels, outcome.constants, lr_factor)
        return BothOutcomes(outcome, self.free.step(x, labels, outcome.constants, lr_factor))

    def _free_run(self) -> FreeRun:
        return FreeRun(self.make, self._start, self._noise, self.perturbed, self.looks, self.precision, self.seed)

    def _measure_noise(self, report: StepReport) -> None:
        """Compute, in the first step, the size of the perturbations for the perturbed references."""
        if not self._noise:
            values = (
                (name, quantity, context.expected[quantity], self.precision.error(bound))
                for name, context in report.contexts.items()
                for quantity, bound in context.bounds.items()
            )
            self._noise = noise_of(values, self.architecture.params, self.precision)

    def _judge(self, architecture: Architecture, report: StepReport, trace: Trace, x: Array, labels: Labels, lr_factor: float) -> None:
        report.links.extend(self._masks(trace))
        # While every link holds, testing layers alone on the reference's values shows nothing that the links do not show, and takes as long.
        wrong = any(judgement.verdict is Verdict.MISMATCH for judgement in (*report.links, *report.whole))
        isolated: list[tuple[Judgement, Failure | None, Edits | None]] = []
        if wrong or report.expected:
            values, start = self._of_reference(trace, x, labels, report, lr_factor)
            isolated = list(self._isolated(values, start, labels)) if wrong or self.steps_checked == 1 else []
        self.record.add(report.links)
        self.record.add(judgement for judgement, *_ in isolated)
        self.record.add(report.whole)
        self.count(report.decisions)
        broken = [j for j in report.links if j.verdict is Verdict.MISMATCH] or [j for j, *_ in isolated if j.verdict is Verdict.MISMATCH]
        self.broken.update(j.place.key for j in broken)
        self._consequences(report, trace)
        excess = [j for j in report.whole if j.verdict is Verdict.MISMATCH]
        seen = SeenStep(architecture, trace, x, labels, self.precision, self._suspects.before(trace.step))
        step = StepDiagnosis(architecture, self.subject.layers, self.precision, report, trace, self._earlier, isolated, seen)
        self._confirm(report, step)
        self._suspects.note(seen)
        found = [self._examined_once(judgement, step) for judgement in broken]
        if self.first is None and (broken or excess):
            self.first = found[0] if found else step.divergence(excess[0])

    def _masks(self, trace: Trace) -> Iterator[Judgement]:
        """Yield a judgement for each dropout layer: whether chance explains the masks that it drew so far."""
        for name, p in self.architecture.masked.items():
            if (mask := trace.constants(name).get("mask")) is not None:
                yield self.masks.setdefault(name, DropoutRateTest(p)).judge(Place(trace.step, name, "mask"), mask, self.precision)

    def _of_reference(self, trace: Trace, x: Array, labels: Labels, report: StepReport, lr_factor: float) -> tuple[Trace, TrainState]:
        """Let the reference do the subject's step, and record its distance from the oracle's; return its trace and the state before the step."""
        twin, values, start = self._twin, Trace(self.steps), start_of(self.architecture, trace)
        twin.load(start)
        twin.step(x, labels, values, start.constants, lr_factor)
        self._reference_distance(report, values, twin.params)
        return values, start

    def _isolated(self, values: Trace, start: TrainState, labels: Labels) -> Iterator[tuple[Judgement, Failure | None, Edits | None]]:
        """Yield the judgements on each layer tested alone on the reference's values.

        Each mismatch comes with the data from which it was judged, and with the search for an edit of the reference that explains it.
        """
        for name in self.architecture.wiring:
            oracle, call = self._given(name, values, start, labels)
            check = check_layer(self.subject.layers[name], oracle, call, self.precision, name, self.steps)
            edits = EditsOfLayer(check)
            for one in check.judgements:
                yield (one, check.failure(one), edits) if one.verdict is Verdict.MISMATCH else (one, None, None)

    def _given(self, name: str, values: Trace, start: TrainState, labels: Labels) -> tuple[Oracle, Call]:
        """Return a layer's oracle, and the call that passes the reference's values to the layer."""
        architecture = self.architecture
        if name == LOSS:
            cotangent = np.ones((), self.precision.dtype) if (LOSS, "grad_input") in values else None
            return architecture.loss, Call(values[LOSS, "input"], {}, cotangent, {"labels": labels})
        params = {p: start.params[f"{name}.{p}"] for p in architecture.params[name]}
        buffers = {b: start.buffers[f"{name}.{b}"] for b in architecture.buffers.get(name, ())}
        call = Call(values[name, "input"], params, values.get((name, "grad_output")), start.constants.get(name, {}), buffers)
        return architecture.layers[name], call

    def _reference_distance(self, report: StepReport, values: Trace, params: Mapping[str, Array]) -> None:
        """Record how far parameter gradients and updated parameters of the reference's step are from the oracle's, in fractions of the tolerances.

        Other quantities are left out, because a tie at a kink may change them.
        """
        for (layer, quantity), (expected, bound) in report.expected.items():
            found = params.get(f"{layer}.{quantity}") if (layer, quantity) not in values else values[layer, quantity]
            if found is None or not (quantity.endswith(".grad") or f"{layer}.{quantity}" in params):
                continue
            if report.norms:
                allowed = self.precision.sides * self.precision.unit * report.norms[layer, quantity]
                fraction = float(fractions_of(np.asarray(np.linalg.norm(found - expected)), np.asarray(allowed)))
            else:
                fraction = float(fractions_of(np.abs(found - expected), self.precision.tolerance(bound)).max(initial=0.0))
            key = (layer, quantity)
            self.reference_fractions[key] = max(fraction, self.reference_fractions.get(key, 0.0))

    def _consequences(self, report: StepReport, trace: Trace) -> None:
        """Record the first end-to-end mismatch of each quantity that is wrong only because another quantity is."""
        for judgement in report.whole:
            key = judgement.place.key
            if judgement.verdict is not Verdict.MISMATCH or key in self.consequences or key in self.broken or not self.broken:
                continue
            expected = report.expected[key][0]
            size = float(np.linalg.norm(expected))
            distance = float(np.linalg.norm(trace[key].astype(np.float64) - expected)) if trace[key].shape == expected.shape else np.inf
            self.consequences[key] = Consequence(judgement, distance / size if size else np.inf)

    def _examined_once(self, judgement: Judgement, step: StepDiagnosis) -> Divergence:
        """Return the first divergence of a quantity. Later ones are not examined, because a cause shows best in the first effect of a fault."""
        key = judgement.place.key
        if key not in self.divergences:
            self.divergences[key] = self._suspects.examined(step.divergence(judgement), step.suspects(judgement))
        return self.divergences[key]

    def _confirm(self, report: StepReport, step: StepDiagnosis) -> None:
        """Report the mistakes that explain an earlier step, if they explain this one, too."""
        wrong = {judgement.place.key: judgement for judgement in report.links if judgement.verdict is Verdict.MISMATCH}
        for key in list(self._suspects.open):
            before = self.divergences[key]
            found = [step.divergence(wrong[key]).cause, *step.suspects(wrong[key])] if key in wrong else []
            self.divergences[key] = self._suspects.confirmed(before, found)
            self.first = self.divergences[key] if self.first is before else self.first

    @np.errstate(all="ignore")
    def look(self) -> list[DistanceSample]:
        """Measure the subject's distance from every reference that trains independently; return the distances from the first reference."""
        looks = super().look()
        if self.jury is not None:
            self.jury.look(self.subject.params | self.subject.buffers, looks)
        return looks

    @property
    def verdict(self) -> Verdict:
        """The verdict on the whole run; ``undecided`` if the references do not agree about the subject."""
        own = super().verdict
        if self.jury is None or own is Verdict.SKIPPED:
            return own
        first, *others = (self.jury.verdict_by(juror.name, bool(self.perturbed)) for juror in self.jury.jurors)
        if own is Verdict.MISMATCH:
            return Verdict.UNDECIDED if first is Verdict.MISMATCH and Verdict.MATCH in others else own
        return own if set(others) == {own} else Verdict.UNDECIDED

    @property
    def unexplained(self) -> bool:
        """Whether an end-to-end value is wrong although every layer, every received value and every update is right."""
        return not self.broken and any(series.first is not None for _, series in self.record.of(Kind.WHOLE))

    def worst_fraction(self) -> float:
        """Return the largest error so far as a fraction of its tolerance; end-to-end values do not count."""
        worst = self.record.worst(*LINKS, Kind.ISOLATED)
        return worst.fraction if worst else 0.0

    def snapshot(self) -> tuple[ComparisonState, Snapshot]:
        """Return all that is needed to continue after a step, except the subject's state, which the caller saves."""
        assert self.free is not None
        left = None if self._previous is None else self._previous.left()
        state = ComparisonState(
            steps=self.steps,
            steps_checked=self.steps_checked,
            series=list(self.record.series.items()),
            first=self.first,
            divergences=list(self.divergences.items()),
            consequences=list(self.consequences.items()),
            decisions=list(self.decisions.items()),
            reference_fractions=list(self.reference_fractions.items()),
            broken=sorted(self.broken),
            noise=list(self._noise.items()),
            looks=self.free.history,
            left=None if left is None else list(left),
            masks=list(self.masks.items()),
            tallies=[] if self.jury is None else list(self.jury.tallies.values()),
            jury_looks=[] if self.jury is None else list(self.jury.looks.items()),
            conventions=[] if self.jury is None else list(self.jury.conventions.items()),
        )
        kept = {} if left is None else {str(number): value for number, value in enumerate(left.values())}
        jury = Snapshot({}, {}) if self.jury is None else self.jury.snapshot()
        return state, merge({"left": Snapshot(kept, {}), "free": self.free.snapshot(), "jury": jury})

    def restore(self, state: ComparisonState, snapshot: Snapshot) -> None:
        """Restore a snapshot; this comparison must have been made with the same arguments and must not have started."""
        parts = split(snapshot)
        self.steps, self.steps_checked, self.first = state.steps, state.steps_checked, state.first
        self.record.series.update(state.series)
        self.divergences.update(state.divergences)
        self.consequences.update(state.consequences)
        self.decisions.update(state.decisions)
        self.reference_fractions.update(state.reference_fractions)
        self.masks.update(state.masks)
        self.broken.update(state.broken)
        self._noise.update(state.noise)
        self.free = self._free_run()
        self.free.history.extend(state.looks)
        self.free.restore(parts["free"])
        if self.jury is not None:
            self.jury.tallies.update({(tally.judge, tally.side): tally for tally in state.tallies})
            self.jury.looks.update(state.jury_looks)
            self.jury.conventions.update(state.conventions)
            self.jury.restore(parts["jury"])
        if state.left is not None:
            self._previous = Trace(state.steps)
            for number, (layer, quantity) in enumerate(state.left):
                self._previous.record(layer, quantity, parts["left"].arrays[str(number)])
