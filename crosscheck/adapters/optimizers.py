"""Adapters for optimizers: objects that hold the parameters, objects that get them in each step, and functions that update one parameter.

The harness makes a fresh optimizer for each run and does several steps with gradients that it chooses, so that a wrong state shows in later steps.
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
    """A fresh optimizer together with its parameters."""

    def step(self, grads: dict[str, Array]) -> None:
        """Do one step; ``grads`` holds the gradients by the parameters' names."""

    def params(self) -> dict[str, Any]:
        """Return the current parameters without copying them."""

    def state(self, name: str) -> Mapping[str, Any]:
        """Return the optimizer's state called ``name``, such as a momentum: an array for each parameter, by the parameter's name.

        Raises
        ------
        SubjectError
            If the optimizer has no such state.
        """


class OptimizerConvention(Protocol):
    """An optimizer under test, and the way in which it is called."""

    in_place: bool = True
    """Whether a step updates the caller's arrays instead of returning new ones."""

    @property
    def title(self) -> str:
        """The optimizer's name for reports."""
        made = self.code
        return title_of(made.func if isinstance(made, functools.partial) else made)

    @property
    def code(self) -> Callable[..., Any]:
        """The function or method whose file and line the reports show."""

    @property
    def source(self) -> str:
        """File and line of the code."""
        return source(self.code)

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return a fresh optimizer for these parameters."""


@dataclass(frozen=True)
class Holding(OptimizerConvention):
    """An optimizer that holds a dict of parameters and updates its arrays in place: ``make(params)``, then ``step(grads)``.

    Parameters
    ----------
    make : callable
        Gets the dict of parameters and returns the optimizer.
    step : str
        Name of the method that does a step.
    """

    make: Callable[[dict[str, Array]], Any]
    step: str = "step"

    @property
    def code(self) -> Callable[..., Any]:
        """The function or class that makes the optimizer."""
        return self.make

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return a fresh optimizer."""
        optimizer = self.make(params)
        return _ObjectStepper(optimizer, params, method(optimizer, self.step))


@dataclass(frozen=True)
class Updater(OptimizerConvention):
    """An optimizer that gets parameters and gradients in each step: ``update(params, grads)``, both dicts; it updates the parameters in place.

    Parameters
    ----------
    optimizer : object
        The optimizer. It is copied for each run.
    update : str
        Name of the method that does a step.
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
        """The method that does a step."""
        return getattr(self.optimizer, self.update)

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return a fresh optimizer."""
        optimizer = copied(self.optimizer)
        return _ObjectStepper(optimizer, params, functools.partial(getattr(optimizer, self.update), params))


class _ObjectStepper:
    """An optimizer object, the dict of parameters that it updates in place, and the function that does a step with gradients."""

    def __init__(self, optimizer: Any, params: dict[str, Array], update: Callable[[dict[str, Array]], Any]) -> None:
        self._optimizer, self._params, self._update = optimizer, params, update

    def step(self, grads: dict[str, Array]) -> None:
        self._update(grads)

    def params(self) -> dict[str, Any]:
        return self._params

    def state(self, name: str) -> Mapping[str, Any]:
        """Return the arrays in the attribute called ``name``: a dict keyed by parameter names, or a list in the order of the parameters."""
        optimizer, found = self._optimizer, getattr(self._optimizer, name, None)
        if isinstance(found, Mapping):
            return found
        if isinstance(found, list | tuple) and len(found) == len(self._params):
            return dict(zip(self._params, found, strict=True))
        attributes = getattr(optimizer, "__dict__", {})
        held = ", ".join(key for key, value in attributes.items() if isinstance(value, Mapping | list | tuple)) or "none"
        is_what = f"is a {type(found).__name__}" if hasattr(optimizer, name) else "does not exist"
        title = type(optimizer).__name__
        raise SubjectError(f"{title}.{name} {is_what}, expected a dict or list with an array for each parameter; dicts and lists of {title}: {held}")


@dataclass(frozen=True)
class UpdateFunction(OptimizerConvention):
    """A function that updates one parameter: ``update(w, dw, config) -> w, config``; the state is in ``config``.

    Parameters
    ----------
    config : mapping
        The configuration before the first step, which is copied for each parameter.
    """

    function: Callable[..., Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    in_place = False

    @property
    def code(self) -> Callable[..., Any]:
        """The function that does a step."""
        return self.function

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return the function with a separate configuration for each parameter."""
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
                raise SubjectError(f"{self._convention.title} returned (w, {type(config).__name__}), expected (w, config) with config a dict")
            self._configs[name] = dict(config)

    def params(self) -> dict[str, Any]:
        return self._params

    def state(self, name: str) -> Mapping[str, Any]:
        for param, config in self._configs.items():
            if name not in config:
                raise SubjectError(f"the config of the parameter {param!r} has no key {name!r}; its keys are {', '.join(config) or 'none'}")
        return {param: config[name] for param, config in self._configs.items()}
