"""A prepared pair of models: its reference, layouts and sizes, and its initial parameters and batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosscheck.adapters.convention import ConventionError
from crosscheck.adapters.layout import LayerLayout, Layout, LayoutError
from crosscheck.adapters.network import Network
from crosscheck.adapters.network_listened import TracedNetwork
from crosscheck.adapters.whole_network import WholeNetwork
from crosscheck.core.guard import SubjectError
from crosscheck.core.operation import Arrays, Call
from crosscheck.core.precision import Array
from crosscheck.core.training import TrainState
from crosscheck.oracles.step import elements_per_step
from crosscheck.pairs.declaration import Ready
from crosscheck.pairs.model_pair import ModelPair
from crosscheck.pairs.trained_subject import (
    Batch,
    FirstStep,
    TrainedSubject,
    batch_of,
    case_of,
    first_dtype,
    load_kept,
    made,
    takes_dtype,
    trained_subject,
)
from crosscheck.references.resolve import TrainingReference, resolved_training

Trained = TracedNetwork | WholeNetwork


@dataclass(frozen=True)
class PreparedModel(Ready):
    """A prepared pair of models."""

    pair: ModelPair
    reference: TrainingReference
    subject: dict[str, LayerLayout] | TrainedSubject  # the layouts of the layers, if the subject shows them
    inferred: list[str]
    elements: int
    dtypes: Sequence[str]  # the precisions in which the subject can be created; only one if the factory takes no argument
    # the runs that were made so far, by precision and seed; several checks use the same run
    runs: dict[tuple[str, int], Any] = field(default_factory=dict, repr=False)

    @property
    def reference_names(self) -> list[str]:
        """The reference's name in reports."""
        return [self.reference.name]

    def start(self, dtype: str, seed: int) -> dict[str, Array]:
        """Return random initial parameters, named ``layer.parameter``.

        They are scaled so that signals keep their size from layer to layer. Biases are random, too, because zeros would hide faults.
        """
        rng = self.rng(seed, "parameters")
        shapes = {f"{layer}.{name}": shape for layer, params in self.reference.shapes.items() for name, shape in params.items()}
        return {name: (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(dtype) for name, shape in shapes.items()}

    def fresh(self, dtype: str, seed: int) -> Trained:
        """Return a new network of the subject with the initial parameters.

        Raises
        ------
        SubjectError
            If the factory raises, or the network has another precision or does not keep the parameters.
        """
        start = self.start(dtype, seed)
        if isinstance(self.subject, TrainedSubject):
            return self.subject.made(dtype, start)
        try:
            declared = made(self.pair, dtype)
            if not isinstance(declared, Network):
                raise ConventionError(f"it is a {type(declared).__name__}, the first was a Network")
            network = _bound(self.pair, declared, self.subject)
        except ConventionError as error:
            raise SubjectError(f"a second network from the same factory differs from the first: {error}") from error
        for name, value in network.params.items():
            if value.dtype != start[name].dtype or value.shape != start[name].shape:
                raise SubjectError(f"for {dtype} the network's {name} is {value.dtype} {value.shape}, expected {dtype} {start[name].shape}")
        load_kept(network, start)
        return network

    def batches(self, dtype: str, seed: int, count: int) -> list[Batch]:
        """Return the batches of a run; they depend only on the pair's name and the seed.

        Raises
        ------
        PairError
            If the pair's own batches do not fit its shape.
        """
        rng = self.rng(seed, "batches")
        return [batch_of(self.pair, case_of(self.pair), rng, dtype) for _ in range(count)]


def _bound(pair: ModelPair, declared: Network, layouts: dict[str, LayerLayout]) -> TracedNetwork:
    return declared.bound(layouts, Layout(str(pair.input), pair.sizes) if pair.input else None)


def prepare_model(pair: ModelPair) -> PreparedModel:
    """Return a prepared pair. If it does not fit, is ambiguous or makes no network, raise the errors of :func:`crosscheck.pairs.prepare.prepare`."""
    reference = resolved_training(pair.reference, pair.loss, pair.settings, frozenset(pair.frozen), pair.framework)
    shapes = {f"{layer}.{name}": shape for layer, own in reference.shapes.items() for name, shape in own.items()}
    zeros, case = {name: np.zeros(shape) for name, shape in shapes.items()}, case_of(pair)
    batch = batch_of(pair, case, np.random.default_rng(0), "float64")
    _ = _loss(pair, reference, zeros, batch)
    elements = pair.steps * elements_per_step(reference.architecture, TrainState(zeros), *batch.values())
    declared = made(pair, first_dtype(pair))
    if isinstance(declared, Network):
        layouts, inferred = declared.layouts(reference.shapes)
        network = _bound(pair, declared, layouts)
        _expect_one_sample(pair, network.one_sample)
        if pair.momentum and declared.state is None:
            raise pair.error(f"momentum is {pair.momentum}, but the network does not say where its momentum buffers are; say Network(..., state=...)")
        try:
            network.train.batch(next(iter(batch.values())))
        except LayoutError as error:
            raise pair.error(f"input: {error}") from error
        own_dtypes = {str(value.dtype) for value in network.params.values()}
        dtypes = pair.dtypes if takes_dtype(pair) else [dtype for dtype in pair.dtypes if dtype in own_dtypes]
        return PreparedModel(pair, reference, layouts, inferred, elements, dtypes)
    draft, dtype = PreparedModel(pair, reference, {}, [], elements, pair.dtypes), first_dtype(pair)

    def first_step(subject: TrainedSubject) -> tuple[FirstStep, FirstStep]:
        start = draft.start(dtype, 0)
        return subject.first_step(dtype, start, batch), FirstStep(_loss(pair, reference, start, batch), {})

    _expect_one_sample(pair, bool(getattr(declared, "one_sample", False)))
    subject, words = trained_subject(pair, case, shapes, {}, batch, first_step)
    dtypes = [own for own in pair.dtypes if takes_dtype(pair) or own == dtype or subject.keeps(own, draft.start(own, 0), draft.batches(own, 0, 1)[0])]
    return PreparedModel(pair, reference, subject, words, elements, dtypes)


def _expect_one_sample(pair: ModelPair, one_sample: bool) -> None:
    if one_sample and pair.shape[0] != 1:
        raise pair.error(
            f"your code takes one sample at a time, but the shape {pair.shape} is a batch of {pair.shape[0]}; say shape={(1, *pair.shape[1:])}"
        )


def _loss(pair: ModelPair, reference: TrainingReference, params: Arrays, batch: Batch) -> float:
    """Return the reference's loss for a batch; raise ``PairError`` if its output has another shape than declared."""
    output: Array
    output, labels = batch.values()
    output = output.astype(np.float64)
    for layer in reference.architecture.names:
        own = {name: params[f"{layer}.{name}"].astype(np.float64) for name in reference.architecture.params[layer]}
        output = reference.architecture.layers[layer].vjp(Call(output, own))["output"]
    if output.shape != (pair.shape[0], pair.classes):
        raise pair.error(
            f"the reference turns a batch of shape {pair.shape} into {output.shape}, expected (batch, classes), {(pair.shape[0], pair.classes)}"
        )
    return float(reference.architecture.loss.vjp(Call(output, {}, None, {"labels": labels}))["output"])
