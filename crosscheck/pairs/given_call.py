"""A call that a test has made: its arrays, of whatever framework, as a :class:`Call` for the oracle of its reference.

The oracle gets the numbers that the caller's code got. Everything in the arguments that is no array, such as ``1`` in ``softmax(x, 1)``, is passed to
the reference as it is.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.arguments import flat, quantity_of_output
from crosscheck.core.operation import INPUT, OUTPUT, Call, RefusedError, Shape
from crosscheck.core.precision import Array
from crosscheck.references.functions import Output, applied, title
from crosscheck.references.resolve import Reference, UnknownReferenceError, framework_of, own_parameters, package_of, resolved


class CannotJudgeError(Exception):
    """Nothing could be compared, or not everything; the message says why.

    This is not an ``AssertionError``: a test that expects code to be found wrong, by ``pytest.raises(AssertionError)``, must not pass either if
    nothing was compared.
    """


@dataclass(frozen=True)
class GivenCall:
    """A call with its reference.

    Attributes
    ----------
    call : Call
        The call in the precision of the caller's code.
    count : int or None
        How many outputs the reference returns; None if it does not say.
    whole : frozenset of str
        The outputs, as quantities, that hold whole numbers or booleans.
    """

    title: str
    reference: Reference
    call: Call
    count: int | None = None
    whole: frozenset[str] = frozenset()

    @property
    def in_words(self) -> str:
        """The reference's name, with the shapes of what it gets."""
        return f"{self.title}({', '.join(f'{name} {value.shape}' for name, value in self.call.arguments().items())})"

    def gradient_of(self, name: str) -> str:
        """Return the name of the gradient of a parameter or an input as a quantity; raise ``ValueError`` if there is none of this name."""
        if name in self.call.params:
            return f"{name}.grad"
        if name in self.call.inputs:
            return self.call.grad_input(name)
        known = ", ".join([*self.call.params, *self.call.inputs]) or "nothing"
        raise ValueError(f"grads has {name!r}, expected parameters or inputs of {self.title} that have a gradient: {known}")


def is_array(value: object) -> bool:
    """Return whether a value is an array or tensor of any framework, or a number of NumPy."""
    return isinstance(value, np.ndarray | np.generic) or all(hasattr(value, name) for name in ("__array__", "shape", "dtype"))


def as_numpy(value: Any) -> npt.NDArray[Any]:
    """Return an array or tensor of any framework and on any device as a NumPy array; bfloat16, which NumPy does not have, becomes float32."""
    narrow = "float16" in str(value.dtype) or "float8" in str(value.dtype)
    if hasattr(value, "detach"):
        return np.asarray((value.float() if narrow else value).numpy(force=True))
    return np.asarray(value).astype(np.float32) if narrow else np.asarray(value)


def given_call(
    reference: Any,
    inputs: Sequence[Any],
    dtype: np.dtype[Any],
    params: Mapping[str, Any] | None = None,
    framework: str = "",
    outputs: int = 1,
) -> GivenCall:
    """Return a call without upstream gradients.

    Parameters
    ----------
    reference : object
        As for :func:`crosscheck.references.resolve.resolved`.
    inputs : sequence
        The arguments of the reference.
    dtype : numpy.dtype
        The precision of the caller's code.
    params : mapping of str to array, optional
        Parameters by the reference's names, in place of a module's own.
    outputs : int
        How many outputs a reference is taken to have that does not say so itself.

    Raises
    ------
    CannotJudgeError
        If the reference cannot be used, or refuses the arguments.
    TypeError, ValueError
        If the arguments are none that a reference can get.
    """
    if is_array(reference):
        raise TypeError(
            "the reference is an array, expected what computes it, with its inputs: "
            "assert_close(actual, torch.nn.functional.conv2d, x, w), not assert_close(actual, torch.nn.functional.conv2d(x, w))"
        )
    arrays, function = _taken_apart(reference, inputs)
    try:
        framework = "" if callable(getattr(reference, "vjp", None)) else framework or _framework(reference, inputs)
        ready = resolved(function, framework)
        if ready.training is not None and framework_of(reference) == "keras":
            # A call of a Keras layer is in evaluation mode unless it says otherwise.
            ready = ready.evaluating
    except UnknownReferenceError as error:
        raise CannotJudgeError(f"{title(reference)} cannot be judged: {error}") from error
    if ready.training is not None and ready.training.dropped is not None:
        raise CannotJudgeError(f"{title(reference)} cannot be judged: it draws random numbers; call eval() on it, or give both sides the same mask")
    call = _call(reference, ready, arrays, dtype)
    call = _with_params(call, reference, ready, params or {}).astype(dtype)
    return _with_outputs(title(reference), ready, call, outputs)


def _framework(reference: Any, inputs: Sequence[Any]) -> str:
    """Return the framework of a reference; that of its inputs if its code names none, as in ``lambda x: (x**2).mean()``."""
    try:
        return package_of(reference)
    except UnknownReferenceError:
        if found := next(filter(None, map(framework_of, flat(list(inputs)))), ""):
            return found
        raise


@dataclass(frozen=True)
class _Place:
    """The place of an array among arguments."""

    number: int


@dataclass(frozen=True, eq=False)
class _Filled:
    """A function of the arrays alone: they are put in their places among arguments that are no arrays."""

    func: Callable[..., Any]
    arguments: Sequence[Any]

    @property
    def __name__(self) -> str:
        return title(self.func)

    def __call__(self, *arrays: Any, **params: Any) -> Any:
        return applied(self.func, [_filled(argument, arrays) for argument in self.arguments], params)


def _taken_apart(reference: Any, inputs: Sequence[Any]) -> tuple[list[npt.NDArray[Any]], Any]:
    """Return all arrays among the arguments, and a function of just these."""
    arrays: list[npt.NDArray[Any]] = []
    # Numbers are settings, such as an axis, beside arrays. Alone, they are what the function is of.
    alone = not any(map(is_array, flat(list(inputs))))

    def placed(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: placed(one) for key, one in value.items()}
        if isinstance(value, tuple | list):
            return [placed(one) for one in value] if isinstance(value, list) else tuple(placed(one) for one in value)
        if is_array(value) or (alone and isinstance(value, float | int)):
            arrays.append(as_numpy(value) if is_array(value) else np.asarray(value))
            return _Place(len(arrays) - 1)
        return value

    arguments = [placed(value) for value in inputs]
    if not arrays:
        raise TypeError(f"{title(reference)} gets no array: expected its inputs after it, assert_close(actual, reference, x)")
    if all(isinstance(argument, _Place) for argument in arguments):
        return arrays, reference
    if hasattr(reference, "forward") or callable(getattr(reference, "vjp", None)) or not callable(reference):
        # Modules get their inputs one by one; LSTM's states may be in a tuple.
        if any(not isinstance(one, _Place) for one in flat(arguments)):
            raise TypeError(f"{title(reference)} gets {inputs!r}, expected arrays only; a function may get other things, too")
        return arrays, reference
    return arrays, _Filled(reference, arguments)


def _filled(argument: Any, arrays: Sequence[Any]) -> Any:
    if isinstance(argument, Mapping):
        return {key: _filled(one, arrays) for key, one in argument.items()}
    if isinstance(argument, tuple | list):
        return type(argument)(_filled(one, arrays) for one in argument)
    return arrays[argument.number] if isinstance(argument, _Place) else argument


def _call(reference: Any, ready: Reference, arrays: Sequence[npt.NDArray[Any]], dtype: np.dtype[Any]) -> Call:
    """Return a call with inputs, real numbers in a precision, and constants."""
    known = {} if ready.signature is None else dict(ready.signature.inputs(arrays[0].ndim))
    names = list(_names(list(known) or _argument_names(reference), len(arrays), ready.labels))
    inputs: dict[str, Array] = {}
    constants: dict[str, npt.NDArray[Any]] = {}
    for name, value in zip(names, arrays, strict=True):
        if value.dtype.kind not in "fiub":
            raise TypeError(f"the input {name} has the dtype {value.dtype}, expected real numbers, whole numbers or booleans")
        # A reference that knows its inputs says which have no gradient. Nothing that depends on an infinite number has one that could be judged.
        if value.dtype.kind == "f" and (name not in known or known[name].gradient) and np.isfinite(value).all():
            inputs[name] = value.astype(dtype, copy=False)
        else:
            constants[name] = value.astype(dtype, copy=False) if value.dtype.kind == "f" else value
    order = tuple(names)
    if len(inputs) == 1:
        only = next(iter(inputs))
        inputs, order = {INPUT: inputs[only]}, tuple(INPUT if name == only else name for name in names)
    usual = set(order) <= {INPUT, "labels"} and order[0] == INPUT
    return Call(inputs, constants=constants, order=() if usual else order)


_SIGNATURE = re.compile(r"\s*\w+\(([^)]*)\)")
"""The first line in the documentation of PyTorch's built-in functions: ``conv2d(input, weight, bias=None) -> Tensor``."""


def _argument_names(reference: Any) -> list[str]:
    """Return the names of a reference's positional arguments, as far as they are known."""
    function = getattr(reference, "forward", getattr(reference, "func", reference))
    try:
        given = inspect.signature(function).parameters.values()
        return [one.name for one in given if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    except (TypeError, ValueError):
        found = _SIGNATURE.match(str(getattr(function, "__doc__", "") or ""))
        return [] if found is None else [part.partition("=")[0].strip() for part in found[1].split("*")[0].split(",") if part.strip()]


def _names(known: Sequence[str], count: int, labels: bool) -> Iterator[str]:
    """Yield a name for each of the arrays, all of them different: known ones, and numbers if there are too few."""
    known = known if len(known) >= count and len(set(known)) == len(known) else []
    for number in range(count):
        if labels and number == 1:
            yield "labels"
            continue
        name = known[number] if known else INPUT if not number else str(number)
        # Constants of these names mean something else to oracles.
        yield f"{name}_" if name in ("decisions", "mask", "labels") and not labels else name


def _with_params(call: Call, reference: Any, ready: Reference, params: Mapping[str, Any]) -> Call:
    """Return the call with a module's own parameters, and those given in their place."""
    own = own_parameters(reference)
    given = {name: as_numpy(value) if is_array(value) else np.asarray(value, np.float64) for name, value in params.items()}
    if ready.shapes is not None and (unknown := [name for name in given if name not in ready.shapes]):
        raise ValueError(f"params has {unknown[0]!r}, expected parameters of {title(reference)}: {', '.join(ready.shapes) or 'it has none'}")
    for name, value in given.items():
        if ready.shapes is not None and tuple(ready.shapes[name]) != value.shape:
            raise ValueError(f"params[{name!r}] has the shape {value.shape}, expected {tuple(ready.shapes[name])}")
        if value.dtype.kind not in "fiu":
            raise TypeError(f"params[{name!r}] has the dtype {value.dtype}, expected real numbers")
    return Call(call.inputs, {**own, **given}, None, call.constants, call.buffers, call.order, call.outputs)


def _with_outputs(name: str, ready: Reference, call: Call, outputs: int) -> GivenCall:
    """Return the call with the names of the reference's outputs."""
    found: list[Output] = []
    if hasattr(ready.oracle, "describe"):
        try:
            found = ready.describe(call.astype(np.float64))
        except RefusedError as error:
            raise CannotJudgeError(f"{name} cannot be judged: {error}") from error
    count = len(found) or outputs
    given = ready.signature.outputs if ready.signature is not None else ()
    names = [given[number] if number < len(given) else str(number) if number else OUTPUT for number in range(count)]
    quantities = tuple(quantity_of_output(one, names) for one in names)
    whole = frozenset(quantity for quantity, one in zip(quantities, found, strict=False) if one.whole)
    call = Call(call.inputs, call.params, None, call.constants, call.buffers, call.order, quantities)
    return GivenCall(name, ready, call, len(found) or None, whole)


def with_grad_output(given: GivenCall, grad_output: Any, shapes: Mapping[str, Shape]) -> Call:
    """Return a call with upstream gradients.

    Parameters
    ----------
    grad_output : array, or tuple of arrays and None
        The upstream gradient of each output; if it is None, a single number as output gets 1, as in ``loss.backward()``.
    shapes : mapping of str to tuple of int
        The shapes of the outputs as quantities, as far as they are known.
    """
    call, outputs = given.call, [name for name in given.call.outputs if name not in given.whole]
    if grad_output is None:
        if shapes.get(outputs[0]) != () or len(outputs) > 1:
            raise ValueError("grads are given without grad_output: expected the upstream gradient that your backward pass got")
        grad_output = np.ones(())
    cotangents = {}
    parts = flat(grad_output, keep_none=True)
    if len(parts) > len(outputs):
        raise ValueError(f"grad_output has {len(parts)} arrays, expected one for each of {', '.join(outputs)}")
    for name, value in zip(outputs, parts, strict=False):
        if value is None:
            continue
        one = as_numpy(value) if is_array(value) else np.asarray(value)
        if name in shapes and one.shape != shapes[name]:
            raise ValueError(f"grad_output of {name} has the shape {one.shape}, expected that of the output, {shapes[name]}")
        cotangents[name] = one.astype(call.dtype, copy=False)
    if not cotangents:
        raise ValueError("grad_output has no array")
    return Call(call.inputs, call.params, cotangents, call.constants, call.buffers, call.order, call.outputs)
