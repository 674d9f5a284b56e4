"""What all frameworks need around a reference: its name for messages, how a plain function gets the parameters, and refusals."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from crosscheck.core.operation import Call, RefusedError


def title(reference: Any) -> str:
    """Return a function's or an object's name for messages."""
    function = reference.func if isinstance(reference, functools.partial) else reference
    return getattr(function, "__name__", type(function).__name__)


def applied(function: Callable[..., Any], inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """Call a function with inputs and parameters: by name where the names fit, in order where its arguments are positional-only.

    One that takes ``**params`` gets all of them by name.

    Raises
    ------
    RefusedError
        If its arguments have other names.
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
            f"the reference {title(function)} takes {', '.join(names)}; the parameters are declared as {', '.join(params)}: "
            "declare them by the names of its arguments, or make these positional-only, which are given in order: f(x, w, /)"
        )
    return function(*inputs, *params.values())


REFUSALS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError)
"""What a framework raises when it cannot compute what it is asked for."""


@contextmanager
def refusing(framework: str, reference: Any, call: Call, errors: tuple[type[Exception], ...] = REFUSALS) -> Iterator[None]:
    """Turn an error of a framework into one that says which shapes the reference refuses, and the framework's reason."""
    try:
        yield
    except RefusedError:
        raise
    except errors as error:
        given = f"an input of shape {call.x.shape}" + "".join(f", {name} {value.shape}" for name, value in call.params.items())
        raise RefusedError(f"{framework}'s {title(reference)} refuses {given}: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """Return the first line of an error's message, or its kind where it has none."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def optimizer_of(make: Callable[[Any], Any], params: Any, fits: Callable[[Any], bool], given: str, expected: str, example: str) -> Any:
    """Return the optimizer that a reference makes for parameters; ``example`` is an expression that makes one of ``params``.

    Raises
    ------
    RefusedError
        If it makes none that fits.
    """
    try:
        optimizer = make(params)
    except (TypeError, ValueError, RuntimeError) as error:
        raise RefusedError(f"the reference optimizer could not be made from {given}: {error}") from error
    if fits(optimizer):
        return optimizer
    raise RefusedError(
        f"the reference made a {type(optimizer).__name__}, expected {expected}; give a function of the parameters, such as lambda params: {example}"
    )
