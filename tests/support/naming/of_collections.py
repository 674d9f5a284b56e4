"""Styles that keep parameters in dicts, lists, tuples or objects of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from crosscheck.core.precision import Array
from tests.support.naming.style import Style


def dicts(params: str, grads: str, names: str, grad_names: str = "", empty: bool = True) -> type[Style]:
    """Return a style of two dicts; ``empty`` says whether that of the gradients is empty before a backward pass."""

    class InDicts(Style):
        def hold(self, *arrays: Array) -> None:
            vars(self)[params] = dict(zip(names.split(), arrays, strict=True))
            vars(self)[grads] = {} if empty else {name: np.zeros_like(a) for name, a in zip((grad_names or names).split(), arrays, strict=True)}

        def held(self) -> Any:
            return vars(self)[params].values()

        def store(self, *found: Any) -> None:
            vars(self)[grads] = dict(zip((grad_names or names).split(), found, strict=True))

    return InDicts


class Lists(Style):
    """Two lists in the same order."""

    def hold(self, *arrays: Array) -> None:
        self.params, self.grads = [*arrays], [np.zeros_like(array) for array in arrays]

    def held(self) -> Any:
        return self.params

    def store(self, *grads: Any) -> None:
        self.grads = [*grads]


class EmptyLists(Lists):
    """The list of gradients is filled by the first backward pass."""

    def hold(self, *arrays: Array) -> None:
        self.params, self.grads = [*arrays], []


class Tuples(Style):
    """Two tuples; that of the gradients is None before the first backward pass."""

    def hold(self, *arrays: Array) -> None:
        self.parameters, self.gradients = arrays, None

    def held(self) -> Any:
        return self.parameters

    def store(self, *grads: Any) -> None:
        self.gradients = grads  # type: ignore[assignment]


class ListsOfKinds(Style):
    """A list of weights and a list of biases, as for a whole network."""

    def hold(self, *arrays: Array) -> None:
        self.weights, self.biases = [arrays[0]], [arrays[1]]

    def held(self) -> Any:
        return *self.weights, *self.biases

    def store(self, *grads: Any) -> None:
        self.d_weights, self.d_biases = [grads[0]], [grads[1]]


class DictAndAttributes(Style):
    """A dict of parameters, and gradients in attributes."""

    def hold(self, *arrays: Array) -> None:
        self.params = {"W": arrays[0], "b": arrays[1]}

    def held(self) -> Any:
        return self.params.values()

    def store(self, *grads: Any) -> None:
        self.dW, self.db = grads


class Param:
    """A parameter with its gradient."""

    def __init__(self, data: Array) -> None:
        self.data, self.grad = data, None


class Objects(Style):
    """Parameter objects in attributes."""

    def hold(self, *arrays: Array) -> None:
        self.W, self.b = map(Param, arrays)

    def held(self) -> Any:
        return self.W.data, self.b.data

    def store(self, *grads: Any) -> None:
        self.W.grad, self.b.grad = grads


class ListOfObjects(Style):
    """Parameter objects in a list."""

    def hold(self, *arrays: Array) -> None:
        self._list = [Param(array) for array in arrays]

    def held(self) -> Any:
        return [param.data for param in self._list]

    def store(self, *grads: Any) -> None:
        for param, grad in zip(self._list, grads, strict=True):
            param.grad = grad

    def parameters(self) -> list[Param]:
        return self._list


class Value:
    """A parameter with other names."""

    def __init__(self, value: Array) -> None:
        self.value, self.gradient = value, np.zeros_like(value)


class DictOfObjects(Style):
    """Parameter objects in a dict."""

    def hold(self, *arrays: Array) -> None:
        self.params = {"W": Value(arrays[0]), "b": Value(arrays[1])}

    def held(self) -> Any:
        return [param.value for param in self.params.values()]

    def store(self, *grads: Any) -> None:
        for param, grad in zip(self.params.values(), grads, strict=True):
            param.gradient = grad


class DictOfDicts(Style):
    """For each parameter a dict of its value and its gradient."""

    def hold(self, *arrays: Array) -> None:
        self.params: dict[str, dict[str, Any]] = {name: {"value": array, "grad": None} for name, array in zip("Wb", arrays, strict=True)}

    def held(self) -> Any:
        return [param["value"] for param in self.params.values()]

    def store(self, *grads: Any) -> None:
        for param, grad in zip(self.params.values(), grads, strict=True):
            param["grad"] = grad


class Pairs(Style):
    """Pairs of a parameter and its gradient."""

    def hold(self, *arrays: Array) -> None:
        self._arrays, self._slopes = arrays, [np.zeros_like(array) for array in arrays]

    def held(self) -> Any:
        return self._arrays

    def store(self, *grads: Any) -> None:
        for slope, grad in zip(self._slopes, grads, strict=True):
            slope[...] = np.nan if grad is None else grad

    def parameters(self) -> list[tuple[Array, Array]]:
        return [*zip(self._arrays, self._slopes, strict=True)]


class GeneratedPairs(Pairs):
    """The same from a generator, as in joelnet."""

    parameters = None  # type: ignore[assignment]

    def params_and_grads(self) -> Iterator[tuple[Array, Array]]:
        yield from zip(self._arrays, self._slopes, strict=True)
