"""Adapters for optimizers: objects that hold the parameters, objects or functions that get them in each step, and functions with explicit state.

Each takes parameters and gradients in one of the forms of :mod:`crosscheck.adapters.optimizer_forms`, which ``takes`` names. The harness makes a
fresh optimizer for each run and does several steps with gradients that it chooses, so that a wrong state shows in later steps.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from crosscheck.adapters.convention import ConventionError, copied, method, positional, title_of, two_results
from crosscheck.adapters.convention import takes as taken
from crosscheck.adapters.optimizer_forms import FORMS, AsArray, AsDict
from crosscheck.core.guard import SubjectError, source
from crosscheck.core.precision import Array


class Stepper(Protocol):
    """A fresh optimizer together with its parameters."""

    @property
    def elsewhere(self) -> bool:
        """Whether the steps so far returned new parameters, or put them into objects, so that the caller's arrays need not change."""

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
    """An optimizer that holds the parameters: ``make(params)``, then ``step(grads)``; with ``takes="objects"`` or ``"layers"``, ``step()``.

    If ``step`` takes nothing although the parameters carry no gradients, these are written to the optimizer's attribute ``grads`` or, if ``make`` has
    a second argument for them, into the arrays that it got.

    Parameters
    ----------
    make : callable
        Gets the parameters and returns the optimizer.
    step : str
        Name of the method that does a step.
    takes : {"dict", "list", "objects", "layer", "layers"}
        The form of the parameters and gradients: dicts by name, lists, a list of objects with ``data`` and ``grad``, or a layer (a list of layers)
        with the attributes ``W``, ``b``, ``dW``, ``db`` and other usual names.
    """

    make: Callable[..., Any]
    step: str = "step"
    takes: str = "dict"

    def __post_init__(self) -> None:
        _expect_form(self.takes, "array", "named array")

    @property
    def code(self) -> Callable[..., Any]:
        """The function or class that makes the optimizer."""
        return self.make

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return a fresh optimizer."""
        form = FORMS[self.takes](params)
        kept = {name: np.zeros_like(value) for name, value in params.items()}
        given = form.given(kept) if _takes_gradients(self.make) else ()
        optimizer = self.make(form.held(), *given)
        step = method(optimizer, self.step)
        bare = not positional(step)

        def do(grads: dict[str, Array]) -> None:
            for name, value in kept.items():
                value[...] = grads[name]
            arguments = form.given(grads)
            if arguments and bare and not given:
                optimizer.grads = arguments[0]
            step(*(() if bare else arguments))

        return _ObjectStepper(optimizer, form, do)


@dataclass(frozen=True)
class Updater(OptimizerConvention):
    """An optimizer or a function that gets parameters and gradients in each step: ``update(params, grads)``.

    It updates the parameters in place or returns new ones.

    Parameters
    ----------
    optimizer : object or callable
        The optimizer, which is copied for each run, or a function.
    update : str
        Name of the method that does a step; a function is called itself.
    takes : {"dict", "list", "array", "named array", "objects", "layer", "layers"}
        As for :class:`Holding`; with ``"array"`` it is called once for each parameter, ``update(w, dw)``, with ``"named array"`` with the parameter's
        name first.
    """

    optimizer: Any
    update: str = "update"
    takes: str = "dict"

    def __post_init__(self) -> None:
        _expect_form(self.takes)
        if not is_function(self.optimizer):
            method(self.optimizer, self.update)

    @property
    def title(self) -> str:
        """The name of the class or function."""
        return title_of(self.optimizer.func if isinstance(self.optimizer, functools.partial) else self.optimizer)

    @property
    def code(self) -> Any:
        """The method or function that does a step."""
        return self.optimizer if is_function(self.optimizer) else getattr(self.optimizer, self.update)

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return a fresh optimizer."""
        form, optimizer = FORMS[self.takes](params), self.optimizer if is_function(self.optimizer) else copied(self.optimizer)
        update = optimizer if is_function(optimizer) else getattr(optimizer, self.update)

        def do(grads: dict[str, Array]) -> None:
            for arguments, take in form.calls(grads):
                take(update(*arguments))

        return _ObjectStepper(optimizer, form, do)


class _ObjectStepper:
    """An optimizer object, its parameters, and the function that does a step with gradients."""

    def __init__(self, optimizer: Any, form: AsDict, update: Callable[[dict[str, Array]], Any]) -> None:
        self._optimizer, self._form, self._update = optimizer, form, update

    @property
    def elsewhere(self) -> bool:
        return self._form.elsewhere

    def step(self, grads: dict[str, Array]) -> None:
        self._update(grads)

    def params(self) -> dict[str, Any]:
        return self._form.read()

    def state(self, name: str) -> Mapping[str, Any]:
        """Return the arrays in the attribute called ``name``: a dict keyed by parameter names, or a list in the order of the parameters."""
        optimizer, found = self._optimizer, getattr(self._optimizer, name, None)
        if (arrays := _by_name(found, self.params())) is not None:
            return arrays
        attributes = getattr(optimizer, "__dict__", {})
        held = ", ".join(key for key, value in attributes.items() if isinstance(value, Mapping | list | tuple)) or "none"
        is_what = f"is a {type(found).__name__}" if hasattr(optimizer, name) else "does not exist"
        title = title_of(optimizer)
        raise SubjectError(f"{title}.{name} {is_what}, expected a dict or list with an array for each parameter; dicts and lists of {title}: {held}")


def _by_name(found: Any, params: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return a dict, or a list in the order of the parameters, as a mapping by name; None for anything else."""
    if isinstance(found, Mapping):
        return found
    return dict(zip(params, found, strict=True)) if isinstance(found, list | tuple) and len(found) == len(params) else None


@dataclass(frozen=True)
class UpdateFunction(OptimizerConvention):
    """A function with explicit state: ``update(w, dw, config) -> w, config``, called for each parameter, or once with all of them.

    Parameters
    ----------
    config : mapping or any value
        The configuration or state before the first step. It is copied, for each parameter if the function gets one parameter.
    takes : {"array", "dict", "list"}
        ``"array"``: one parameter; otherwise ``update(params, grads, state) -> params, state``, with dicts or lists.
    """

    function: Callable[..., Any]
    config: Any = field(default_factory=dict)
    takes: str = "array"

    def __post_init__(self) -> None:
        _expect_form(self.takes, "named array", "objects", "layer", "layers")

    @property
    def code(self) -> Callable[..., Any]:
        """The function that does a step."""
        return self.function

    def stepper(self, params: dict[str, Array]) -> Stepper:
        """Return the function with a separate configuration for each call of a step."""
        return _FunctionStepper(self, FORMS[self.takes](params))


class _FunctionStepper:
    elsewhere = True

    def __init__(self, convention: UpdateFunction, form: AsDict) -> None:
        self._convention, self._form = convention, form
        self._each = isinstance(form, AsArray)
        self._configs: dict[str, Any] = {name: copy.deepcopy(convention.config) for name in (form.read() if self._each else ("",))}

    def step(self, grads: dict[str, Array]) -> None:
        title, shown = self._convention.title, "(w, config)" if self._each else "(params, state)"
        for name, (arguments, take) in zip(self._configs, self._form.calls(grads), strict=True):
            result = self._convention.function(*arguments, self._configs[name])
            params, config = two_results(result, title, shown)
            if self._each and not isinstance(config, Mapping) and isinstance(self._convention.config, Mapping):
                raise SubjectError(f"{title} returned (w, {type(config).__name__}), expected (w, config) with config a dict")
            if self._each:
                self._form.arrays[name] = params
            else:
                take(params)
            self._configs[name] = dict(config) if isinstance(config, Mapping) else config

    def params(self) -> dict[str, Any]:
        return self._form.read()

    def state(self, name: str) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for param, config in self._configs.items():
            whose = f"the config of the parameter {param!r}" if self._each else "the state"
            if not isinstance(config, Mapping) or name not in config:
                keys = ", ".join(map(str, config)) if isinstance(config, Mapping) else ""
                raise SubjectError(f"{whose} has no key {name!r}; its keys are {keys or 'none'}")
            found[param] = config[name]
        if self._each:
            return found
        if (arrays := _by_name(found[""], self.params())) is None:
            raise SubjectError(f"the state {name!r} is a {type(found['']).__name__}, expected a dict or list with an array for each parameter")
        return arrays


def is_function(optimizer: Any) -> bool:
    """Return whether an optimizer is a function, and not an object with a method."""
    return inspect.isroutine(optimizer) or isinstance(optimizer, functools.partial)


def _expect_form(name: str, *excluded: str) -> None:
    known = [form for form in FORMS if form not in excluded]
    if name not in known:
        raise ConventionError(f"takes is {name!r}, expected one of {', '.join(map(repr, known))}")


def _takes_gradients(make: Callable[..., Any]) -> bool:
    """Return whether the second argument of a function that makes an optimizer is the gradients, by its name."""
    arguments = positional(make)
    return taken(arguments, 2) == 2 and len(arguments) > 1 and "grad" in arguments[1].name.lower()
