"""A pair of optimizers: a subject that updates parameters, beside the reference that it has to follow step by step."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from crosscheck.adapters.convention import ConventionError, Shape
from crosscheck.adapters.optimizers import OptimizerConvention
from crosscheck.arithmetic import Arithmetic, Array
from crosscheck.declaration import DTYPES, Declaration
from crosscheck.families import FAMILIES, Draw
from crosscheck.operation import RefusedError
from crosscheck.references import OptimizerReference, UnknownReferenceError, resolved_optimizer

_SHAPES: Mapping[str, Shape] = {"weight": (3, 4), "bias": (4,)}

GRADIENTS: Mapping[str, Draw] = {name: FAMILIES[name].draw for name in ("normal", "wide", "kinks", "tiny", "huge")}
"""The kinds of gradients, by the families of inputs that they are drawn like."""

REVEALS = {
    "normal": "signs, factors, the order of momentum and decay",
    "wide": "settings that are scaled by the gradient",
    "kinks": "a division by zero where a gradient is zero",
    "tiny": "an epsilon in the wrong place",
    "huge": "squares that overflow",
}
"""The mistakes that each kind of gradients is there for."""


@dataclass(frozen=True, eq=False)
class OptimizerPair(Declaration):
    """An optimizer beside its reference.

    Parameters
    ----------
    subject : Holding, Updater or UpdateFunction
        From :mod:`crosscheck.adapters.optimizers`: the optimizer and how it is called.
    reference : callable
        Gets a list of the framework's tensors and makes its optimizer: ``lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9)``; a list of
        several, which have to agree.
    shapes : mapping of str to tuple of int
        Of the parameters to update.
    steps : int
        How many steps the two are followed.
    state : mapping of str to str
        ``{"m": "exp_avg"}``: the subject's m is the reference's exp_avg, to be compared after every step.
    velocity : sequence of str
        Those of the states that hold a step and no gradient: with momentum as ``v = mu * v - lr * g; w += v``, the subject's v is -lr times the
        reference's buffer. Parameters are the same in both forms as long as the learning rate is.
    name, dtypes, expected, framework
        As in :class:`~crosscheck.pair.Pair`.
    """

    subject: Any
    reference: Any
    shapes: Mapping[str, Shape] = field(default_factory=lambda: dict(_SHAPES))
    steps: int = 5
    state: Mapping[str, str] = field(default_factory=dict)
    velocity: Sequence[str] = ()
    name: str = ""
    dtypes: Sequence[str] = DTYPES
    framework: str = ""
    expected: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.validate()
        if not callable(getattr(self.subject, "stepper", None)):
            raise self.error(
                f"a {type(self.subject).__name__} is no optimizer that the harness can call; say how it is called:\n"
                "    subject=Holding(lambda params: MyOptimizer(params, lr=0.1))\n"
                "    subject=Updater(MyOptimizer(lr=0.1))\n"
                "    subject=UpdateFunction(my_update, {'learning_rate': 0.1})"
            )
        if self.steps < 1:
            raise self.error(f"steps is {self.steps}, expected at least 1; with 2 or more the state shows")
        if not self.shapes or any(size < 1 for shape in self.shapes.values() for size in shape):
            raise self.error(f"shapes is {self.shapes!r}, expected a shape for each parameter, such as {_SHAPES}")
        if unknown := [name for name in self.velocity if name not in self.state]:
            raise self.error(f"velocity names {unknown[0]!r}, which is no state; those declared are: {', '.join(self.state) or 'none'}")

    @cached_property
    def prepared(self) -> PreparedOptimizers:
        """Everything that follows from the declaration.

        Raises
        ------
        PairError
            If the reference makes no optimizer, or keeps no state of a name that was declared.
        """
        given = self.reference if isinstance(self.reference, list | tuple) else [self.reference]
        try:
            references = [resolved_optimizer(reference, self.framework) for reference in given]
            start = {name: np.ones(shape) for name, shape in self.shapes.items()}
            kept = [reference.oracle.run(start, [start])[0].state for reference in references]
        except (UnknownReferenceError, RefusedError, ConventionError) as error:
            raise self.error(error) from error
        if not references:
            raise self.error("no reference is given")
        for mine, theirs in self.state.items():
            for state in kept:
                if theirs not in state:
                    raise self.error(f"state[{mine!r}] is {theirs!r}, but the reference keeps: {', '.join(state) or 'nothing'}")
        sizes = sum(int(np.prod(shape)) for shape in self.shapes.values())
        elements = sizes * (1 + len(self.state)) * self.steps * len(GRADIENTS) * len(DTYPES)
        return PreparedOptimizers(self, self.subject, references, elements)


@dataclass(frozen=True)
class PreparedOptimizers:
    """A pair of optimizers in which nothing is open any more.

    Attributes
    ----------
    pair : OptimizerPair
    convention : OptimizerConvention
    references : list of OptimizerReference
        The first one is the arbiter.
    elements : int
        How many numbers all checks of the pair compare.
    inferred : list of str
        Nothing: everything is declared.
    """

    pair: OptimizerPair
    convention: OptimizerConvention
    references: list[OptimizerReference]
    elements: int
    inferred: list[str] = field(default_factory=list)

    @property
    def reference_names(self) -> list[str]:
        """What reports call the references."""
        return [reference.name for reference in self.references]

    def arithmetic(self, dtype: str) -> Arithmetic:
        """Return the subject's arithmetic in a precision."""
        return Arithmetic(np.dtype(dtype), self.elements)

    def start(self, dtype: str, seed: int) -> dict[str, Array]:
        """Return the parameters before the first step."""
        rng = self._rng("start", seed)
        return {name: rng.standard_normal(shape).astype(dtype) for name, shape in self.pair.shapes.items()}

    def gradients(self, family: str, dtype: str, seed: int) -> list[dict[str, Array]]:
        """Return the gradients of every step."""
        rng, draw = self._rng(family, seed), GRADIENTS[family]
        return [{name: draw(rng, shape).astype(dtype) for name, shape in self.pair.shapes.items()} for _ in range(self.pair.steps)]

    def _rng(self, what: str, seed: int) -> np.random.Generator:
        return np.random.default_rng([seed, zlib.crc32(f"{self.pair.title} {what}".encode())])
