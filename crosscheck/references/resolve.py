"""Turn references of all kinds into oracles. The code for a framework is imported only if a reference needs it.

A reference is a framework's module or function, or any object that implements :class:`crosscheck.core.operation.Oracle`.
"""

from __future__ import annotations

import dis
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from crosscheck.core.arguments import Case, Signature
from crosscheck.core.operation import Call, InTraining, Oracle, Shape
from crosscheck.core.precision import Array
from crosscheck.core.training import MakeTraining
from crosscheck.oracles.network import Architecture
from crosscheck.oracles.optimizers import SgdSettings
from crosscheck.oracles.optimizers.runs import OptimizerOracle
from crosscheck.oracles.whole import MakeOptimizer, MakeOracle, WholeNetwork
from crosscheck.references.functions import Output, title

_FRAMEWORKS = {"torch": "pytorch", "jax": "jax", "keras": "keras"}
"""For the top-level package of each known framework, its subpackage of :mod:`crosscheck.references`."""

_PARTS = {"jaxlib": "jax", "optax": "jax"}
"""For other packages that belong to a known framework, the framework's top-level package."""


class UnknownReferenceError(ValueError):
    """An object cannot be used as a reference."""


@dataclass(frozen=True)
class Reference:
    """A reference, with the properties that are known without calling it."""

    name: str
    oracle: Oracle
    shapes: Mapping[str, Shape] | None  # the shapes of the parameters by name; None for a function, whose parameters are arguments
    labels: bool  # whether the reference is a loss that takes labels
    elements: int | None = None  # how many numbers the checks compare; None if this is not fixed yet
    modes: bool = False  # whether training and evaluation compute different functions, as in a dropout layer
    # The reference in both modes; None unless the reference has modes, is in training mode, and can also be computed in evaluation mode.
    training: InTraining | None = None
    signature: Signature | None = None  # what the reference says of its arguments and results; None if only the first input is known
    derived: tuple[Case, ...] | None = None  # for a recorded reference, the cases of other sizes that it knows; None if any may be tried
    refused: tuple[str, ...] = ()  # the axes of which a recorded reference knows the declared length only

    @property
    def describes(self) -> bool:
        """Whether the reference can say what its outputs are for any inputs; a recorded one does not know their shapes."""
        return hasattr(self.oracle, "describe") and self.elements is None

    def describe(self, call: Call) -> list[Output]:
        """Return what is known of the reference's outputs for a call, in order; a reference that does not say has one output."""
        describe = getattr(self.oracle, "describe", None)
        return [Output(())] if describe is None else list(describe(call))

    @property
    def evaluating(self) -> Reference:
        """The reference in evaluation mode; only available if ``training`` is not None."""
        assert self.training is not None
        return replace(self, oracle=self.training.evaluation, training=None)


def resolved(reference: Any, framework: str = "") -> Reference:
    """Return a reference ready for use.

    Parameters
    ----------
    framework : str
        The package that a plain function uses, such as ``"torch"``; not needed if the function's code refers to exactly one framework.

    Raises
    ------
    UnknownReferenceError
        If the object cannot be used as a reference.
    """
    if isinstance(reference, type):
        raise UnknownReferenceError(f"{reference.__name__} is a class, expected one of its instances: reference={reference.__name__}(...)")
    if callable(getattr(reference, "vjp", None)):
        return _by_protocol(reference)
    module = _framework_module(framework or package_of(reference))
    try:
        if not hasattr(module, "in_training"):
            return _by_protocol(module.oracle(reference))
        training = module.in_training(reference)
        oracle = module.oracle(reference) if training is None else training.oracle
        shapes, labels, modes = module.parameter_shapes(reference), module.takes_labels(reference), module.has_modes(reference)
        signature = module.signature(reference) if hasattr(module, "signature") else None
        return Reference(module.NAME, oracle, shapes, labels, modes=modes, training=training, signature=signature)
    except TypeError as error:
        raise UnknownReferenceError(str(error)) from error


def in_training(reference: Any, framework: str = "") -> InTraining | None:
    """Return a reference in training and evaluation mode; None if the modes do not differ, or the reference cannot be computed in both."""
    try:
        return resolved(reference, framework).training
    except UnknownReferenceError:
        return None


def own_parameters(reference: Any) -> dict[str, Array]:
    """Return the values of the parameters that a framework's module has, by name; empty for functions and other objects."""
    return _own(reference, "parameter_values")


def own_buffers(reference: Any) -> dict[str, Array]:
    """Return the values of the running statistics that a framework's module has, by name; empty where they are not known."""
    return _own(reference, "buffer_values")


def _own(reference: Any, function: str) -> dict[str, Array]:
    package = framework_of(reference)
    if not package or callable(getattr(reference, "vjp", None)):
        return {}
    values = getattr(_framework_module(package), function, None)
    return {} if values is None else dict(values(reference))


def framework_of(thing: Any) -> str:
    """Return the framework that defines an object's class, or else one of its base classes; an empty string if none does."""
    # Classes come in the order of inheritance, because a Keras layer may also be a module of its backend.
    return next((package for kind in type(thing).__mro__ if (package := _known(kind.__module__))), "")


def _known(module: str) -> str:
    """Return the known framework to which a Python module belongs; an empty string if there is none."""
    package = module.partition(".")[0]
    package = _PARTS.get(package, package)
    return package if package in _FRAMEWORKS else ""


def _framework_module(package: str, part: str = "oracle") -> Any:
    """Return a module (``oracle``, ``training`` or ``optimizers``) of a framework's subpackage of :mod:`crosscheck.references`."""
    if package not in _FRAMEWORKS:
        raise UnknownReferenceError(f"the framework is {package!r}, expected one of {', '.join(_FRAMEWORKS)}")
    try:
        return importlib.import_module(f"crosscheck.references.{_FRAMEWORKS[package]}.{part}")
    except ModuleNotFoundError as error:
        missing = error.name or package
        raise UnknownReferenceError(
            f"{missing} is not installed, but a reference in {package} needs it: pip install 'nn-crosscheck[{package}]'"
        ) from error


@dataclass(frozen=True)
class TrainingReference:
    """A reference network that can be trained. ``shapes`` has, for each layer in order, the shapes of its parameters by name."""

    name: str
    architecture: Architecture
    make: MakeTraining
    shapes: Mapping[str, Mapping[str, Shape]]


def resolved_training(reference: Any, loss: Any, settings: SgdSettings, frozen: frozenset[str], framework: str = "") -> TrainingReference:
    """Return a reference network ready for use, from a framework's chain of layers, some of them frozen, and a loss of the same framework.

    Other objects raise :class:`UnknownReferenceError`; ``framework`` is as for :func:`resolved`.
    """
    module = _framework_module(framework or package_of(reference), "training")
    try:
        layers = module.layers_of(reference, loss)
        shapes = {name: module.parameter_shapes(layer) for name, layer in layers.items()}
        if unknown := frozen - set(layers):
            raise UnknownReferenceError(f"frozen has the layer {min(unknown)!r}, expected one of {', '.join(layers)}")
        network = module.Network(layers, loss, settings, frozen)
        return TrainingReference(module.NAME, network.architecture, network.training, shapes)
    except TypeError as error:
        raise UnknownReferenceError(str(error)) from error


def is_chain(reference: Any) -> bool:
    """Return whether a reference is a chain of layers without running statistics, or one of a framework of which only chains can be trained."""
    if framework_of(reference) != "torch":
        return True
    return bool(_framework_module("torch", "whole").is_chain(reference))


@dataclass(frozen=True)
class WholeReference:
    """A reference that is a whole network, and the name of its framework for reports."""

    name: str
    network: WholeNetwork
    optimizer: MakeOptimizer
    oracle: MakeOracle | None  # None if nothing is updated


def resolved_whole(network: Any, loss: Any, optimizer: Any, schedule: Any = None, clip: Any = None) -> WholeReference:
    """Return a network of any architecture with its loss and what makes its optimizer, a function or settings.

    Other objects raise :class:`UnknownReferenceError`.
    """
    package = framework_of(network)
    if package != "torch":
        what = f"a {type(network).__name__}" + (f" of {package}" if package else "")
        raise UnknownReferenceError(f"the reference is {what}, expected a torch.nn.Module")
    module = _framework_module(package, "whole")
    try:
        whole = module.whole_network(network, loss)
    except TypeError as error:
        raise UnknownReferenceError(str(error)) from error
    make = module.optimizer_with(optimizer) if isinstance(optimizer, SgdSettings) else optimizer
    oracle = None if make is None else lambda shift: module.oracle_of(make, schedule, shift)
    return WholeReference(module.NAME, whole, lambda start, underflow: module.Followed(make, schedule, clip, start, underflow), oracle)


@dataclass(frozen=True)
class OptimizerReference:
    """A reference optimizer, and the name of its framework for reports."""

    name: str
    oracle: OptimizerOracle


def resolved_optimizer(reference: Any, framework: str = "", schedule: Any = None) -> OptimizerReference:
    """Return a reference optimizer ready for use, from a function that gets the parameters and returns a known framework's optimizer.

    Other objects raise :class:`UnknownReferenceError`; ``framework`` is as for :func:`resolved`, ``schedule`` as for PyTorch's optimizers.
    """
    if not callable(reference):
        raise UnknownReferenceError(
            f"the reference has the type {type(reference).__name__}, expected a function of the parameters that returns an optimizer: "
            "lambda params: torch.optim.SGD(params, lr=0.1)"
        )
    name = framework or package_of(reference)
    module = _framework_module(name, "optimizers")
    if schedule is None:
        return OptimizerReference(module.NAME, module.optimizer(reference))
    if name != "torch":
        raise UnknownReferenceError(f"schedule is for the schedulers of torch.optim; in {name}, give the optimizer a schedule as its learning rate")
    return OptimizerReference(module.NAME, module.optimizer(reference, schedule))


def _by_protocol(reference: Any) -> Reference:
    """Return a reference from an object with a method ``vjp``; the object's attributes give the reference's properties."""
    if not hasattr(reference, "rounding"):
        raise UnknownReferenceError(
            f"{type(reference).__name__} has a method vjp, but no attribute rounding, which bounds its rounding errors; "
            "set one from crosscheck.oracles.theories, such as rounding = Multilinear() for sums of products"
        )
    name = str(getattr(reference, "name", type(reference).__name__))
    labels, modes = bool(getattr(reference, "labels", False)), bool(getattr(reference, "modes", False))
    own = {what: getattr(reference, what, None) for what in ("shapes", "elements", "signature", "derived")}
    return Reference(name, reference, labels=labels, modes=modes, refused=tuple(getattr(reference, "refused", ())), **own)


def package_of(reference: Any) -> str:
    """Return the framework to which a reference belongs, or to which a plain function's code refers; :class:`UnknownReferenceError` if none."""
    if found := framework_of(reference):
        return found
    function = getattr(reference, "func", reference)
    if not callable(function):
        raise UnknownReferenceError(
            f"the reference has the type {type(reference).__name__}, expected a framework's module or function, or an object with a method vjp"
        )
    if package := _known(str(getattr(function, "__module__", ""))):
        return package
    name, named = title(function), {package for module in _named(function) if (package := _known(module))}
    if len(named) == 1:
        return named.pop()
    which = " and ".join(sorted(named)) or "none of the known frameworks"
    raise UnknownReferenceError(f"the code of {name} refers to {which}, expected one; declare framework={' or '.join(map(repr, _FRAMEWORKS))}")


def _named(function: Any) -> set[str]:
    """Return the top-level packages of all objects to which a function's code refers."""
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    if code is None:
        return set()
    # Only loaded names count, because an attribute may have the name of a global variable.
    instructions = list(dis.get_instructions(code))
    loaded = {str(step.argval) for step in instructions if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF")}
    imported = {str(step.argval) for step in instructions if step.opname == "IMPORT_NAME"}
    closed_over = dict(zip(code.co_freevars, (cell.cell_contents for cell in function.__closure__ or ()), strict=True))
    scope = {**getattr(function, "__globals__", {}), **closed_over}
    values = [scope[name] for name in loaded if name in scope]
    modules = {getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in values}
    return {str(module).partition(".")[0] for module in modules | imported}
