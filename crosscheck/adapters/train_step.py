"""The subject's own training step, called with a batch in the subject's layout."""

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
    """A function that gets a batch and its labels, does one training step and returns the loss."""

    function: Callable[[Any, Any], Any]
    input: Layout  # the layout of the batch; if the function takes one sample, the pattern is for a batch of one
    one_sample: bool  # whether the function takes one sample, and its label as an int

    def batch(self, x: Array) -> Array:
        """Convert a batch to a copy in the subject's layout.

        Raises
        ------
        ValueError
            If the subject takes one sample and the batch has several.
        """
        if self.one_sample and len(x) != 1:
            raise ValueError(f"a batch of {len(x)} samples, expected 1: the subject trains on one sample at a time")
        return np.array(self.input.to_subject(x, self.one_sample), order="C")

    def labels(self, labels: Labels) -> Any:
        """Return the labels as an array, or as an int if the subject takes one sample."""
        return int(labels[0]) if self.one_sample else np.array(labels)

    def __call__(self, x: Array, labels: Any) -> Array:
        """Do the step and return the loss in the batch's precision; ``x`` and ``labels`` come from :meth:`batch` and :meth:`labels`.

        Raises
        ------
        SubjectError
            If the subject raises, or returns something that is not a number.
        """
        dtype = x.dtype
        with contained("the training step"):
            loss = self.function(x, labels)
        return one_number(as_array(loss, "the loss", dtype)).astype(dtype)


def one_number(loss: Array) -> Array:
    """Return a loss as an array of shape (), or raise :class:`SubjectError` if it is not a single number."""
    if loss.size != 1:
        raise SubjectError(f"the loss has the shape {loss.shape}, expected one number")
    return loss.reshape(())


def same_parameters(values: Mapping[str, Any], known: Mapping[str, Shape], owner: str) -> dict[str, Array]:
    """Return parameters as arrays. ``owner`` is the name of their layer or network in errors.

    Raises
    ------
    SubjectError
        If names or shapes differ from ``known``, the shapes at the start of the training.
    """
    if set(values) != set(known):
        now, before = (", ".join(map(str, sorted(names))) or "none" for names in (values, known))
        raise SubjectError(f"{owner} has the parameters {now}, expected {before} as at the start")
    arrays = {name: as_array(values[name], f"{owner}'s {name}", np.dtype(np.float64)) for name in known}
    for name, array in arrays.items():
        if array.shape != known[name]:
            raise SubjectError(f"{owner}'s {name} has the shape {array.shape}, expected {known[name]} as at the start")
    return arrays
