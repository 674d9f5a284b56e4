"""A prepared pair of models: its reference, layouts and sizes, and its initial parameters and batches."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosscheck.adapters.convention import ConventionError
from crosscheck.adapters.layout import Layout, LayoutError
from crosscheck.adapters.network import Network
from crosscheck.adapters.network_listened import TracedNetwork
from crosscheck.adapters.train_step_opaque import SteppedNetwork, WholeStep
from crosscheck.core.guard import SubjectError, contained
from crosscheck.core.inputs import labels, normal
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from crosscheck.core.training import TrainState
from crosscheck.oracles.step import elements_per_step
from crosscheck.pairs.declaration import Ready
from crosscheck.pairs.model_pair import Batch, Declared, ModelPair
from crosscheck.references.resolve import TrainingReference, resolved_training

Trained = TracedNetwork | SteppedNetwork


@dataclass(frozen=True)
class PreparedModel(Ready):
    """A prepared pair of models."""

    pair: ModelPair
    reference: TrainingReference
    layouts: Any  # how the subject's layers or parameters correspond to the reference's
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
        try:
            network = _bound(self.pair, _made(self.pair, dtype), self.layouts)
        except ConventionError as error:
            raise SubjectError(f"a second network from the same factory differs from the first: {error}") from error
        start = self.start(dtype, seed)
        for name, value in network.params.items():
            if value.dtype != start[name].dtype or value.shape != start[name].shape:
                raise SubjectError(f"for {dtype} the network's {name} is {value.dtype} {value.shape}, expected {dtype} {start[name].shape}")
        network.load(start)
        for name, value in network.params.items():
            if not np.array_equal(value, start[name]):
                raise SubjectError(f"values written into the array of {name} are lost; params must return the arrays themselves, not copies")
        return network

    def batches(self, dtype: str, seed: int, count: int) -> list[Batch]:
        """Return the batches of a run; they depend only on the pair's name and the seed.

        Raises
        ------
        PairError
            If the pair's own batches do not fit its shape.
        """
        rng = self.rng(seed, "batches")
        return [_batch(self.pair, rng, dtype) for _ in range(count)]


def _takes_dtype(pair: ModelPair) -> bool:
    """Return whether the factory takes the precision, that is, its first argument is required or called ``dtype``."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        first = next(iter(inspect.signature(pair.subject).parameters.values()), None)
    except (TypeError, ValueError):
        return False
    return first is not None and first.kind in kinds and (first.default is inspect.Parameter.empty or first.name == "dtype")


def _made(pair: ModelPair, dtype: str) -> Declared:
    with contained(pair.title):
        declared = pair.subject(dtype) if _takes_dtype(pair) else pair.subject()
    if not isinstance(declared, Network | WholeStep):
        raise pair.error(f"subject returned a {type(declared).__name__}, expected a Network or a WholeStep")
    return declared


def _bound(pair: ModelPair, declared: Declared, layouts: Any) -> Trained:
    return declared.bound(layouts, Layout(pair.input, pair.sizes) if pair.input else None)


def prepare_model(pair: ModelPair) -> PreparedModel:
    """Return a prepared pair. If it does not fit, is ambiguous or makes no network, raise the errors of :func:`crosscheck.pairs.prepare.prepare`."""
    reference = resolved_training(pair.reference, pair.loss, pair.settings, frozenset(pair.frozen), pair.framework)
    for layer, kept in reference.architecture.buffers.items():
        raise pair.error(
            f"the reference's layer {layer} has running statistics ({', '.join(kept)}), which a ModelPair cannot compare; check that layer alone "
            f"with Pair(layer, reference, shapes), which includes evaluation mode, and leave it out of both networks"
        )
    declared = _made(pair, pair.dtypes[0])
    layouts, inferred = declared.layouts(reference.shapes)
    network = _bound(pair, declared, layouts)
    if network.one_sample and pair.shape[0] != 1:
        raise pair.error(
            f"your code takes one sample at a time, but the shape {pair.shape} is a batch of {pair.shape[0]}; say shape={(1, *pair.shape[1:])}"
        )
    if pair.momentum and isinstance(declared, Network) and declared.state is None:
        raise pair.error(f"momentum is {pair.momentum}, but the network does not say where its momentum buffers are; say Network(..., state=...)")
    params = {f"{layer}.{name}": np.zeros(shape) for layer, own in reference.shapes.items() for name, shape in own.items()}
    x, some = _batch(pair, np.random.default_rng(0), "float64")
    output = x
    for layer in reference.architecture.names:
        own = {name: params[f"{layer}.{name}"] for name in reference.architecture.params[layer]}
        output = reference.architecture.layers[layer].vjp(Call(output, own))["output"]
    if output.shape != (pair.shape[0], pair.classes):
        raise pair.error(
            f"the reference turns a batch of shape {pair.shape} into {output.shape}, expected (batch, classes), {(pair.shape[0], pair.classes)}"
        )
    try:
        network.train.batch(x)
    except LayoutError as error:
        raise pair.error(f"input: {error}") from error
    own_dtypes = {str(value.dtype) for value in network.params.values()}
    dtypes = pair.dtypes if _takes_dtype(pair) else [dtype for dtype in pair.dtypes if dtype in own_dtypes]
    elements = pair.steps * elements_per_step(reference.architecture, TrainState(params), x, some)
    return PreparedModel(pair, reference, layouts, inferred, elements, dtypes)


def _batch(pair: ModelPair, rng: np.random.Generator, dtype: str) -> Batch:
    if pair.batches is None:
        return normal(rng, pair.shape).astype(dtype), labels(rng, pair.shape[0], pair.classes)
    try:
        with contained("batches"):
            x, own = pair.batches(rng)
            given, wanted = np.asarray(x), np.asarray(own)
    except SubjectError as error:
        raise pair.error(error.reason) from error
    if given.shape != pair.shape or wanted.shape != pair.shape[:1] or wanted.dtype.kind not in "iu":
        raise pair.error(
            f"batches returned x of shape {given.shape} and {wanted.dtype} labels of shape {wanted.shape}, "
            f"expected {pair.shape} and integers of shape {pair.shape[:1]}"
        )
    if wanted.min() < 0 or wanted.max() >= pair.classes:
        raise pair.error(f"batches returned labels from {wanted.min()} to {wanted.max()}, expected 0 to {pair.classes - 1}")
    return given.astype(dtype), wanted.astype(np.int64)
