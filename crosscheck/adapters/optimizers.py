"""Optimizers: objects that hold the parameters, objects that are handed them, functions that are handed one at a time.

Each is made afresh for a run of several steps and steps on gradients that the harness chose, so that its state shows in the steps that follow.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from crosscheck.adapters.convention import copied, method, title_of, two_results
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

    in_place: bool = True
    """Whether the caller's arrays are updated, rather than new ones returned."""

    @property
    def title(self) -> str:
        """What the report calls the subject."""
        made = self.code
        return title_of(made.func if isinstance(made, functools.partial) else made)

    @property
    def code(self) -> Callable[..., Any]:
        """The function whose source a report shows."""

    @property
    def source(self) -> str:
        """Where its code stands."""
        return source(self.code)

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return a fresh optimizer of these parameters."""


@dataclass(frozen=True)
class Holding(OptimizerConvention):
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

    @property
    def code(self) -> Callable[..., Any]:
        """What makes it."""
        return self.make

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return a fresh optimizer."""
        optimizer = self.make(params)
        return _ObjectStepper(optimizer, params, method(optimizer, self.step))


@dataclass(frozen=True)
class Updater(OptimizerConvention):
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

    def __post_init__(self) -> None:
        method(self.optimizer, self.update)

    @property
    def title(self) -> str:
        """The class's name."""
        return type(self.optimizer).__name__

    @property
    def code(self) -> Any:
        """The method."""
        return getattr(self.optimizer, self.update)

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return a fresh optimizer."""
        optimizer = copied(self.optimizer)
        return _ObjectStepper(optimizer, params, functools.partial(getattr(optimizer, self.update), params))


class _ObjectStepper:
    """An optimizer object, the dict of parameters that it updates in place, and what does a step when it is given the gradients."""

    def __init__(self, optimizer: Any, params: dict[str, Array], update: Callable[[dict[str, Array]], Any]) -> None:
        self._optimizer, self._params, self._update = optimizer, params, update

    def step(self, grads: dict[str, Array]) -> None:
        self._update(grads)

    def params(self) -> dict[str, Any]:
        return self._params

    def state(self, name: str) -> Mapping[str, Any]:
        """Return an attribute that holds an array for each parameter: by its name, or in the order of the parameters."""
        optimizer, found = self._optimizer, getattr(self._optimizer, name, None)
        if isinstance(found, Mapping):
            return found
        if isinstance(found, list | tuple) and len(found) == len(self._params):
            return dict(zip(self._params, found, strict=True))
        attributes = getattr(optimizer, "__dict__", {})
        held = ", ".join(key for key, value in attributes.items() if isinstance(value, Mapping | list | tuple)) or "none"
        is_what = f"is a {type(found).__name__}" if hasattr(optimizer, name) else "is not there"
        raise SubjectError(f"{type(optimizer).__name__}.{name} {is_what}, expected a dict of arrays by parameter; its dicts and lists: {held}")


@dataclass(frozen=True)
class UpdateFunction(OptimizerConvention):
    """A function of one parameter: ``update(w, dw, config) -> w, config``, the state kept in the configuration.

    Parameters
    ----------
    config : mapping
        The configuration before the first step; each parameter gets a copy.
    """

    function: Callable[..., Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    in_place = False

    @property
    def code(self) -> Callable[..., Any]:
        """The function."""
        return self.function

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return the parameters, each with a configuration of its own."""
        return _FunctionStepper(self, params)


class _FunctionStepper:
    def __init__(self, convention: UpdateFunction, params: dict[str, Array]) -> None:
        self._convention, self._params = convention, dict(params)
        self._configs = {name: copy.deepcopy(dict(convention.config)) for name in params}

    def step(self, grads: dict[str, Array]) -> None:
        for name, param in self._params.items():
            result = self._convention.function(param, grads[name], self._configs[name])
            self._params[name], config = two_results(result, self._convention.title, "(w, config)")
            if not isinstance(config, Mapping):
                raise SubjectError(f"{self._convention.title} returned a {type(config).__name__} as the configuration, expected a dict")
            self._configs[name] = dict(config)

    def params(self) -> dict[str, Any]:
        return self._params

    def state(self, name: str) -> Mapping[str, Any]:
        for param, config in self._configs.items():
            if name not in config:
                raise SubjectError(f"the configuration of {param!r} has no {name!r}; it holds {', '.join(config) or 'nothing'}")
        return {param: config[name] for param, config in self._configs.items()}
