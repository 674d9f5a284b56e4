"""A prepared pair of whole networks beside a reference of any architecture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from crosscheck.adapters.whole_network import WholeNetwork
from crosscheck.core.arguments import Case
from crosscheck.core.operation import DTYPES, OUTPUT, Call, RefusedError
from crosscheck.core.precision import Array
from crosscheck.oracles.whole import PREDICTION, LossError
from crosscheck.pairs.declaration import Ready
from crosscheck.pairs.model_pair import ModelPair
from crosscheck.pairs.trained_subject import Batch, FirstStep, TrainedSubject, batch_of, case_of, first_dtype, takes_dtype, trained_subject
from crosscheck.references.resolve import WholeReference, resolved_whole


@dataclass(frozen=True)
class PreparedWhole(Ready):
    """A prepared pair of whole networks."""

    pair: ModelPair
    reference: WholeReference
    case: Case
    elements: int
    subject: TrainedSubject | None = None
    inferred: list[str] = field(default_factory=list)
    dtypes: Sequence[str] = DTYPES  # the precisions that the subject computes in
    # the runs that were made so far, by precision and seed; several checks use the same run
    runs: dict[tuple[str, int], Any] = field(default_factory=dict, repr=False)

    @property
    def reference_names(self) -> list[str]:
        """The reference's name in reports."""
        return [self.reference.name]

    @property
    def frozen(self) -> frozenset[str]:
        """The names of the parameters that do not train."""
        return frozenset(name for name in self.reference.network.params if any(name == one or name.startswith(f"{one}.") for one in self.pair.frozen))

    @property
    def zeros(self) -> dict[str, Array]:
        """The parameters of the reference that the subject does without."""
        known = set() if self.subject is None else {parameter.name for parameter in self.subject.params.values()}
        return {name: np.zeros(value.shape) for name, value in self.reference.network.params.items() if known and name not in known}

    def start(self, dtype: str, seed: int) -> dict[str, Array]:
        """Return random initial parameters by the reference's names.

        Matrices are scaled so that signals keep their size. Around a constant that the reference starts with, such as a gain of 1, numbers vary.
        """
        rng, values, zeros = self.rng(seed, "parameters"), {}, self.zeros
        for name, own in self.reference.network.params.items():
            drawn = rng.standard_normal(own.shape)
            constant = own.flat[0] if own.size and (own == own.flat[0]).all() else 0.0
            moved = constant + drawn / 4 if own.ndim < 2 else drawn / np.sqrt(np.prod(own.shape[1:]))
            values[name] = np.asarray(zeros.get(name, moved), dtype)
        return values

    def fresh(self, dtype: str, seed: int) -> WholeNetwork:
        """Return a new network of the subject with the initial parameters; raise :class:`SubjectError` if it cannot be made or does not keep them."""
        assert self.subject is not None
        return self.subject.made(dtype, self.start(dtype, seed))

    def batches(self, dtype: str, seed: int, count: int) -> list[Batch]:
        """Return the batches of a run; they depend only on the pair's name and the seed."""
        rng = self.rng(seed, "batches")
        return [batch_of(self.pair, self.case, rng, dtype) for _ in range(count)]

    def first_step(self, params: Mapping[str, Array], batch: Batch, updates: bool = False) -> FirstStep:
        """Return what the reference's first step does, with its updates if asked for; raise ``PairError`` if its loss is not a single number."""
        network = self.reference.network
        one, buffers = {OUTPUT: np.ones(())}, network.outer(network.buffers)
        call = Call({}, network.outer(params), one, batch, buffers, tuple(batch), (OUTPUT, PREDICTION)).astype(np.float64)
        try:
            found = network.training.vjp(call)
            return FirstStep(float(found[OUTPUT].reshape(())), self._first_changes(params, found) if updates else {})
        except RefusedError as error:
            of_loss = isinstance(error.__cause__, LossError)
            raise self.pair.error(error.__cause__ if of_loss else f"{error}; the arrays of a batch have to fit the reference") from error

    def _first_changes(self, params: Mapping[str, Array], found: Mapping[str, Array]) -> dict[str, Array]:
        """Return how much the optimizer changes the parameters in its first step, given the gradients."""
        if self.reference.oracle is None or self.pair.accumulate > 1:
            return {}
        start = {name: value.astype(np.float64) for name, value in params.items() if name not in self.frozen}
        grads = {name: found[f"{next(iter(self.reference.network.outer({name: None})))}.grad"] for name in start}
        after = self.reference.oracle(0).run(start, [self.reference.optimizer(start, 0.0).clipped(grads)])[-1].params
        return {name: after[name] - value for name, value in start.items()}

    def try_optimizer(self) -> None:
        """Do a step of the optimizer; raise ``PairError`` if optimizer, schedule or clipping cannot be used."""
        start = {name: value.astype(np.float64) for name, value in self.start("float64", 0).items() if name not in self.frozen}
        try:
            self.reference.optimizer(start, 0.0).step(start, {name: np.ones(value.shape) for name, value in start.items()}, [])
        except RefusedError as error:
            raise self.pair.error(error) from error


def prepare_whole(pair: ModelPair) -> PreparedWhole:
    """Return a prepared pair. If it does not fit, is ambiguous or makes no network, raise the errors of :func:`crosscheck.pairs.prepare.prepare`."""
    optimizer = pair.optimizer if pair.lr is None else pair.settings
    reference = resolved_whole(pair.reference, pair.loss, optimizer, pair.schedule, pair.clip)
    case, network = case_of(pair), reference.network
    if not network.params:
        raise pair.error("the reference has no parameters, so that nothing trains; a function is compared by Pair(subject, reference, shapes)")
    if unknown := [one for one in pair.frozen if not any(name == one or name.startswith(f"{one}.") for name in network.params)]:
        raise pair.error(f"frozen has {unknown[0]!r}, expected layers or parameters of the reference: {', '.join(network.params)}")
    elements = pair.steps * len(DTYPES) * (3 * sum(value.size for value in network.params.values()) + math.prod(case.shape))
    draft, dtype = PreparedWhole(pair, reference, case, elements), first_dtype(pair)
    batch = batch_of(pair, case, np.random.default_rng(0), dtype)
    draft.try_optimizer()
    draft.first_step(draft.start("float64", 0), batch)

    def first_step(subject: TrainedSubject) -> tuple[FirstStep, FirstStep]:
        start = replace(draft, subject=subject).start(dtype, 0)
        found = subject.first_step(dtype, start, batch)
        return found, draft.first_step(start, batch, updates=found.loss is None)

    shapes, statistics = ({name: value.shape for name, value in arrays.items()} for arrays in (network.params, network.buffers))
    subject, words = trained_subject(pair, case, shapes, statistics, batch, first_step)
    ready = replace(draft, subject=subject)
    dtypes = [own for own in pair.dtypes if takes_dtype(pair) or own == dtype or subject.keeps(own, ready.start(own, 0), ready.batches(own, 0, 1)[0])]
    return replace(ready, inferred=[*words, *_other_starts(ready)], dtypes=dtypes)


def _other_starts(ready: PreparedWhole) -> list[str]:
    """Return a sentence for each running statistic that does not start as the reference's does; steps are compared from the subject's values."""
    own, theirs = ready.fresh(first_dtype(ready.pair), 0).buffers, ready.reference.network.buffers
    return [
        f"{name} starts at {value.flat[0]:g}, the reference's at {theirs[name].flat[0]:g}; each step is compared from your values"
        for name, value in own.items()
        if value.size and not np.array_equal(value, theirs[name])
    ]
