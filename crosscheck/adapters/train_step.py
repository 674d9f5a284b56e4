"""A subject's own training step: called with a batch in its own layout, after which the parameters are read again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosscheck.adapters.layout import Layout
from crosscheck.core.guard import SubjectError, as_array, contained
from crosscheck.core.operation import Labels, Shape
from crosscheck.core.precision import Array


@dataclass(frozen=True)
class TrainingStep:
    """A function that gets a batch and its labels, does one training step and returns the loss.

    Parameters
    ----------
    input : Layout
        Of the batch; for one sample at a time that of a batch of one.
    one_sample : bool
        Whether it gets one sample and its label as a plain number.
    """

    function: Callable[[Any, Any], Any]
    input: Layout
    one_sample: bool

    def batch(self, x: Array) -> Array:
        """Return a copy of a batch as the subject takes it.

        Raises
        ------
        ValueError
            If the subject takes one sample and there are several.
        """
        if self.one_sample and len(x) != 1:
            raise ValueError(f"this subject trains on one sample at a time, found a batch of {len(x)}")
        return np.array(self.input.to_subject(x, self.one_sample), order="C")

    def labels(self, labels: Labels) -> Any:
        """Return the labels as the subject takes them."""
        return int(labels[0]) if self.one_sample else np.array(labels)

    def __call__(self, x: Array, labels: Any) -> Array:
        """Do the step on a batch and labels as the subject takes them, and return the loss in the batch's precision.

        Raises
        ------
        SubjectError
            If the subject raises or returns no loss.
        """
        dtype = x.dtype
        with contained("the training step"):
            loss = self.function(x, labels)
        return one_number(as_array(loss, "the loss", dtype)).astype(dtype)


def one_number(loss: Array) -> Array:
    """Return a loss as an array of shape (), or raise :class:`SubjectError` if it is several numbers."""
    if loss.size != 1:
        raise SubjectError(f"the loss has the shape {loss.shape}, expected one number")
    return loss.reshape(())


def same_parameters(values: Mapping[str, Any], known: Mapping[str, Shape], owner: str) -> dict[str, Array]:
    """Return the subject's parameters as arrays, by its own names.

    Raises
    ------
    SubjectError
        If they have other names or shapes than ``known``, those of the start; it says that they are the owner's.
    """
    if set(values) != set(known):
        now, before = (", ".join(map(str, sorted(names))) or "none" for names in (values, known))
        raise SubjectError(f"{owner} has the parameters {now}; at the start they were {before}")
    arrays = {name: as_array(values[name], f"{owner}'s {name}", np.dtype(np.float64)) for name in known}
    for name, array in arrays.items():
        if array.shape != known[name]:
            raise SubjectError(f"{owner}'s {name} has the shape {array.shape}; at the start it was {known[name]}")
    return arrays
