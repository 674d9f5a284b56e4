"""A pair of whole models: somebody's network with its own way of training, beside a reference that trains alike."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from crosscheck.adapters.convention import ConventionError, Shape
from crosscheck.adapters.listening import ListenedNetwork
from crosscheck.adapters.network import Network
from crosscheck.adapters.whole_step import SteppedNetwork, WholeStep
from crosscheck.arithmetic import Arithmetic, Array
from crosscheck.containment import SubjectError, contained
from crosscheck.declaration import DTYPES, Declaration
from crosscheck.families import labels, normal
from crosscheck.layout import Layout, LayoutError
from crosscheck.lockstep import elements_per_step
from crosscheck.mapping import MappingError
from crosscheck.operation import Call, RefusedError
from crosscheck.oracle_step import Start
from crosscheck.references import TrainingReference, UnknownReferenceError, resolved_training
from crosscheck.subject import Labels
from crosscheck.update import SgdSettings

Declared = Network | WholeStep
Trained = ListenedNetwork | SteppedNetwork
Batch = tuple[Array, Labels]


@dataclass(frozen=True, eq=False)
class ModelPair(Declaration):
    """A network that trains by its own code, beside a chain of layers of a framework that trains with the same settings.

    Parameters
    ----------
    subject : callable
        Returns a fresh network each time: a :class:`~crosscheck.adapters.network.Network`, whose layers are listened to, or a
        :class:`~crosscheck.adapters.whole_step.WholeStep`, which shows its loss and its parameters alone. It gets the name of the precision,
        ``"float64"`` or ``"float32"``, if it has a first argument without a default value, or one that is called ``dtype``.
    reference : torch.nn.Sequential
        The names of its layers are those in reports.
    loss : torch.nn.Module
        Takes the last output and the labels; whether it is the mean or the sum over the batch is its own.
    lr, momentum, dampening, nesterov, weight_decay
        Of stochastic gradient descent, with PyTorch's meaning.
    shape : tuple of int
        Of a batch, in the reference's layout, the batch axis included; one sample, ``(1, ...)``, for a subject that takes one at a time.
    classes : int
    steps : int
        How many training steps are compared.
    input : str
        einops pattern from the subject's layout of a batch to the reference's; empty where they are the same, and for a network whose training
        step hands the batch to its first layer as it is, whose pattern is then known.
    sizes : mapping of str to int
        Of axes inside parentheses.
    batches : callable, optional
        Gets a ``numpy.random.Generator`` and returns ``x, labels`` of the next batch, ``x`` in the reference's layout; random normal numbers and
        random labels if left out.
    frozen : sequence of str
        Layers whose parameters do not train.
    name, dtypes, expected, framework
        As for :class:`~crosscheck.pair.Pair`.
    """

    subject: Callable[..., Declared]
    reference: Any
    loss: Any
    lr: float
    shape: Shape
    classes: int
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    steps: int = 20
    input: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    batches: Callable[[np.random.Generator], Batch] | None = None
    frozen: Sequence[str] = ()
    name: str = ""
    dtypes: Sequence[str] = DTYPES
    expected: Mapping[str, str] = field(default_factory=dict)
    framework: str = ""

    def __post_init__(self) -> None:
        self.validate()
        if not callable(self.subject):
            raise self.error(f"subject is a {type(self.subject).__name__}, expected a function that returns a fresh network each time it is called")
        if not self.shape or any(not isinstance(size, int) or size < 1 for size in self.shape):
            raise self.error(f"shape is {self.shape!r}, expected the shape of a batch, such as (8, 1, 28, 28)")
        numbers = [self.lr, self.momentum, self.dampening, self.weight_decay]
        if not max(np.abs(numbers)) <= np.finfo(np.float32).max or min(self.lr, self.momentum, self.weight_decay) < 0:
            raise self.error(f"{self.settings}: expected numbers that single precision knows, none of lr, momentum and weight_decay negative")
        if self.nesterov and (not self.momentum or self.dampening):
            raise self.error("nesterov needs momentum above 0 and no dampening")
        if self.steps < 1:
            raise self.error(f"steps is {self.steps}, expected at least 1")

    @property
    def settings(self) -> SgdSettings:
        """The settings of the optimizer."""
        return SgdSettings(self.lr, self.momentum, self.dampening, self.nesterov, self.weight_decay)

    @cached_property
    def prepared(self) -> PreparedModel:
        """Everything that follows from the declaration: reference, layouts, sizes.

        Raises
        ------
        PairError
            If anything does not fit or can be understood in several ways.
        SubjectError
            If no network can be made.
        """
        try:
            return _prepare(self)
        except (ConventionError, MappingError, LayoutError, UnknownReferenceError, RefusedError) as error:
            raise self.error(error) from error


@dataclass(frozen=True)
class PreparedModel:
    """A pair of models in which nothing is open any more.

    Attributes
    ----------
    pair : ModelPair
    reference : TrainingReference
    layouts : object
        How the subject's layers or parameters correspond to the reference's.
    inferred : list of str
        In words.
    elements : int
        How many numbers a comparison compares at most: N, of which each tolerance depends.
    dtypes : sequence of str
        The precisions that the subject can be made in; one alone where the factory takes no argument.
    runs : dict
        The comparisons that were made, by precision and seed: several checks look at one and the same.
    """

    pair: ModelPair
    reference: TrainingReference
    layouts: Any
    inferred: list[str]
    elements: int
    dtypes: Sequence[str]
    runs: dict[tuple[str, int], Any] = field(default_factory=dict, repr=False)

    @property
    def reference_names(self) -> list[str]:
        """What reports call the reference."""
        return [self.reference.name]

    def arithmetic(self, dtype: str) -> Arithmetic:
        """Return the subject's arithmetic in a precision."""
        return Arithmetic(np.dtype(dtype), self.elements)

    def start(self, dtype: str, seed: int) -> dict[str, Array]:
        """Return random parameters to start from, named ``layer.parameter``.

        They are of a size that a signal keeps on its way through the layers; biases of zero, as is usual, would hide what is wrong with them.
        """
        rng = self._rng(seed, "parameters")
        shapes = {f"{layer}.{name}": shape for layer, params in self.reference.shapes.items() for name, shape in params.items()}
        return {name: (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(dtype) for name, shape in shapes.items()}

    def fresh(self, dtype: str, seed: int) -> Trained:
        """Return a new network of the subject with the parameters to start from.

        Raises
        ------
        SubjectError
            If the factory raises, or the network is not of this precision, or does not take the parameters.
        """
        try:
            network = _bound(self.pair, _made(self.pair, dtype), self.layouts)
        except ConventionError as error:
            raise SubjectError(f"another network from the same factory is not like the first: {error}") from error
        start = self.start(dtype, seed)
        for name, value in network.params.items():
            if value.dtype != start[name].dtype or value.shape != start[name].shape:
                raise SubjectError(f"for {dtype} the network's {name} is {value.dtype} {value.shape}, expected {dtype} {start[name].shape}")
        network.load(start)
        for name, value in network.params.items():
            if not np.array_equal(value, start[name]):
                raise SubjectError(
                    f"what is written into the array of {name} does not stay there; params must return the arrays themselves, not copies"
                )
        return network

    def batches(self, dtype: str, seed: int, count: int) -> list[Batch]:
        """Return the batches of a run, which depend on nothing but the pair's name and the seed.

        Raises
        ------
        PairError
            If the pair's own batches do not fit its shape.
        """
        rng = self._rng(seed, "batches")
        return [_batch(self.pair, rng, dtype) for _ in range(count)]

    def _rng(self, seed: int, what: str) -> np.random.Generator:
        return np.random.default_rng([seed, zlib.crc32(f"{self.pair.title} {what}".encode())])


def _takes_dtype(pair: ModelPair) -> bool:
    """Return whether the factory's first argument is the precision: one that it cannot do without, or that is called so."""
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
    return declared.bound(layouts, Layout(pair.input, dict(pair.sizes)) if pair.input else None)


def _prepare(pair: ModelPair) -> PreparedModel:
    reference = resolved_training(pair.reference, pair.loss, pair.settings, frozenset(pair.frozen), pair.framework)
    for layer, kept in reference.architecture.buffers.items():
        raise pair.error(
            f"the reference's layer {layer} keeps {', '.join(kept)} from step to step, which a ModelPair does not give to the subject; check that "
            f"layer by itself, Pair(layer, reference, shapes), running statistics and evaluation included, and leave it out of the two networks"
        )
    declared = _made(pair, pair.dtypes[0])
    layouts, inferred = declared.layouts(reference.shapes)
    network = _bound(pair, declared, layouts)
    if network.one_sample and pair.shape[0] != 1:
        raise pair.error(
            f"the subject takes one sample at a time, the shape {pair.shape} is a batch of {pair.shape[0]}; say shape={(1, *pair.shape[1:])}"
        )
    if pair.momentum and isinstance(declared, Network) and declared.state is None:
        raise pair.error(f"momentum is {pair.momentum}, and the network does not say where its momentum buffers are; say Network(..., state=...)")
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
    elements = pair.steps * elements_per_step(reference.architecture, Start(params), x, some)
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
