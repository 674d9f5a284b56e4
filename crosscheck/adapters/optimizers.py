"""Optimizers: objects that hold the parameters, objects that are handed them, functions that are handed one at a time.

Each is made afresh for a run of several steps and steps on gradients that the harness chose, so that its state shows in the steps that follow.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from crosscheck.adapters.convention import copied, method
from crosscheck.core.guard import SubjectError, source
from crosscheck.core.precision import Array


class Stepper(Protocol):
    """An optimizer that was not used before, with parameters to work on."""

    def step(self, grads: dict[str, Array]) -> None:
        """Do one step."""

    def params(self) -> dict[str, Any]:
        """Return the parameters as they are now."""

    def state(self, name: str) -> Mapping[str, Any]:
        """Return one array of the optimizer's state for each parameter.

        Raises
        ------
        SubjectError
            If it keeps no such state.
        """


class OptimizerConvention(Protocol):
    """A subject and how it is called."""

    @property
    def title(self) -> str:
        """What the report calls the subject."""

    @property
    def source(self) -> str:
        """Where its code stands."""

    @property
    def in_place(self) -> bool:
        """Whether the caller's arrays are updated, rather than new ones returned."""

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return a fresh optimizer of these parameters."""


@dataclass(frozen=True)
class Holding:
    """An optimizer made with the parameters, a dict whose arrays it updates: ``make(params)``, ``step(grads)``.

    Parameters
    ----------
    make : callable
        Gets a dict of arrays, returns the optimizer.
    step : str
        The method's name.
    """

    make: Callable[[dict[str, Array]], Any]
    step: str = "step"
    in_place: bool = field(default=True, init=False)

    @property
    def title(self) -> str:
        """The name of what makes it."""
        return _title(self.make)

    @property
    def source(self) -> str:
        """Where it is defined."""
        return source(self.make)

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return a fresh optimizer."""
        return _Holder(self, params)


class _Holder:
    def __init__(self, convention: Holding, params: dict[str, Array]) -> None:
        self._params = params
        self._optimizer = convention.make(params)
        self._step = method(self._optimizer, convention.step)

    def step(self, grads: dict[str, Array]) -> None:
        self._step(grads)

    def params(self) -> dict[str, Any]:
        return self._params

    def state(self, name: str) -> Mapping[str, Any]:
        return _by_param(self._optimizer, name, self._params)


@dataclass(frozen=True)
class Updater:
    """An optimizer that is handed everything: ``update(params, grads)``, both dicts, the parameters updated in place.

    Parameters
    ----------
    optimizer : object
        Copied for each run.
    update : str
        The method's name.
    """

    optimizer: Any
    update: str = "update"
    in_place: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        method(self.optimizer, self.update)

    @property
    def title(self) -> str:
        """The class's name."""
        return type(self.optimizer).__name__

    @property
    def source(self) -> str:
        """Where the method is defined."""
        return source(method(self.optimizer, self.update))

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return a fresh optimizer."""
        return _Updating(copied(self.optimizer), self.update, params)


class _Updating:
    def __init__(self, optimizer: Any, update: str, params: dict[str, Array]) -> None:
        self._optimizer, self._update, self._params = optimizer, method(optimizer, update), params

    def step(self, grads: dict[str, Array]) -> None:
        self._update(self._params, grads)

    def params(self) -> dict[str, Any]:
        return self._params

    def state(self, name: str) -> Mapping[str, Any]:
        return _by_param(self._optimizer, name, self._params)


@dataclass(frozen=True)
class UpdateFunction:
    """A function of one parameter: ``update(w, dw, config) -> w, config``, the state kept in the configuration.

    Parameters
    ----------
    function : callable
    config : mapping
        The configuration before the first step; each parameter gets a copy.
    """

    function: Callable[..., Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    in_place: bool = field(default=False, init=False)

    @property
    def title(self) -> str:
        """The function's name."""
        return _title(self.function)

    @property
    def source(self) -> str:
        """Where it is defined."""
        return source(self.function)

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return the parameters, each with a configuration of its own."""
        return _Configured(self, params)


class _Configured:
    def __init__(self, convention: UpdateFunction, params: dict[str, Array]) -> None:
        self._convention, self._params = convention, dict(params)
        self._configs = {name: copy.deepcopy(dict(convention.config)) for name in params}

    def step(self, grads: dict[str, Array]) -> None:
        for name, param in self._params.items():
            result = self._convention.function(param, grads[name], self._configs[name])
            if not isinstance(result, tuple | list) or len(result) != 2:
                shown = f"{len(result)} values" if isinstance(result, tuple | list) else f"a {type(result).__name__}"
                raise SubjectError(f"{self._convention.title} returned {shown}, expected (w, config)")
            self._params[name], config = result
            if not isinstance(config, Mapping):
                raise SubjectError(f"{self._convention.title} returned a {type(config).__name__} as the configuration, expected a dict")
            self._configs[name] = dict(config)

    def params(self) -> dict[str, Any]:
        return self._params

    def state(self, name: str) -> Mapping[str, Any]:
        missing = next((param for param, config in self._configs.items() if name not in config), None)
        if missing is not None:
            held = ", ".join(self._configs[missing]) or "nothing"
            raise SubjectError(f"the configuration of {missing!r} has no {name!r}; it holds {held}")
        return {param: config[name] for param, config in self._configs.items()}


def _by_param(optimizer: Any, name: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an attribute that holds an array for each parameter: by its name, or in the order of the parameters."""
    found = getattr(optimizer, name, None)
    if isinstance(found, Mapping):
        return found
    if isinstance(found, list | tuple) and len(found) == len(params):
        return dict(zip(params, found, strict=True))
    attributes = getattr(optimizer, "__dict__", {})
    held = ", ".join(key for key, value in attributes.items() if isinstance(value, Mapping | list | tuple)) or "none"
    is_what = f"is a {type(found).__name__}" if hasattr(optimizer, name) else "is not there"
    raise SubjectError(f"{type(optimizer).__name__}.{name} {is_what}, expected a dict of arrays by parameter; its dicts and lists: {held}")


def _title(function: Callable[..., Any]) -> str:
    function = function.func if isinstance(function, functools.partial) else function
    return getattr(function, "__name__", type(function).__name__)
