"""Recognise how an optimizer is called that is declared without an adapter: each way is tried on two tiny steps.

A way works if every parameter has changed after both and keeps its shape. Ways that lead to the same numbers are one way. If not exactly one is left,
the error lists the ways to declare one.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from crosscheck.adapters.convention import ConventionError, methods_in_words, title_of
from crosscheck.adapters.optimizers import Holding, OptimizerConvention, UpdateFunction, Updater, is_function
from crosscheck.core.guard import SubjectError, contained
from crosscheck.core.operation import Shape
from crosscheck.core.precision import Array

_METHODS = ("step", "update", "update_params", "update_parameters", "apply_gradients", "apply", "__call__")
"""The usual names of the method that does a step."""

_HELD = ("dict", "list", "objects", "layers", "layer")
_HANDED = ("dict", "list", "array", "named array", "layer", "layers", "objects")
_STATES = ("array", "dict", "list")
_EMPTY: tuple[Any, ...] = ({}, None)
"""The states before the first step that update functions with explicit state expect."""

_Way = tuple[str, OptimizerConvention]
"""A declaration as text, and what it declares."""


def recognise_optimizer(subject: Any, shapes: Mapping[str, Shape]) -> tuple[OptimizerConvention, str]:
    """Return the adapter that fits an optimizer, and its declaration as text, which is empty if it was declared.

    ``shapes`` are those of its parameters.

    Raises
    ------
    ConventionError
        If not exactly one way of calling it works.
    """
    if callable(getattr(subject, "stepper", None)):
        convention: OptimizerConvention = subject
        return convention, ""
    found: list[tuple[_Way, list[Array]]] = []
    for way in _ways(subject):
        results = _tried(way[1], shapes)
        if results is not None and not any(_same(results, others) for _, others in found):
            found.append((way, results))
    if len(found) == 1:
        (text, convention), _ = found[0]
        return convention, text
    name = _name_of(subject)
    if found:
        ways = "\n".join(f"    subject={text}" for (text, _), _ in found)
        raise ConventionError(f"{name} can be called in {len(found)} ways, which lead to different numbers; declare one of them:\n{ways}")
    methods = "" if callable(subject) else f"; its methods are {methods_in_words(subject)}"
    raise ConventionError(
        f"{name} is not an optimizer that crosscheck can call: in no usual way do two steps change every parameter{methods}; say how to call it:\n"
        + "\n".join(f"    subject={text}" for text in _templates(subject, name, shapes))
    )


def _ways(subject: Any) -> Iterator[_Way]:
    """Yield the ways in which an optimizer may be called, the likeliest first."""
    name = _name_of(subject)
    if is_function(subject) or isinstance(subject, type):
        for takes in () if isinstance(subject, type) else _HANDED:
            yield f"Updater({name}{_as(takes, 'dict')})", Updater(subject, "__call__", takes)
        for takes in () if isinstance(subject, type) else _STATES:
            for state in _EMPTY:
                yield f"UpdateFunction({name}, {state}{_as(takes, 'array')})", UpdateFunction(subject, state, takes)
        for takes in _HELD:
            for step in _METHODS:
                yield f"Holding({name}{_method(step, 'step')}{_as(takes, 'dict')})", Holding(subject, step, takes)
        return
    for step in _METHODS:
        if callable(getattr(subject, step, None)):
            for takes in _HANDED:
                yield f"Updater({name}(...){_method(step, 'update')}{_as(takes, 'dict')})", Updater(subject, step, takes)


def _templates(subject: Any, name: str, shapes: Mapping[str, Shape]) -> list[str]:
    """Return declarations to fill in, the likeliest first: for a function, those that work with a third argument, a learning rate."""
    objects = [f"Updater({name}(...), 'METHOD')", f"Updater({name}(...), 'METHOD', takes='list')", f"Updater({name}(...), 'METHOD', takes='array')"]
    holding = [f"Holding(lambda params: {name}(params, lr=0.1))", f"Holding(lambda params: {name}(params, lr=0.1), takes='list')"]
    if isinstance(subject, type):
        return [*holding, *objects]
    if not is_function(subject):
        return [*objects, *holding]

    def at_rate(params: Any, grads: Any) -> Any:
        return subject(params, grads, 0.1)

    functions = {
        f"Updater(lambda params, grads: {name}(params, grads, 0.1))": Updater(at_rate),
        f"Updater(lambda params, grads: {name}(params, grads, 0.1), takes='list')": Updater(at_rate, takes="list"),
        f"Updater(lambda w, dw: {name}(w, dw, 0.1), takes='array')": Updater(at_rate, takes="array"),
        f"UpdateFunction({name}, {{'learning_rate': 0.1}})": UpdateFunction(subject, {"learning_rate": 0.1}),
        f"UpdateFunction({name}, {{}}, takes='dict')": UpdateFunction(subject, {}, "dict"),
    }
    return [*sorted(functions, key=lambda text: _tried(functions[text], shapes) is None), *holding]


def _tried(convention: OptimizerConvention, shapes: Mapping[str, Shape]) -> list[Array] | None:
    """Return the parameters after each of two steps; None if the optimizer cannot be called in this way."""
    rng = np.random.default_rng(0)
    params, *grads = ({name: rng.standard_normal(shape) for name, shape in shapes.items()} for _ in range(3))
    results: list[Array] = []
    start: dict[str, Array] = {name: value.copy() for name, value in params.items()}
    try:
        with contained("trying it"), np.errstate(all="ignore"):
            stepper = convention.stepper(dict(params))
            for given in grads:
                stepper.step({name: value.copy() for name, value in given.items()})
                after = stepper.params()
                if not all(_alike(value, after[name]) for name, value in start.items()):
                    return None
                results.extend(np.array(after[name]) for name in start)
    except (SubjectError, ConventionError):
        return None
    # The first step alone may change nothing, as with a learning rate that rises from 0.
    return None if any(_same([before], [after]) for before, after in zip(start.values(), results[len(start) :], strict=True)) else results


def _alike(before: Array, after: Any) -> bool:
    """Return whether an optimizer left an array of floats with the shape of the parameter."""
    return isinstance(after, np.ndarray) and after.shape == before.shape and after.dtype.kind == "f"


def _same(one: list[Array], other: list[Array]) -> bool:
    return all(np.array_equal(mine, theirs, equal_nan=True) for mine, theirs in zip(one, other, strict=True))


def _name_of(subject: Any) -> str:
    if not isinstance(subject, type) and not is_function(subject):
        return type(subject).__name__
    name = title_of(subject)
    return "subject" if inspect.isfunction(subject) and name == "<lambda>" else getattr(getattr(subject, "func", None), "__name__", name)


def _as(takes: str, usual: str) -> str:
    return "" if takes == usual else f", takes={takes!r}"


def _method(name: str, usual: str) -> str:
    return "" if name in (usual, "__call__") else f", {name!r}"
