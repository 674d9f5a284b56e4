"""Helpers for the references of all frameworks: names for messages, calls with parameters, and errors for refused shapes and devices."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from crosscheck.core.operation import DECISIONS, Call, RefusedError, Shape

_SETTINGS = {"pad": "padding", "strides": "stride", "epsilon": "eps", "rate": "p", "prob": "p", "alpha": "negative_slope", "slope": "negative_slope"}
"""Names of settings in hand-written code, and PyTorch's names."""


def setting(reference: Any, name: str) -> str:
    """Return the value that a reference has for a setting, as code; ``VALUE`` if it has none of this name. Equal numbers count as one."""
    value = getattr(reference, name, getattr(reference, _SETTINGS.get(name, name), None))
    if isinstance(value, tuple) and len({*value}) == 1:
        value = value[0]
    return repr(value) if isinstance(value, int | float | str | tuple) else "VALUE"


def title(reference: Any) -> str:
    """Return the name of a function or an object for messages."""
    function = reference.func if isinstance(reference, functools.partial) else reference
    return getattr(function, "__name__", type(function).__name__)


def applied(function: Callable[..., Any], inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """Call a function with inputs, and with parameters by name, or by position if its arguments are positional-only.

    They are passed by name if the arguments have these names or the function takes ``**params``. Other argument names are refused.
    """
    try:
        given = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        given = []
    names = [argument.name for argument in given if argument.kind in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY)][len(inputs) :]
    if set(params) <= set(names) or any(argument.kind is argument.VAR_KEYWORD for argument in given):
        return function(*inputs, **params)
    if names:
        raise RefusedError(
            f"the reference {title(function)} has the arguments {', '.join(names)}, expected the declared parameters {', '.join(params)}; "
            "declare the parameters by the names of the arguments, or make the arguments positional-only: f(x, w, /)"
        )
    return function(*inputs, *params.values())


@dataclass(frozen=True)
class Output:
    """What is known of one of a reference's outputs."""

    shape: Shape
    whole: bool = False  # whether it holds whole numbers or booleans
    gradient: bool = True  # whether it has a gradient


REFUSALS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError)
"""The errors that frameworks raise for arrays with which they cannot compute."""


@contextmanager
def refusing(framework: str, reference: Any, call: Call, errors: tuple[type[Exception], ...] = REFUSALS) -> Iterator[None]:
    """Turn a framework's error into a :class:`RefusedError` that names the refused shapes and the framework's reason."""
    try:
        yield
    except RefusedError:
        raise
    except errors as error:
        arguments = call.arguments()
        first, *others = (f"{name} {value.shape}" for name, value in arguments.items() if name != DECISIONS)
        first = f"an input of shape {call.x.shape}" if len(call.inputs) == 1 and call.simple else first
        given = ", ".join([first, *(others if not call.simple else []), *(f"{name} {value.shape}" for name, value in call.params.items())])
        raise RefusedError(f"{framework}'s {title(reference)} refuses {given}: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """Return the first line of an error's message, or the error's type if it has no message."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def optimizer_of(make: Callable[[Any], Any], params: Any, fits: Callable[[Any], bool], given: str, expected: str, example: str) -> Any:
    """Return the optimizer that a reference's function ``make`` creates for parameters.

    Raise ``RefusedError`` if ``make`` fails or ``fits`` rejects its result. The message quotes ``given``, ``expected`` and the code ``example``.
    """
    try:
        optimizer = make(params)
    except (*REFUSALS, AttributeError, KeyError) as error:
        raise RefusedError(
            f"the reference optimizer could not be made from {given}: {error}; expected a function such as lambda params: {example}"
        ) from error
    if fits(optimizer):
        return optimizer
    raise RefusedError(
        f"the reference made a {type(optimizer).__name__}, expected {expected}; declare a function of the parameters: lambda params: {example}"
    )


class DeviceError(ValueError):
    """A framework cannot compute on a device; the message names the device, the reason, and the devices that can be used."""


def unusable(framework: str, name: str, reason: str, usable: Sequence[str]) -> DeviceError:
    """Return the error that says why a device cannot be used, and lists the devices that can be used."""
    why = reason.strip().splitlines()[0].partition(". ")[0].rstrip(".")
    return DeviceError(f"{framework} cannot compute in float64 on device {name!r} ({why}); usable devices are {', '.join(usable)}")
