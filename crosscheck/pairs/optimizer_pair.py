"""A pair of optimizers: a subject that updates parameters, and the reference that it must agree with after every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crosscheck.core.inputs import FAMILIES, Draw
from crosscheck.core.operation import DTYPES, Shape
from crosscheck.pairs.declaration import Declaration

_SHAPES: Mapping[str, Shape] = {"weight": (3, 4), "bias": (4,)}

GRADIENTS: Mapping[str, Draw] = {name: FAMILIES[name].draw for name in ("normal", "wide", "kinks", "tiny", "huge")}
"""Functions that draw test gradients, by the name of the input family that they belong to."""

REVEALS = {
    "normal": "signs, factors, the order of momentum and decay",
    "wide": "settings that are scaled by the gradient",
    "kinks": "a division by zero where a gradient is zero",
    "tiny": "an epsilon in the wrong place",
    "huge": "squares that overflow",
}
"""For each family of test gradients, the mistakes that it can reveal."""


@dataclass(frozen=True, eq=False)
class OptimizerPair(Declaration):
    """An optimizer compared with its reference.

    Parameters
    ----------
    subject : object or callable
        The optimizer: an object, a function that makes one from the parameters, or an update function. How it is called is found by itself where
        exactly one way works; otherwise declare it: ``Holding``, ``Updater`` or ``UpdateFunction`` of :mod:`crosscheck.adapters.optimizers`.
    reference : callable
        Gets a list of the framework's tensors and returns an optimizer: ``lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9)``. A list of
        several references is possible; they have to agree.
    schedule : callable, optional
        For references in PyTorch: gets the optimizer and returns a scheduler, which does a step after each step of the optimizer:
        ``lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)``. The subject changes its learning rate itself.
    shapes : mapping of str to tuple of int
        Shapes of the parameters to update.
    steps : int
        How many steps are compared; the default is enough for a counter of steps to matter.
    state : mapping of str to str
        ``{"m": "exp_avg"}``: the subject's m corresponds to the reference's exp_avg and is compared after every step.
    velocity : sequence of str
        States that hold steps instead of gradients: with momentum as ``v = mu * v - lr * g; w += v``, the subject's v is -lr times the reference's
        buffer. As long as the learning rate stays the same, both forms give the same parameters.
    name, dtypes, expected, framework
        As in :class:`~crosscheck.pairs.pair.Pair`.
    """

    subject: Any
    reference: Any
    shapes: Mapping[str, Shape] = field(default_factory=lambda: dict(_SHAPES))
    steps: int = 25
    state: Mapping[str, str] = field(default_factory=dict)
    velocity: Sequence[str] = ()
    name: str = ""
    dtypes: Sequence[str] = DTYPES
    framework: str = ""
    schedule: Callable[[Any], Any] | None = None
    expected: Mapping[str, str] = field(default_factory=dict)

    def validate(self) -> None:
        """Validate the fields that can be checked without preparation; raise :class:`PairError` for the first wrong one."""
        super().validate()
        if self.steps < 1:
            raise self.error(f"steps is {self.steps}, expected at least 1; the state takes effect from the second step on")
        if not self.shapes or any(size < 1 for shape in self.shapes.values() for size in shape):
            raise self.error(f"shapes is {self.shapes!r}, expected a shape for each parameter, such as {_SHAPES}")
        if self.velocity and self.schedule is not None:
            raise self.error("velocity cannot be compared while the learning rate changes; leave it out, or leave out the schedule")
        if unknown := [name for name in self.velocity if name not in self.state]:
            raise self.error(
                f"velocity names {unknown[0]!r}, which is not a declared state; the declared ones are: {', '.join(self.state) or 'none'}"
            )
