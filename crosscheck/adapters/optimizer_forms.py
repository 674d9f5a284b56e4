"""The forms in which optimizers take parameters and gradients: dicts, lists, single arrays, parameter objects and layer objects.

A form holds the current parameters. It presents them and the gradients as the optimizer expects them, and reads what a step has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from crosscheck.core.guard import SubjectError
from crosscheck.core.precision import Array

Take = Callable[[Any], None]
"""Gets what a call returned, and stores the new parameters if it returned any."""


class AsDict:
    """Dicts of arrays by name; the optimizer changes the dict or its arrays, or returns a new dict."""

    expected = "a dict with an array for each parameter"

    def __init__(self, params: dict[str, Array]) -> None:
        self.arrays: dict[str, Any] = params
        self.returned = False  # whether the optimizer returned new parameters

    @property
    def elsewhere(self) -> bool:
        """Whether the new parameters are not expected in the caller's arrays, because they were returned or put into an object."""
        return self.returned

    def held(self) -> Any:
        """Return the parameters as an optimizer gets them."""
        return self.arrays

    def given(self, grads: dict[str, Array]) -> tuple[Any, ...]:
        """Return the arguments for the gradients; none if the parameters carry their gradients."""
        return (grads,)

    def calls(self, grads: dict[str, Array]) -> Iterator[tuple[tuple[Any, ...], Take]]:
        """Yield the arguments of each call of a step, and a function that takes its result."""
        yield (self.held(), *self.given(grads)), self.take

    def take(self, result: Any) -> None:
        """Store the parameters that a call returned; None means that it changed them in place."""
        if result is None:
            return
        if not self.fits(result):
            raise SubjectError(f"a step returned {_described(result)}, expected {self.expected}, or nothing if it changes the parameters in place")
        self.returned = self.returned or result is not self.held()
        self.put(result)

    def fits(self, result: Any) -> bool:
        """Return whether a result has the form of the parameters."""
        return isinstance(result, Mapping) and self.arrays.keys() <= result.keys()

    def put(self, result: Any) -> None:
        """Store new parameters."""
        self.arrays.update({name: result[name] for name in self.arrays})

    def read(self) -> dict[str, Any]:
        """Return the current parameters by name."""
        return self.arrays


class AsList(AsDict):
    """Lists of arrays, parameters and gradients in the same order."""

    expected = "a list with an array for each parameter"

    def __init__(self, params: dict[str, Array]) -> None:
        super().__init__(params)
        self.list: list[Any] = list(params.values())

    @property
    def elsewhere(self) -> bool:
        """Whether the new parameters were returned or put into the list."""
        return any(new is not self.arrays[name] for name, new in self.read().items())

    def held(self) -> Any:
        """Return what the optimizer gets as its parameters."""
        return self.list

    def given(self, grads: dict[str, Array]) -> tuple[Any, ...]:
        """Return the list of the gradients."""
        return (list(grads.values()),)

    def fits(self, result: Any) -> bool:
        """Return whether a result has the form of the parameters."""
        return isinstance(result, list | tuple) and len(result) == len(self.list)

    def put(self, result: Any) -> None:
        """Store new parameters."""
        self.list[:] = list(result)

    def read(self) -> dict[str, Any]:
        """Return the current parameters by name."""
        return dict(zip(self.arrays, self.list, strict=True))


class AsArray(AsDict):
    """One call for each parameter: ``(w, dw)``; the array is changed in place, or a new one is returned."""

    named = False

    def __init__(self, params: dict[str, Array]) -> None:
        super().__init__(dict(params))

    def calls(self, grads: dict[str, Array]) -> Iterator[tuple[tuple[Any, ...], Take]]:
        """Yield a call for each parameter."""
        for name in self.arrays:
            label = (name,) if self.named else ()
            yield (*label, self.arrays[name], grads[name]), partial(self._take_one, name)

    def _take_one(self, name: str, result: Any) -> None:
        if result is not None:
            self.returned = self.returned or result is not self.arrays[name]
            self.arrays[name] = result


class AsNamedArray(AsArray):
    """One call for each parameter, with its name first: ``("weight", w, dw)``."""

    named = True


class Parameter:
    """A parameter as an object: ``data`` and ``grad``, or ``value`` in place of ``data``."""

    def __init__(self, data: Array) -> None:
        self.data: Any = data
        self.grad: Any = None

    @property
    def value(self) -> Any:
        """The same as ``data``."""
        return self.data

    @value.setter
    def value(self, value: Any) -> None:
        self.data = value


class AsObjects(AsList):
    """A list of objects with ``data`` and ``grad``."""

    def __init__(self, params: dict[str, Array]) -> None:
        super().__init__(params)
        self.objects = {name: Parameter(value) for name, value in params.items()}

    def held(self) -> Any:
        """Return what the optimizer gets as its parameters."""
        return list(self.objects.values())

    def given(self, grads: dict[str, Array]) -> tuple[Any, ...]:
        """Return the arguments for the gradients; none, because the parameters now carry them."""
        for name, one in self.objects.items():
            one.grad = grads[name]
        return ()

    def take(self, result: Any) -> None:
        """Ignore what the step returned: the objects hold the parameters."""

    def read(self) -> dict[str, Any]:
        """Return the current parameters by name."""
        return {name: one.data for name, one in self.objects.items()}


_FAMILIES = (("weight", "W", "w", "weights", "kernel"), ("bias", "b", "biases"))
"""Names of the attributes of a layer that mean the same parameter."""


class _Layer:
    """A layer with its parameters and gradients as attributes, ``W`` and ``dW``, in dicts and in pairs; all of these are the same arrays."""

    def __init__(self, params: dict[str, Array]) -> None:
        names: dict[str, tuple[str, str]] = {}
        for name in params:
            for alias in next((family for family in _FAMILIES if name in family), (name,)):
                names[alias] = ("params", name)
                names.update(dict.fromkeys((f"d{alias}", f"d_{alias}", f"grad_{alias}", f"{alias}_grad", f"{alias}_gradient"), ("grads", name)))
        vars(self).update(_names=names, params=params, grads={})

    def __getattr__(self, name: str) -> Any:
        kind, own = vars(self).get("_names", {}).get(name, ("", ""))
        if own not in vars(self).get(kind, {}):
            raise AttributeError(f"this layer has no attribute {name!r}")
        return vars(self)[kind][own]

    def __setattr__(self, name: str, value: Any) -> None:
        kind, own = self._names.get(name, ("", ""))
        if own:
            vars(self)[kind][own] = value
        else:
            vars(self)[name] = value

    def params_and_grads(self) -> Iterator[tuple[Any, Any]]:
        """Yield each parameter with its gradient."""
        for name, value in self.params.items():
            yield value, self.grads[name]


class AsLayer(AsList):
    """A layer object that holds parameters and gradients, under the usual names."""

    def __init__(self, params: dict[str, Array]) -> None:
        super().__init__(params)
        self.layer = _Layer(dict(params))

    def held(self) -> Any:
        """Return what the optimizer gets as its parameters."""
        return self.layer

    def given(self, grads: dict[str, Array]) -> tuple[Any, ...]:
        """Return the arguments for the gradients; none, because the parameters now carry them."""
        self.layer.grads = dict(grads)
        return ()

    def take(self, result: Any) -> None:
        """Ignore what the step returned: the layer holds the parameters."""

    def read(self) -> dict[str, Any]:
        """Return the current parameters by name."""
        return dict(self.layer.params)


class AsLayers(AsLayer):
    """A list of layer objects."""

    def held(self) -> Any:
        """Return what the optimizer gets as its parameters."""
        return [self.layer]


FORMS: Mapping[str, type[AsDict]] = {
    "dict": AsDict,
    "list": AsList,
    "array": AsArray,
    "named array": AsNamedArray,
    "objects": AsObjects,
    "layer": AsLayer,
    "layers": AsLayers,
}
"""The forms by the name that a declaration gives them."""


def _described(result: Any) -> str:
    kind = type(result).__name__
    return f"a {kind} of {len(result)}" if isinstance(result, list | tuple | Mapping) else f"a {kind}"
