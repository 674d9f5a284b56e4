"""A pair: a subject, its reference, and what has to be said about how one corresponds to the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from crosscheck.core.operation import DTYPES, Shape
from crosscheck.pairs.declaration import Declaration


@dataclass(frozen=True, eq=False)
class Pair(Declaration):
    """A layer, a loss or a whole network as one function, beside its reference.

    Parameters
    ----------
    subject : object
        A layer with a ``forward`` and a ``backward`` method, or an adapter of :mod:`crosscheck.adapters` that says how it is called.
    reference : object
        A ``torch.nn.Module``, a function of tensors, anything with a method ``vjp(call)``; a list of several, which have to agree; or None where
        there is none: the gradients are then compared with difference quotients of the subject's own output.
    shapes : sequence of tuple of int, or callable
        Of the input, in the reference's layout, the batch axis included. A callable gets a ``numpy.random.Generator`` and returns one shape.
    params : mapping of str to str
        ``{"W": "weight: i o -> o i"}``: the subject's W is the reference's weight, its axes the other way round; without a pattern they are
        ordered alike. What is not declared is inferred where there is exactly one way.
    input, output : str
        einops patterns from the subject's layout to the reference's; empty where they are the same.
    sizes : mapping of str to int
        Of axes inside parentheses.
    param_shapes : mapping of str to tuple of int
        By the reference's names; needed where neither side has parameters of its own.
    name : str
        In reports and ids; the subject's if left out.
    dtypes : sequence of str
        The precisions that the subject computes in.
    ties : {"first", "last", "all", "split"}
        Which elements get the gradient where a maximum ties, if the subject does not follow the reference.
    reduction : {"mean", "sum"}
        For a loss that takes one sample at a time: how the harness puts the losses of a batch together.
    labels : bool, optional
        Whether the second input is labels; found out from the reference.
    framework : str
        What the reference computes with, where that cannot be recognised.
    fixed_batch : bool
        Whether the subject was written only for the declared sizes of a batch; it is then tried on no other one.
    deterministic : bool
        Whether the subject gives the same bits each time. Say False for right code that does not, such as one that adds up in any order (atomics):
        where contracts compare two runs of it, they then do so by tolerance.
    expected : mapping of str to str
        Checks that are known to fail, by patterns of their names (``"values-*-digits"``), each with the reason; after a colon one quantity may
        be named (``"values-*-ties:grad_input"``), and any other one still counts. One that passes is a mismatch, and so is one in which the
        subject raises or returns nothing, NaN, another shape or another precision.
    buffers : mapping of str to str
        Running statistics, as ``params``: ``{"mu": "running_mean"}``, the subject's attribute first. One of the same name and shape need not be
        declared; what the subject does not show is skipped, with the reason.
    mask : str
        The attribute in which a dropout leaves the mask that it drew, not zero where an element was kept; seen in its output if left out.
    """

    subject: Any
    reference: Any = None
    shapes: Sequence[Shape] | Callable[[np.random.Generator], Shape] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    input: str = ""
    output: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    param_shapes: Mapping[str, Shape] = field(default_factory=dict)
    name: str = ""
    dtypes: Sequence[str] = DTYPES
    ties: Literal["first", "last", "all", "split"] = "first"
    reduction: Literal["mean", "sum"] = "mean"
    labels: bool | None = None
    framework: str = ""
    fixed_batch: bool = False
    deterministic: bool = True
    expected: Mapping[str, str] = field(default_factory=dict)
    buffers: Mapping[str, str] = field(default_factory=dict)
    mask: str = ""

    def __post_init__(self) -> None:
        self.validate()
        if self.ties not in ("first", "last", "all", "split"):
            raise self.error(f"ties is {self.ties!r}, expected 'first', 'last', 'all' or 'split'")
        if self.reduction not in ("mean", "sum"):
            raise self.error(f"reduction is {self.reduction!r}, expected 'mean' or 'sum'")
