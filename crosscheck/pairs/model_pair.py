"""A pair of models: a network with its own training code, and a reference that trains with the same settings."""

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
    """A network with its own training code, compared with a framework's sequence of layers that trains with the same settings.

    Parameters
    ----------
    subject : callable
        Returns a new network at each call: a :class:`~crosscheck.adapters.network.Network`, whose layers are observed, or a
        :class:`~crosscheck.adapters.train_step_opaque.WholeStep`, which shows only its loss and its parameters. If its first argument has no default
        value or is called ``dtype``, it gets the name of the precision, ``"float64"`` or ``"float32"``.
    reference : torch.nn.Sequential
        Reports use the names of its layers.
    loss : torch.nn.Module
        Takes the network's output and the labels; it may be the mean or the sum over the batch.
    lr, momentum, dampening, nesterov, weight_decay
        Settings of stochastic gradient descent, with the same meaning as in PyTorch.
    shape : tuple of int
        Shape of a batch in the reference's layout, including the batch axis; ``(1, ...)`` for a subject that takes one sample at a time.
    steps : int
        How many training steps are compared.
    input : str
        einops pattern from the subject's layout of a batch to the reference's; empty if both are the same, or if the training step passes the batch
        unchanged to its first layer, whose pattern is then used.
    sizes : mapping of str to int
        Sizes of axes inside parentheses in the patterns.
    batches : callable, optional
        Gets a ``numpy.random.Generator`` and returns ``x, labels`` of the next batch, with ``x`` in the reference's layout. Without it, batches are
        random normal numbers with random labels.
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

    def validate(self) -> None:
        """Validate the fields that can be checked without preparation; raise :class:`PairError` for the first wrong one."""
        super().validate()
        if not callable(self.subject):
            raise self.error(f"subject is a {type(self.subject).__name__}, expected a function that returns a fresh network each time it is called")
        if not self.shape or any(not isinstance(size, int) or size < 1 for size in self.shape):
            raise self.error(f"shape is {self.shape!r}, expected the shape of a batch, such as (8, 1, 28, 28)")
        numbers = [self.lr, self.momentum, self.dampening, self.weight_decay]
        if not max(np.abs(numbers)) <= np.finfo(np.float32).max or min(self.lr, self.momentum, self.weight_decay) < 0:
            raise self.error(f"{self.settings}: expected numbers that float32 can hold, and lr, momentum and weight_decay not negative")
        if self.nesterov and (not self.momentum or self.dampening):
            raise self.error("nesterov needs momentum above 0 and no dampening")
        if self.steps < 1:
            raise self.error(f"steps is {self.steps}, expected at least 1")

    @property
    def settings(self) -> SgdSettings:
        """The settings of the optimizer."""
        return SgdSettings(self.lr, self.momentum, self.dampening, self.nesterov, self.weight_decay)
