"""A pair of whole models: a network with its own way of training, beside a reference that trains alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosscheck.adapters.network import Network
from crosscheck.adapters.train_step_opaque import WholeStep
from crosscheck.core.operation import DTYPES, Labels, Shape
from crosscheck.core.precision import Array
from crosscheck.oracles.optimizers import SgdSettings
from crosscheck.pairs.declaration import Declaration

Declared = Network | WholeStep
Batch = tuple[Array, Labels]


@dataclass(frozen=True, eq=False)
class ModelPair(Declaration):
    """A network that trains by its own code, beside a chain of layers of a framework that trains with the same settings.

    Parameters
    ----------
    subject : callable
        Returns a fresh network each time: a :class:`~crosscheck.adapters.network.Network`, whose layers are observed, or a
        :class:`~crosscheck.adapters.train_step_opaque.WholeStep`, which shows only its loss and its parameters. It gets the name of the precision,
        ``"float64"`` or ``"float32"``, if it has a first argument without a default value, or one that is called ``dtype``.
    reference : torch.nn.Sequential
        The names of its layers are those in reports.
    loss : torch.nn.Module
        Takes the last output and the labels; whether it is the mean or the sum over the batch is its own.
    lr, momentum, dampening, nesterov, weight_decay
        Of stochastic gradient descent, with PyTorch's meaning.
    shape : tuple of int
        Of a batch, in the reference's layout, the batch axis included; one sample, ``(1, ...)``, for a subject that takes one at a time.
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
        As for :class:`~crosscheck.pairs.pair.Pair`.
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
