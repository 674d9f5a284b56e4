"""Turns references of any kind into oracles; a framework's module is imported only for a reference of that framework.

A reference is a framework's module or function, or anything with a method ``vjp(call)``, the protocol of :class:`crosscheck.core.operation.Oracle`.
"""

from __future__ import annotations

import dis
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from crosscheck.core.operation import InTraining, Oracle, Shape
from crosscheck.core.training import MakeTraining
from crosscheck.oracles.network import Architecture
from crosscheck.oracles.optimizers import SgdSettings
from crosscheck.oracles.optimizers.runs import OptimizerOracle
from crosscheck.references.functions import title

_FRAMEWORKS = {"torch": "pytorch", "jax": "jax", "keras": "keras"}
"""The packages whose modules and functions are known, and the module of :mod:`crosscheck.references` for each."""

_PARTS = {"jaxlib": "jax", "optax": "jax"}
"""Packages that compute with a known one."""


class UnknownReferenceError(ValueError):
    """A reference cannot be used as one."""


@dataclass(frozen=True)
class Reference:
    """A reference with all that is known of it before it is called.

    Attributes
    ----------
    shapes : mapping or None
        The shapes of its parameters by name; None for a function, whose parameters are arguments.
    labels : bool
        Whether it is a loss that takes labels.
    elements : int or None
        How many numbers its checks compare, where that is fixed already.
    modes : bool
        Whether it is another operation in training than in evaluation, as a dropout is.
    training : InTraining or None
        The reference in both modes, where it has modes, trains, and is known in evaluation, too.
    """

    name: str
    oracle: Oracle
    shapes: Mapping[str, Shape] | None
    labels: bool
    elements: int | None = None
    modes: bool = False
    training: InTraining | None = None

    @property
    def evaluating(self) -> Reference:
        """The same reference in evaluation; only for one that is known in both modes."""
        assert self.training is not None
        return replace(self, oracle=self.training.evaluation, training=None)


def resolved(reference: Any, framework: str = "") -> Reference:
    """Return a reference ready for use.

    Parameters
    ----------
    framework : str
        The package that a plain function computes with, such as ``"torch"``; may be left out where the function's code names exactly one.

    Raises
    ------
    UnknownReferenceError
        If it is of no known kind.
    """
    if isinstance(reference, type):
        raise UnknownReferenceError(f"{reference.__name__} is a class, expected one of its instances: reference={reference.__name__}(...)")
    if callable(getattr(reference, "vjp", None)):
        return _by_protocol(reference)
    module = _framework_module(framework or _package(reference))
    try:
        if not hasattr(module, "in_training"):
            return _by_protocol(module.oracle(reference))
        training = module.in_training(reference)
        oracle = module.oracle(reference) if training is None else training.oracle
        shapes, labels, modes = module.parameter_shapes(reference), module.takes_labels(reference), module.has_modes(reference)
        return Reference(module.NAME, oracle, shapes, labels, modes=modes, training=training)
    except TypeError as error:
        raise UnknownReferenceError(str(error)) from error


def in_training(reference: Any, framework: str = "") -> InTraining | None:
    """Return a reference in both modes; None where it has no modes, is not known in both, or cannot be used at all."""
    try:
        return resolved(reference, framework).training
    except UnknownReferenceError:
        return None


def framework_of(thing: Any) -> str:
    """Return the known framework that an object's class comes from; empty for any other class."""
    # The first in the order of inheritance: a Keras layer may be its backend's module, too.
    return next((package for kind in type(thing).__mro__ if (package := _known(kind.__module__))), "")


def _known(module: str) -> str:
    """Return the known framework that a module belongs to; empty for any other module."""
    package = module.partition(".")[0]
    package = _PARTS.get(package, package)
    return package if package in _FRAMEWORKS else ""


def _framework_module(package: str, part: str = "oracle") -> Any:
    """Return the module of :mod:`crosscheck.references` for a package."""
    if package not in _FRAMEWORKS:
        raise UnknownReferenceError(f"the framework {package!r} is not known; known are {', '.join(_FRAMEWORKS)}")
    try:
        return importlib.import_module(f"crosscheck.references.{_FRAMEWORKS[package]}.{part}")
    except ModuleNotFoundError as error:
        missing = error.name or package
        raise UnknownReferenceError(
            f"{missing} is not installed, which a reference of {package} needs: pip install 'nn-crosscheck[{package}]'"
        ) from error


@dataclass(frozen=True)
class TrainingReference:
    """A reference network that trains.

    Attributes
    ----------
    shapes : mapping of str to mapping
        The layers in order, each with the shapes of its parameters by name.
    """

    name: str
    architecture: Architecture
    make: MakeTraining
    shapes: Mapping[str, Mapping[str, Shape]]


def resolved_training(reference: Any, loss: Any, settings: SgdSettings, frozen: frozenset[str], framework: str = "") -> TrainingReference:
    """Return a reference network ready for use.

    Parameters
    ----------
    reference, loss : object
        A framework's chain of layers, and the framework's own loss.
    frozen : frozenset of str
        Layers whose parameters do not train.
    framework : str
        As for :func:`resolved`.

    Raises
    ------
    UnknownReferenceError
        If it is of no known kind.
    """
    module = _framework_module(framework or _package(reference), "training")
    try:
        layers = module.layers_of(reference, loss)
        shapes = {name: module.parameter_shapes(layer) for name, layer in layers.items()}
        if unknown := frozen - set(layers):
            raise UnknownReferenceError(f"no layer is called {min(unknown)!r} that could be frozen; there are {', '.join(layers)}")
        network = module.Network(layers, loss, settings, frozen)
        return TrainingReference(module.NAME, network.architecture, network.training, shapes)
    except TypeError as error:
        raise UnknownReferenceError(str(error)) from error


@dataclass(frozen=True)
class OptimizerReference:
    """A reference optimizer and its name for reports."""

    name: str
    oracle: OptimizerOracle


def resolved_optimizer(reference: Any, framework: str = "") -> OptimizerReference:
    """Return a reference optimizer ready for use.

    Parameters
    ----------
    reference : callable
        Gets a list of the framework's tensors and returns its optimizer.
    framework : str
        See :func:`resolved`.

    Raises
    ------
    UnknownReferenceError
        If it is of no known kind.
    """
    if not callable(reference):
        raise UnknownReferenceError(
            f"a {type(reference).__name__} is no reference; expected a function of the parameters that makes the framework's optimizer, "
            "such as lambda params: torch.optim.SGD(params, lr=0.1)"
        )
    module = _framework_module(framework or _package(reference), "optimizers")
    return OptimizerReference(module.NAME, module.optimizer(reference))


def _by_protocol(reference: Any) -> Reference:
    """Return an object with a method vjp as a reference, described by its own attributes."""
    if not hasattr(reference, "rounding"):
        raise UnknownReferenceError(
            f"{type(reference).__name__} has a method vjp but no attribute rounding, the theory of its errors; "
            "crosscheck.oracles.theories has theories for sums of products, selections and softmax"
        )
    name = str(getattr(reference, "name", type(reference).__name__))
    labels, modes = bool(getattr(reference, "labels", False)), bool(getattr(reference, "modes", False))
    return Reference(name, reference, getattr(reference, "shapes", None), labels, getattr(reference, "elements", None), modes)


def _package(reference: Any) -> str:
    """Return the package that a reference belongs to, or that a plain function's code names."""
    if found := framework_of(reference):
        return found
    function = getattr(reference, "func", reference)
    if not callable(function):
        raise UnknownReferenceError(
            f"a {type(reference).__name__} is no reference; expected a framework's module or function, or an object with a method vjp"
        )
    if package := _known(str(getattr(function, "__module__", ""))):
        return package
    name, named = title(function), {package for module in _named(function) if (package := _known(module))}
    if len(named) == 1:
        return named.pop()
    which = f"names {' and '.join(sorted(named))}" if named else "names none of the known ones"
    raise UnknownReferenceError(f"which framework does {name} compute with? Its code {which}; say framework={' or '.join(map(repr, _FRAMEWORKS))}")


def _named(function: Any) -> set[str]:
    """Return the top-level packages of everything that a function's code refers to."""
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    if code is None:
        return set()
    # Not every name in the code: an attribute may be called like something else in the same file.
    instructions = list(dis.get_instructions(code))
    loaded = {str(step.argval) for step in instructions if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF")}
    imported = {str(step.argval) for step in instructions if step.opname == "IMPORT_NAME"}
    scope = {**getattr(function, "__globals__", {}), **_closed_over(function)}
    values = [scope[name] for name in loaded if name in scope]
    modules = {getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in values}
    return {str(module).partition(".")[0] for module in modules | imported}


def _closed_over(function: Any) -> dict[str, Any]:
    cells = function.__closure__ or ()
    return {name: cell.cell_contents for name, cell in zip(function.__code__.co_freevars, cells, strict=True)}
