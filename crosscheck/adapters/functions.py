"""Adapters for layers that are functions: parameters are arguments, gradients are return values, and backward gets a cache or forward's arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from crosscheck.adapters.convention import Convention, ConventionError, Instance, copied, positional, scaled, takes, title_of, two_results
from crosscheck.core.guard import SubjectError, source
from crosscheck.core.operation import Arrays, Shape
from crosscheck.core.precision import Array
from crosscheck.references.functions import setting


@dataclass(frozen=True)
class Functions(Convention):
    """``forward(x, w, b, ...)`` and ``backward(grad_output, ...) -> dx, dw, db``.

    With a cache, ``forward`` returns ``out, cache`` and ``backward`` takes ``grad_output, cache``. Without a cache, ``forward`` returns ``out``, and
    ``backward`` takes ``grad_output`` and any arguments of ``forward``, which are matched by name and get the same values.

    Parameters
    ----------
    extra : sequence, or mapping of str to object
        The arguments of ``forward`` that are not parameters, such as a stride or a configuration. A sequence gives values for the last arguments, a
        mapping for any argument by name. Arguments with a default value may be left out, and can be given only by name.
    cache : bool
        Whether ``forward`` returns a cache.
    one_sample : bool
        Whether the functions take one sample at a time.
    inputs, outputs, differentiable : int
        How many of the first arguments are inputs, how many outputs there are, and how many inputs have a gradient; a :class:`Pair` sets them.
    """

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    extra: Sequence[Any] | Mapping[str, Any] = ()
    cache: bool = True
    one_sample: bool = False
    inputs: int = field(default=1, kw_only=True)
    outputs: int = field(default=1, kw_only=True)
    differentiable: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "extra", self._by_name())
        if not self.cache:
            forward, backward = self.signatures
            if unknown := [name for name in _required(backward)[1:] if name not in _names(forward)]:
                raise ConventionError(
                    f"{title_of(self.backward)} takes {unknown[0]!r}, which is not an argument of {self.title}{forward}; "
                    "if it is the cache, declare Functions(..., cache=True)"
                )

    def declared_without(self, reference: Any, names: Sequence[str]) -> str:
        """Return the expression that declares that these arguments are no parameters, with the values that the reference has for them."""
        values = {name: repr(value) for name, value in dict(self.extra).items()} | {name: setting(reference, name) for name in names}
        shown = ", ".join(f'"{name}": {value}' for name, value in values.items())
        return f"Functions({self.title}, {title_of(self.backward)}, extra={{{shown}}}{'' if self.cache else ', cache=False'})"

    def _by_name(self) -> dict[str, Any]:
        """Return ``extra`` as a dict keyed by argument names."""
        signature = _signature(self.forward)
        names, required, shown = _names(signature), _required(signature), f"{self.title}{signature}"
        if not names:
            raise ConventionError(f"{shown} has no named arguments, expected {self.title}(x, ...)")
        if isinstance(self.extra, Mapping):
            if unknown := [name for name in self.extra if name not in names[1:]]:
                raise ConventionError(f"extra has the key {unknown[0]!r}, expected the name of an argument of {shown} after the first")
            return dict(self.extra)
        values = tuple(self.extra)
        if values and (defaults := [name for name in names if name not in required]):
            raise ConventionError(
                f"{shown} has arguments with a default value, so extra must give its values by name, such as extra={{{defaults[0]!r}: {values[0]!r}}}"
            )
        if len(required) < 1 + len(values):
            raise ConventionError(f"{shown} takes {len(required)} arguments, expected at least {1 + len(values)}: x and the {len(values)} in extra")
        return dict(zip(required[len(required) - len(values) :], values, strict=True))

    @cached_property
    def params(self) -> list[str]:
        """The names of the parameters: all arguments after the inputs that are not in ``extra`` and have no default."""
        signature = _signature(self.forward)
        return [name for name in _required(signature) if name not in self.extra and name not in _names(signature)[: self.inputs]]

    @cached_property
    def signatures(self) -> tuple[inspect.Signature, inspect.Signature]:
        """The signatures of both functions. They are cached, because difference quotients call the functions some ten thousand times."""
        return _signature(self.forward), _signature(self.backward)

    @property
    def shapes(self) -> Mapping[str, Shape | None]:
        """The names of the parameters, each with None, because arguments have no shapes before a call."""
        return dict.fromkeys(self.params)

    @property
    def sources(self) -> Mapping[str, str]:
        """Where the functions are defined."""
        return {"forward": source(self.forward), "backward": source(self.backward)}

    @property
    def title(self) -> str:
        """The name of the forward function."""
        return title_of(self.forward)

    @property
    def arguments(self) -> list[inspect.Parameter]:
        """The positional arguments of the forward function that are not in ``extra``."""
        return [argument for argument in positional(self.forward) if argument.name not in self.extra]

    def upstream(self, outputs: int) -> int:
        """Return how many upstream gradients the backward function takes: its arguments that are neither a cache nor arguments of forward."""
        others = _names(self.signatures[0])
        own = [argument for argument in positional(self.backward) if self.cache or argument.name not in others]
        return max(1, takes(own, outputs + self.cache) - self.cache)

    def taking(self, inputs: int, outputs: int, differentiable: int) -> Functions:
        """Return the adapter for functions with so many inputs and outputs, and so many inputs that have a gradient."""
        return replace(self, inputs=inputs, outputs=outputs, differentiable=differentiable)

    def instance(self) -> Instance:
        """Return an instance that stores the arguments of forward."""
        return _FunctionsInstance(self)


class _FunctionsInstance(Instance):
    def __init__(self, convention: Functions) -> None:
        self._convention = convention
        self._params: dict[str, Array] = {}
        self._extra: dict[str, Any] = copied(convention.extra)
        self._arguments: dict[str, Any] = {}
        self._cache: Any = None

    def load(self, params: Arrays) -> None:
        """Store the parameters for the calls."""
        self._params = {name: params[name] for name in self._convention.params}

    def forward(self, *arguments: Any) -> Any:
        """Call the forward function and store the cache or the arguments."""
        convention = self._convention
        signature, _ = convention.signatures
        names = _names(signature)
        if len(arguments) > len(names):
            hint = f"; a loss that returns its gradient, too, is declared as subject=LossFunction({convention.title})"
            raise SubjectError(f"{convention.title}{signature} gets {len(arguments)} inputs, more than it has arguments{hint}")
        given = dict(zip(names, arguments, strict=False)) | self._params | self._extra
        # In the order of the signature, on which the call depends.
        bound = inspect.BoundArguments(signature, {name: given[name] for name in names if name in given})
        result = convention.forward(*bound.args, **bound.kwargs)
        # Backward may also take arguments for which forward used default values.
        bound.apply_defaults()
        self._arguments = dict(bound.arguments)
        if not convention.cache:
            return result
        if not isinstance(result, tuple) or len(result) not in {2, convention.outputs + 1}:
            shown = f"a tuple of {len(result)}" if isinstance(result, tuple) else f"a {type(result).__name__}"
            raise SubjectError(f"{convention.title} returned {shown}, expected (output, cache); without a cache, declare Functions(..., cache=False)")
        *outputs, self._cache = result
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def backward(self, *grad_outputs: Array) -> dict[str, Any]:
        """Call the backward function and return its results by name."""
        convention = self._convention
        if convention.cache:
            result = convention.backward(*grad_outputs, self._cache)
        else:
            _, signature = convention.signatures
            names = _names(signature)
            first, others = names[: len(grad_outputs)], names[len(grad_outputs) :]
            again = {name: self._arguments[name] for name in others if name in self._arguments}
            bound = inspect.BoundArguments(signature, {**dict(zip(first, grad_outputs, strict=True)), **again})
            result = convention.backward(*bound.args, **bound.kwargs)
        results = tuple(result) if isinstance(result, tuple | list) else (result,)
        grads = [f"{name}.grad" for name in convention.params]
        inputs = len(results) - len(grads)
        least = min(1, convention.differentiable)
        if inputs < least or (convention.inputs == 1 and inputs > 1):
            names = [*["grad_input"][:least], *grads]
            raise SubjectError(f"{title_of(convention.backward)} returned {len(results)} values, expected {len(names)}: {', '.join(names)}")
        grad_input = results[0] if inputs == 1 else results[:inputs]
        return {"grad_input": grad_input, **dict(zip(grads, results[inputs:], strict=True))}


class _OneFunction(Convention):
    """An adapter of code that is a single function."""

    function: Callable[..., Any]

    @property
    def sources(self) -> Mapping[str, str]:
        """Where the function is defined."""
        return {"forward": source(self.function), "backward": source(self.function)}

    @property
    def title(self) -> str:
        """The function's name."""
        return title_of(self.function)

    @property
    def arguments(self) -> list[inspect.Parameter]:
        """The function's positional arguments."""
        return positional(self.function)


@dataclass(frozen=True)
class LossFunction(_OneFunction):
    """``loss(x, labels) -> loss, dx``: a function that returns a loss and its gradient, of several inputs as a tuple.

    Parameters
    ----------
    one_sample : bool
        Whether the function takes one sample and one label at a time.
    """

    function: Callable[..., Any]
    one_sample: bool = False

    def instance(self) -> Instance:
        """Return an instance that stores the gradient until backward."""
        return _LossInstance(self)


class _LossInstance(Instance):
    def __init__(self, convention: LossFunction) -> None:
        self._convention = convention
        self._grad: Any = None

    def load(self, params: Arrays) -> None:
        """Do nothing: there are no parameters."""

    def forward(self, *arguments: Any) -> Any:
        """Call the function and store the gradient."""
        result = self._convention.function(*arguments)
        if isinstance(result, tuple) and len(result) > 2:
            result = result[0], result[1:]
        loss, self._grad = two_results(result, self._convention.title, "(loss, dx)")
        return loss

    def backward(self, *grad_outputs: Array) -> dict[str, Any]:
        """Return the stored gradient times the upstream gradient."""
        return {"grad_input": scaled(self._grad, grad_outputs[0])}


@dataclass(frozen=True)
class Forward(_OneFunction):
    """``function(x, ...) -> output``: a function without a backward pass, such as an argmax. Only its outputs are compared.

    Parameters
    ----------
    one_sample : bool
        Whether the function takes one sample at a time.
    """

    function: Callable[..., Any]
    one_sample: bool = False

    def upstream(self, outputs: int) -> int:
        """Return 0: there is no backward pass."""
        return 0

    def instance(self) -> Instance:
        """Return an instance that calls the function."""
        return _ForwardInstance(self)


class _ForwardInstance(Instance):
    def __init__(self, convention: Forward) -> None:
        self._convention = convention

    def load(self, params: Arrays) -> None:
        """Do nothing: there are no parameters."""

    def forward(self, *arguments: Any) -> Any:
        """Call the function."""
        return self._convention.function(*arguments)

    def backward(self, *grad_outputs: Array) -> dict[str, Any]:
        """Raise: there is no backward pass."""
        raise SubjectError(f"{self._convention.title} is declared as Forward, a function without a backward pass")


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConventionError(f"the arguments of {title_of(function)} cannot be read: {error}") from error


def _names(signature: inspect.Signature) -> list[str]:
    """Return the names of a function's arguments, without ``*args`` and ``**kwargs``."""
    collective = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [name for name, parameter in signature.parameters.items() if parameter.kind not in collective]


def _required(signature: inspect.Signature) -> list[str]:
    """Return the names of a function's arguments that have no default."""
    return [name for name in _names(signature) if signature.parameters[name].default is inspect.Parameter.empty]
