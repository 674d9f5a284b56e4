"""A network with its own training step beside a reference of any architecture: its loss, gradients, parameters and running statistics.

Nothing is known of its layers. What a step leaves behind is read after the step: the updated parameters and, if the network keeps or returns them,
the gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.adapters.kept import Kept, dotted, find
from crosscheck.adapters.layer_events import Event, observed
from crosscheck.adapters.layout import Layout, Parameter, to_subject
from crosscheck.adapters.naming import is_statistic
from crosscheck.adapters.object_graph import Path, arrays_in, read
from crosscheck.adapters.train_step import one_number, same_parameters
from crosscheck.adapters.whole_step import WholeStep, returns_arrays
from crosscheck.core.guard import SubjectError, as_array, contained, source
from crosscheck.core.operation import Labels, Shape
from crosscheck.core.precision import Array

Batch = Mapping[str, npt.NDArray[Any]]
"""The arrays of a batch by name, in the order in which a training step takes them; the last is the target."""


LOSSES = ("loss", "train_loss", "total_loss", "cost")
"""Names in common use for the loss in a dict of several results."""


@dataclass(frozen=True)
class Places:
    """Where a network keeps its parameters, with their gradients, and its running statistics; valid for every network from the same factory."""

    params: Mapping[str, Kept]
    buffers: Mapping[str, Path]


def places_in(declared: WholeStep, trained: WholeStep, count: int) -> Places:
    """Return where a new network keeps its arrays.

    Parameters
    ----------
    declared, trained : WholeStep
        A new network, and another one from the same factory that has done a step, after which gradients may be in it that were not there before.
    count : int
        The number of parameters of the reference. If there are more arrays, those that stand among zeros alone, as an optimizer's averages do at the
        start, are left out.
    """
    root, after = _root(declared), {one.path: one for one in find(_root(trained)).values()}
    kept = {name: one if one.seen else after.get(one.path, one) for name, one in find(root).items()}
    chosen = {name: one for name, one in kept.items() if one.grad is not None and one.seen} or kept
    if len(chosen) > count:
        filled = {one.path[:-1] for one in chosen.values() if np.any(one.read(root))}
        chosen = {name: one for name, one in chosen.items() if one.path[:-1] in filled}
    statistics = {dotted(path).removeprefix("buffers."): path for path, _ in arrays_in(root) if is_statistic(str(path[-1]))}
    return Places(chosen, statistics)


def shapes_in(declared: WholeStep, places: Places) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """Return the shapes of a network's parameters and running statistics by name."""
    root = _root(declared)
    return (
        {name: np.shape(one.read(root)) for name, one in places.params.items()},
        {name: np.shape(read(root, path)) for name, path in places.buffers.items()},
    )


class WholeNetwork:
    """A network that does whole training steps.

    Parameters
    ----------
    declared : WholeStep
        How the network is trained.
    places : Places
        Where its arrays are.
    params, buffers : mapping of str to Parameter
        The parameters and running statistics by the subject's names.
    batch : mapping of str to Layout
        The layouts of the arrays of a batch; one that is not named keeps its axes.
    """

    def __init__(
        self, declared: WholeStep, places: Places, params: Mapping[str, Parameter], buffers: Mapping[str, Parameter], batch: Mapping[str, Layout]
    ) -> None:
        self._declared, self._places, self._params, self._buffers, self._batch = declared, places, dict(params), dict(buffers), dict(batch)
        self._shapes = {name: np.shape(value) for name, value in self._read().items()}
        self._returned: dict[str, Any] = {}
        self.one_sample, self.source = declared.one_sample, source(declared.step)

    @property
    def _root(self) -> Any:
        return _root(self._declared)

    def load(self, params: Mapping[str, Array]) -> None:
        """Set the parameters, named as in the reference and in its layout. Running statistics start as the network's own code starts them."""
        with contained("setting the parameters"):
            root = self._root
            for name, value in to_subject(self._params, params).items():
                self._places.params[name].write(root, value)

    def _read(self) -> dict[str, Any]:
        """Return the parameters by the subject's names; raise :class:`SubjectError` if one is not where it was in the first network."""
        root, found = self._root, dict[str, Any]()
        for name in self._params:
            try:
                found[name] = self._places.params[name].read(root)
            except (LookupError, AttributeError) as error:
                raise SubjectError(f"the network's {name} is missing, expected it where it was in the first network and as at the start") from error
        return found

    @property
    def params(self) -> dict[str, Array]:
        """Copies of the parameters, named as in the reference and in its layout."""
        values = same_parameters(self._read(), self._shapes, "the network")
        return {parameter.name: np.array(parameter.layout.to_reference(values[name])) for name, parameter in self._params.items()}

    @property
    def buffers(self) -> dict[str, Array]:
        """Copies of the running statistics."""
        with contained("reading the running statistics"):
            root = self._root
            kept = {name: read(root, self._places.buffers[name]) for name in self._buffers}
        return {buffer.name: buffer.layout.received(kept[name], name, np.dtype(np.float64)) for name, buffer in self._buffers.items()}

    def grads(self, dtype: np.dtype[Any]) -> dict[str, Array]:
        """Return copies of the gradients that the last step returned or left behind; a parameter without one is missing."""
        with contained("reading the gradients"):
            if returns_arrays(self._declared.grads):
                self._declared.grads()  # what it raises is an error now, after a step
            root = self._root
            found = {name: self._places.params[name].read_grad(root) for name in self._params} | self._returned
        shown = {name: parameter for name, parameter in self._params.items() if found.get(name) is not None}
        return {parameter.name: parameter.layout.received(found[name], f"the gradient of {name}", dtype) for name, parameter in shown.items()}

    def arguments(self, batch: Batch) -> list[Any]:
        """Return copies of a batch's arrays in the subject's layout, without the axis of samples if the subject takes one sample.

        Raises
        ------
        ValueError
            If the subject takes one sample and the batch has several.
        """
        if self.one_sample and (several := [name for name, value in batch.items() if len(value) != 1]):
            raise ValueError(f"{several[0]} has {len(batch[several[0]])} samples, expected 1: the subject trains on one sample at a time")
        own = [np.array(self._batch.get(name, Layout()).to_subject(value, self.one_sample), order="C") for name, value in batch.items()]
        return [value.item() if self.one_sample and not value.ndim else value for value in own]

    def train(self, arguments: list[Any], dtype: np.dtype[Any], events: list[Event] | None = None) -> Array | None:
        """Do one training step and return the loss, an array of shape (); None if the step returns nothing.

        Parameters
        ----------
        events : list, optional
            Gets what the network's layers take and return in this step, in order.

        Raises
        ------
        SubjectError
            If the subject raises, or returns something that is no number.
        """
        with observed([self._root, self._declared.step], events), contained("the training step"):
            returned = self._declared.step(*arguments)
        several = list(returned) if isinstance(returned, tuple | list) else [returned]
        self._returned = next((dict(one) for one in several if isinstance(one, Mapping) and set(one) & set(self._params)), {})
        loss = several[0] if several else None
        if isinstance(loss, Mapping):
            loss = next((loss[name] for name in LOSSES if name in loss), None)
        return None if loss is None else one_number(as_array(loss, "the loss", dtype)).astype(dtype)

    def step(self, x: Array, labels: Labels) -> Array:
        """Do one training step on a batch of inputs and labels, and return the loss; raise :class:`SubjectError` if there is none."""
        loss = self.train(self.arguments({"input": x, "labels": labels}), x.dtype)
        return as_array(loss, "the loss", x.dtype)

    @property
    def predicts(self) -> bool:
        """Whether the network has a function that predicts."""
        return self._declared.predict is not None

    def predict(self, batch: Batch, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return what the network predicts for the inputs of a batch, in its own layout."""
        assert self._declared.predict is not None
        arguments = self.arguments(batch)
        with contained("predicting"):
            value = self._declared.predict(*(arguments[:-1] or arguments))
        return as_array(value[0] if isinstance(value, tuple) and value else value, "the prediction", dtype)


def _root(declared: WholeStep) -> Any:
    """Return the object graph that holds a network's arrays now. Gradients may be missing, as before the first step."""
    kept = {"params": declared.params, "grads": declared.grads, "buffers": declared.buffers}
    if declared.grads is None and declared.buffers is None and not returns_arrays(declared.params) and not _collects(declared.params):
        return declared.params
    found = dict[str, Any]()
    for name, value in kept.items():
        with suppress(SubjectError) if name == "grads" else nullcontext(), contained("reading the network's arrays"):
            if value is not None:
                found[name] = value() if returns_arrays(value) else value
    return found


def _collects(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)
