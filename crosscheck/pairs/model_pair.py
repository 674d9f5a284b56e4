"""A pair of models: a network with its own training code, and a reference that trains with the same settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosscheck.core.operation import DTYPES, Shape
from crosscheck.oracles.optimizers import SgdSettings
from crosscheck.pairs.declaration import Declaration
from crosscheck.references.resolve import is_chain


@dataclass(frozen=True, eq=False)
class ModelPair(Declaration):
    """A network with its own training code, compared with a framework's network that trains with the same settings.

    Beside a chain of layers and gradient descent (``lr``), a :class:`~crosscheck.adapters.network.Network` is judged layer by layer. In all other
    cases, such as any ``torch.nn.Module`` with any ``optimizer``, the loss, the gradients if the network shows them, the updated parameters, the
    running statistics and the predictions are judged.

    Parameters
    ----------
    subject : callable
        Returns a new network at each call: an object that has its parameters in attributes, dicts, lists or layers and a method that does a training
        step, a :class:`~crosscheck.adapters.whole_step.WholeStep` that says which function this is, or a
        :class:`~crosscheck.adapters.network.Network`. If its first argument has no default value or is called ``dtype``, it gets the name of the
        precision, ``"float64"`` or ``"float32"``.
    reference : torch.nn.Module
        Reports use the names of its layers.
    loss : torch.nn.Module or callable
        Takes the network's output and the target, and returns one number.
    lr, momentum, dampening, nesterov, weight_decay
        Settings of stochastic gradient descent, with the same meaning as in PyTorch.
    shape : tuple of int
        Shape of a batch in the reference's layout, including the batch axis; ``(1, ...)`` for a subject that takes one sample at a time.
    classes : int
        The number of classes; the labels are drawn from them.
    steps : int
        How many training steps are compared.
    input : str, or mapping of str to str
        einops pattern from the subject's layout of a batch to the reference's; empty if both are the same, or if the training step passes the batch
        unchanged to its first layer, whose pattern is then used. Of several inputs: patterns by name.
    sizes : mapping of str to int
        Sizes of axes inside parentheses in the patterns, and of the named axes of ``inputs``.
    batches : callable, optional
        Gets a ``numpy.random.Generator`` and returns ``x, labels`` of the next batch, or one array for each of ``inputs``, in the reference's layout.
        Without it, batches are random normal numbers with random labels.
    frozen : sequence of str
        Layers, or single parameters, that do not train. A frozen parameter that the network does not have is zero in the reference.
    optimizer : callable, optional
        Gets a list of tensors and returns an optimizer: ``lambda params: torch.optim.AdamW(params, lr=1e-3)``. Without it and without ``lr``, only
        the loss and its gradients are compared.
    schedule : callable, optional
        Gets the optimizer and returns a scheduler of its learning rate, which is stepped after each step of the optimizer.
    clip : callable, optional
        Gets a list of tensors and clips their gradients: ``lambda params: torch.nn.utils.clip_grad_norm_(params, 1.0)``.
    accumulate : int
        After how many steps the optimizer acts, with the sum of their gradients.
    inputs : mapping of str to str, tuple or Argument
        The arrays of a batch by name, in the order in which the training step takes them, declared as for :class:`~crosscheck.pairs.pair.Pair`. The
        last is the target: the reference gets the others, and the loss gets the reference's output and the target. A single one is both.
    name, dtypes, expected, framework
        As for :class:`~crosscheck.pairs.pair.Pair`.
    """

    subject: Callable[..., Any]
    reference: Any
    loss: Any
    lr: float | None = None
    shape: Shape = ()
    classes: int = 0
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    steps: int = 20
    input: str | Mapping[str, str] = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    batches: Callable[[np.random.Generator], Any] | None = None
    frozen: Sequence[str] = ()
    name: str = ""
    dtypes: Sequence[str] = DTYPES
    expected: Mapping[str, str] = field(default_factory=dict)
    framework: str = ""
    optimizer: Callable[[Any], Any] | None = None
    schedule: Callable[[Any], Any] | None = None
    clip: Callable[[Any], Any] | None = None
    accumulate: int = 1
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def validate(self) -> None:
        """Validate the fields that can be checked without preparation; raise :class:`PairError` for the first wrong one."""
        super().validate()
        if not callable(self.subject):
            raise self.error(f"subject is a {type(self.subject).__name__}, expected a function that returns a fresh network each time it is called")
        self._expect_optimizer()
        if isinstance(self.frozen, str):
            raise self.error(f"frozen is {self.frozen!r}, expected a list: frozen=[{self.frozen!r}]")
        if not isinstance(self.inputs, Mapping):
            raise self.error(f"inputs is a {type(self.inputs).__name__}, expected the arrays of a batch by name, such as {{'x': (8, 4), 'y': (8,)}}")
        if self.inputs and (self.shape or self.classes):
            raise self.error("inputs and shape are both given; shape and classes are for a single input with labels: leave one out")
        if not self.inputs and (not self.shape or any(not isinstance(size, int) or size < 1 for size in self.shape)):
            raise self.error(f"shape is {self.shape!r}, expected the shape of a batch, such as (8, 1, 28, 28)")
        if not self.inputs and self.classes < 1:
            raise self.error(f"classes is {self.classes!r}, expected the number of classes; for targets of another kind declare inputs={{...}}")
        for name, count in (("steps", self.steps), ("accumulate", self.accumulate)):
            if not isinstance(count, int) or count < 1:
                raise self.error(f"{name} is {count!r}, expected a whole number, at least 1")

    def _expect_optimizer(self) -> None:
        for name, given in (("schedule", self.schedule), ("clip", self.clip)):
            if given is not None and self.lr is None and self.optimizer is None:
                raise self.error(f"{name} is given without an optimizer; declare optimizer= or lr=, or leave it out")
        if self.lr is None:
            if self.momentum or self.dampening or self.nesterov or self.weight_decay:
                raise self.error("momentum, dampening, nesterov and weight_decay need lr; an optimizer gets its settings itself")
            return
        if self.optimizer is not None:
            raise self.error("lr and optimizer are both given; leave out lr, and give the optimizer its rate")
        numbers = [self.lr, self.momentum, self.dampening, self.weight_decay]
        if not max(np.abs(numbers)) <= np.finfo(np.float32).max or min(self.lr, self.momentum, self.weight_decay) < 0:
            raise self.error(f"{self.settings}: expected numbers that float32 can hold, and lr, momentum and weight_decay not negative")
        if self.nesterov and (not self.momentum or self.dampening):
            raise self.error("nesterov needs momentum above 0 and no dampening")

    @property
    def settings(self) -> SgdSettings:
        """The settings of gradient descent."""
        return SgdSettings(self.lr or 0.0, self.momentum, self.dampening, self.nesterov, self.weight_decay)

    @property
    def in_layers(self) -> bool:
        """Whether the reference is a chain of layers that trains by gradient descent, so that each layer can be judged on its own."""
        further = (self.optimizer, self.schedule, self.clip)
        simple = self.lr is not None and not self.inputs and self.accumulate == 1 and all(one is None for one in further)
        return simple and is_chain(self.reference)
