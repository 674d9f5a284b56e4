"""The interface of all adapters: how to create a layer under test, set its parameters and call it.

An adapter describes a convention and creates instances of the subject. An instance is called as in the subject's own program: forward, then
backward, with arrays in the subject's layout. :class:`~crosscheck.adapters.adapted_layer.AdaptedLayer` turns any adapter into a pure function.
"""

from __future__ import annotations

import copy
import dis
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any, Protocol

import numpy as np

from crosscheck.core.guard import SubjectError, contained
from crosscheck.core.operation import Arrays, Shape
from crosscheck.core.precision import Array, Bound

_RETURNS = ("RETURN_VALUE", "RETURN_CONST")
"""The instructions of Python's bytecode that return a value."""


class ConventionError(ValueError):
    """The subject does not follow its declared convention, or follows no known convention."""


class Instance(Protocol):
    """A fresh layer, on which no method has been called."""

    def load(self, params: Arrays) -> None:
        """Set the parameters."""

    def forward(self, *arguments: Any) -> Any:
        """Run the forward pass on the inputs and return its output, which may have any type; several outputs are a tuple."""

    def backward(self, *grad_outputs: Array) -> dict[str, Any]:
        """Run the backward pass and return ``grad_input`` (of several inputs: a tuple) and ``NAME.grad`` without copying them."""

    def looked_for(self, quantity: str) -> str:
        """Return a sentence for errors that says where a missing gradient was expected and what was found; empty if gradients are not stored."""
        return ""

    def buffers(self) -> Mapping[str, Any]:
        """Return the layer's buffers, such as running statistics, without copying them."""
        return {}

    def load_buffers(self, buffers: Arrays) -> None:
        """Set the layer's buffers."""
        assert not buffers

    def switch(self, training: bool) -> bool:
        """Turn training mode on or off, and return whether the layer has modes."""
        return False


class Convention(Protocol):
    """A layer under test, and the way in which it is called."""

    @property
    def one_sample(self) -> bool:
        """Whether the subject takes one sample at a time; the harness then calls it once for each sample of a batch."""

    @property
    def keeps(self) -> frozenset[str]:
        """The kinds of values that an instance stores between calls.

        ``"cache"``: backward uses values that forward stored. ``"grads"``: gradients stay in the layer until they are replaced. ``"sum"``: gradients
        accumulate until they are cleared.
        """
        return frozenset()

    @property
    def may_lack(self) -> frozenset[str]:
        """The quantities for which code of this convention may return None; the report lists them as not compared."""
        return frozenset()

    @property
    def shapes(self) -> Mapping[str, Shape | None]:
        """The shapes of the parameters by the subject's names; None for an argument of a function, which has no shape before a call."""
        return {}

    @property
    def inferred(self) -> Sequence[str]:
        """Sentences that say what was found out about the subject and not declared."""
        return ()

    @property
    def sources(self) -> Mapping[str, str]:
        """File and line of the code of ``"forward"`` and ``"backward"``."""

    @property
    def title(self) -> str:
        """The subject's name for reports."""

    @property
    def arguments(self) -> Sequence[inspect.Parameter]:
        """The positional arguments of the forward pass, of which the first are inputs; empty if they cannot be read."""
        return []

    def upstream(self, outputs: int) -> int:
        """Return how many of the outputs' upstream gradients the backward pass takes, given the number of outputs that have one."""
        return 1

    def taking(self, inputs: int, outputs: int, differentiable: int) -> Convention:
        """Return the convention for a function with so many inputs and outputs; most conventions do not depend on it."""
        return self

    def instance(self) -> Instance:
        """Return a fresh instance.

        Raises
        ------
        ConventionError
            If the subject cannot be copied.
        """

    def reading(self, size: Array, param: Array) -> Bound | None:
        """Return a bound of the error of measuring a gradient; None if the subject returns or stores the gradient itself.

        Parameters
        ----------
        size : array
            The sum of the gradients' absolute values over the samples.
        """
        return None


def copied(layer: Any, replacements: Mapping[int, Any] | None = None) -> Any:
    """Return a deep copy of a layer. ``replacements`` maps the ``id`` of an object to the value that replaces it wherever the layer refers to it.

    Raises
    ------
    ConventionError
        If the layer cannot be copied, or a copy would still use the original's arrays.
    """
    name = type(layer).__name__
    for attribute, value in getattr(layer, "__dict__", {}).items():
        if isinstance(value, FunctionType) and (variable := _captured(value, layer)):
            raise ConventionError(
                f"{name}.{attribute} is a function that captured {variable!r}, so that a copy of the layer would still use the original's. "
                f"Each check needs its own copy: make {attribute!r} a method, or let it read {variable!r} from the layer"
            )
    try:
        with contained("copying"):
            # deepcopy writes to its memo dict.
            return copy.deepcopy(layer, dict(replacements or {}))
    except SubjectError as error:
        raise ConventionError(
            f"{name} cannot be copied ({error.reason}); each check needs its own copy: remove what cannot be copied, or define __deepcopy__"
        ) from error


def _captured(function: FunctionType, layer: Any) -> str:
    """Return the name of a captured variable of a function that holds the layer or one of its arrays; empty if there is none."""
    own = [layer]
    for held in vars(layer).values():
        own += held.values() if isinstance(held, Mapping) else [held]
    own = [value for value in own if value is layer or isinstance(value, np.ndarray)]
    captured = inspect.getclosurevars(function).nonlocals
    return next((name for name, value in captured.items() if any(value is array for array in own)), "")


def expect_instance(layer: Any) -> None:
    """Raise :class:`ConventionError` if a subject is a class instead of an instance."""
    if isinstance(layer, type):
        raise ConventionError(f"{layer.__name__} is a class, expected one of its instances: subject={layer.__name__}(...)")


def method(layer: Any, name: str) -> Any:
    """Return a method of the subject, or raise :class:`ConventionError` if it has no method of that name."""
    found = getattr(layer, name, None)
    if not callable(found):
        raise ConventionError(f"{type(layer).__name__} has no method {name!r}; its methods are {methods_in_words(layer)}; declare the right name")
    return found


def methods_in_words(layer: Any) -> str:
    """Return the names of an object's public methods."""
    return ", ".join(name for name in dir(layer) if not name.startswith("_") and callable(getattr(layer, name, None))) or "none"


def positional(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return a function's positional arguments; ``*args`` counts as one; none if they cannot be read."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [parameter for parameter in parameters if parameter.kind in kinds]


def takes(arguments: Sequence[inspect.Parameter], most: int) -> int:
    """Return how many arrays, at most ``most``, a function of these arguments takes; one with another default than None is a setting."""
    if any(argument.kind is argument.VAR_POSITIONAL for argument in arguments):
        return most
    return min(sum(argument.default is argument.empty or argument.default is None for argument in arguments), most)


def returns_nothing(function: Callable[..., Any]) -> bool:
    """Return whether the code of a Python function has no ``return`` with a value; false if it has no code that can be read."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if not isinstance(code, CodeType):
        return False
    steps = [step for step in dis.get_instructions(code) if step.opname != "NOP"]
    # Up to Python 3.11 a constant is loaded and then returned; later, one instruction does both.
    returned = [before if step.opname == "RETURN_VALUE" else step for before, step in itertools.pairwise(steps) if step.opname in _RETURNS]
    return bool(returned) and all(step.opname in ("LOAD_CONST", "RETURN_CONST") and step.argval is None for step in returned)


def title_of(function: Callable[..., Any]) -> str:
    """Return a name for reports: a function's name, or the class name of another callable."""
    return getattr(function, "__name__", type(function).__name__)


def two_results(result: Any, title: str, expected: str) -> Sequence[Any]:
    """Return a function's result, or raise :class:`SubjectError` if it is not a tuple or list of two values."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        shown = f"{len(result)} values" if isinstance(result, tuple | list) else f"a {type(result).__name__}"
        raise SubjectError(f"{title} returned {shown}, expected {expected}")
    return result


def scaled(grad: Any, grad_output: Array) -> Any:
    """Return the gradient of a loss times ``grad_output``, of several inputs as a tuple.

    Anything but an array is returned unchanged, so that a later error can name its type.
    """
    if isinstance(grad, tuple | list):
        return tuple(scaled(part, grad_output) for part in grad)
    if not isinstance(grad, np.ndarray | np.generic) or (grad_output.ndim == 0 and grad_output == 1):
        return grad
    return np.asarray(grad) * grad_output
