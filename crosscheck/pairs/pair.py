"""A pair of layers: a subject, its reference, and how one corresponds to the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from crosscheck.core.operation import DTYPES, Shape
from crosscheck.pairs.declaration import Declaration


@dataclass(frozen=True, eq=False)
class Pair(Declaration):
    """A layer, a loss or a whole network as one function, compared with its reference.

    Parameters
    ----------
    subject : object
        A layer with a ``forward`` and a ``backward`` method, or an adapter of :mod:`crosscheck.adapters` that says how to call the code.
    reference : object
        A ``torch.nn.Module``, a function of tensors or anything with a method ``vjp(call)``; or a list of these, which have to agree. If it is None,
        the gradients are compared with difference quotients of the subject's own output.
    shapes : sequence of tuple of int, or callable
        Shapes of the input in the reference's layout, including the batch axis. A callable gets a ``numpy.random.Generator`` and returns one shape.
        Further inputs follow from the reference where PyTorch defines them, such as the labels of a loss or the first state of an LSTM.
    inputs : mapping of str to str, tuple or Argument
        Several inputs by name, in the order in which both sides take them: ``{"query": "batch q_len dim", "key": "batch k_len dim"}``.
        A pattern names axes, whose lengths are in ``sizes``; a tuple gives lengths. Inputs that are no real numbers with a gradient are declared as
        :class:`Integers`, :class:`Labels`, :class:`Target` or :class:`Mask`.
    outputs : sequence of str
        The names of the outputs, if your code returns several; as in the reference if left out.
    params : mapping of str to str
        ``{"W": "weight: i o -> o i"}``: the subject's W is the reference's weight transposed. Without a pattern the axes have the same order.
        Parameters that are not declared are matched if there is exactly one way, or only one with which the output agrees. A parameter of an inner
        layer has a dotted name, ``"attention.W_q"``.
    input, output : str, or mapping of str to str
        einops patterns from the subject's layout to the reference's; empty if both are the same. Of several inputs or outputs: patterns by name.
    sizes : mapping of str to int
        Lengths of the named axes of ``inputs``, and of axes inside parentheses in einops patterns.
    param_shapes : mapping of str to tuple of int
        Shapes by the reference's names; needed if neither side holds its parameters.
    name : str
        The name in reports and ids; the subject's name if left out.
    dtypes : sequence of str
        The precisions that the subject computes in.
    ties : {"first", "last", "all", "split"}
        Which of several equal maxima get the gradient, if the subject does not follow the reference.
    reduction : {"mean", "sum"}
        How the harness combines the losses of a batch, for a loss that takes one sample at a time.
    labels : bool, optional
        Whether the second input holds labels; taken from the reference if left out.
    framework : str
        The reference's framework, if it is not recognised.
    fixed_batch : bool
        Whether the subject works only with the declared batch sizes; no other batch sizes are then tried.
    fixed_sizes : bool
        Whether the subject is written for the declared sizes only; no other sizes are then tried, except of the batch.
    fixed : collection of str or int
        The axes for whose declared length alone the subject is written, by name, or by number for an input that is declared by ``shapes``.
    deterministic : bool
        Whether the subject gives the same bits each time. Say False for right code that does not, such as sums in varying order (atomics); contracts
        then compare two runs by tolerance.
    expected : mapping of str to str
        Reasons why checks are known to fail, by patterns of the checks' names (``"values-*-digits"``). A pattern may name one quantity after a colon
        (``"values-*-ties:grad_input"``); other quantities of the check then still count. A check that matches although it is expected to fail is a
        mismatch. So is one in which the subject raises or returns nothing, NaN, another shape or another precision.
    buffers : mapping of str to str
        Running statistics, declared as in ``params``: ``{"mu": "running_mean"}`` for the subject's attribute mu. Those with the same name and shape
        on both sides need not be declared. Those that the subject does not show are skipped with a reason.
    mask : str
        The attribute where a dropout stores the mask that it drew (nonzero = kept); inferred from the dropout's output if left out.
    """

    subject: Any
    reference: Any = None
    shapes: Sequence[Shape] | Callable[[np.random.Generator], Shape] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    input: str | Mapping[str, str] = ""
    output: str | Mapping[str, str] = ""
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
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    fixed_sizes: bool = False
    fixed: Collection[str | int] = ()

    def validate(self) -> None:
        """Validate the fields that can be checked without preparation; raise :class:`PairError` for the first wrong one."""
        super().validate()
        if not isinstance(self.inputs, Mapping):
            raise self.error(f"inputs is a {type(self.inputs).__name__}, expected a dict of names and shapes: {{'a': 'batch n', 'b': 'batch m'}}")
        if self.ties not in ("first", "last", "all", "split"):
            raise self.error(f"ties is {self.ties!r}, expected 'first', 'last', 'all' or 'split'")
        if self.reduction not in ("mean", "sum"):
            raise self.error(f"reduction is {self.reduction!r}, expected 'mean' or 'sum'")
