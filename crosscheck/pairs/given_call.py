"""A call that a test has made: its arrays, of whatever framework, as a :class:`Call` for the oracle of its reference.

The oracle gets the numbers that the caller's code got. Everything in the arguments that is no array, such as ``1`` in ``softmax(x, 1)``, is passed to
the reference as it is.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.arguments import Inputs, flat, quantity_of_output
from crosscheck.core.operation import DECISIONS, INPUT, OUTPUT, Call, RefusedError, Shape
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
    real : mapping of str to str
        The inputs that hold real numbers, in the order of the arguments: for the name of each argument, that in the call.
    shapes : mapping of str to tuple of int
        The shapes of the outputs, as quantities; empty if the reference does not say.
    whole : frozenset of str
        The outputs that hold whole numbers or booleans.
    """

    title: str
    reference: Reference
    call: Call
    real: Mapping[str, str]
    shapes: dict[str, Shape] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()

    @property
    def in_words(self) -> str:
        """The reference's name, with the shapes of what it gets."""
        return f"{self.title}({', '.join(f'{name} {value.shape}' for name, value in self.call.arguments().items())})"

    def gradient_of(self, name: str) -> str:
        """Return the name of the gradient of a parameter or an input as a quantity; raise ``ValueError`` if there is none of this name."""
        if name in self.call.params:
            return f"{name}.grad"
        if (own := self.real.get(name, name)) in self.call.inputs:
            return self.call.grad_input(own)
        graded = [own for own, name in self.real.items() if name in self.call.inputs]
        known = ", ".join([*self.call.params, *graded]) or "nothing"
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
    wanted: Collection[int | str] = (),
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
    wanted : collection of int and str
        The inputs, counted among those of real numbers, or by name, whose gradients are compared.

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
    taken = _taken_apart(reference, inputs)
    try:
        framework = "" if callable(getattr(reference, "vjp", None)) else framework or _framework(reference, inputs)
        ready = resolved(taken.function, framework)
        if ready.training is not None and framework_of(reference) == "keras":
            # A call of a Keras layer is in evaluation mode unless it says otherwise.
            ready = ready.evaluating
    except UnknownReferenceError as error:
        raise CannotJudgeError(f"{title(reference)} cannot be judged: {error}") from error
    if ready.training is not None and ready.training.dropped is not None:
        raise CannotJudgeError(f"{title(reference)} cannot be judged: it draws random numbers; call eval() on it, or give both sides the same mask")
    call, real, plain = _call(reference, ready, taken, dtype, wanted)
    if plain:
        ready = resolved(taken.plain, framework)
    call = _with_params(call, reference, ready, params or {}).astype(dtype)
    given = GivenCall(title(reference), ready, call, real)
    return _with_outputs(given, outputs, [own for place, (name, own) in enumerate(real.items()) if place in wanted or name in wanted])


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
    keywords: Mapping[str, Any]

    @property
    def __name__(self) -> str:
        return title(self.func)

    def __call__(self, *arrays: Any, **params: Any) -> Any:
        return applied(self.func, _filled(self.arguments, arrays), {**_filled(self.keywords, arrays), **params})


@dataclass(frozen=True)
class _Taken:
    """The arrays among a reference's arguments, and a function of just these.

    Attributes
    ----------
    places : list of int
        The argument in which each array is, counted from the first.
    held : list of str
        The names of the last arrays, which are in a ``functools.partial``.
    """

    function: Any
    arrays: list[npt.NDArray[Any]]
    places: list[int]
    held: list[str] = field(default_factory=list)

    @property
    def plain(self) -> _Filled:
        """The function as one of which nothing is known."""
        return _Filled(self.function, [_Place(number) for number in range(len(self.arrays))], {})


def _taken_apart(reference: Any, inputs: Sequence[Any]) -> _Taken:
    """Return all arrays among the arguments. They need not be in the precision in which the oracle computes."""
    arrays: list[npt.NDArray[Any]] = []
    places: list[int] = []
    # Numbers are settings, such as an axis, beside arrays. Alone, they are what the function is of.
    alone = not any(map(is_array, flat(list(inputs))))
    arguments: list[Any] = []
    for value in inputs:
        arguments.append(_placed(value, arrays, alone))
        places += [len(arguments) - 1] * (len(arrays) - len(places))
    if not arrays:
        raise TypeError(f"{title(reference)} gets no array: expected its inputs after it, assert_close(actual, reference, x)")
    if isinstance(reference, functools.partial) and any(map(is_array, flat([reference.args, reference.keywords]))):
        count = len(arrays)
        before = [_placed(value, arrays) for value in reference.args]
        keywords = {name: _placed(value, arrays) for name, value in reference.keywords.items()}
        named = {one.number: name for name, one in keywords.items() if isinstance(one, _Place)}
        held = [named.get(number, str(number)) for number in range(count, len(arrays))]
        return _Taken(_Filled(reference.func, [*before, *arguments], keywords), arrays, [place + len(before) for place in places], held)
    if all(isinstance(argument, _Place) for argument in arguments):
        return _Taken(reference, arrays, places)
    if not hasattr(reference, "forward") and not hasattr(reference, "vjp") and callable(reference):
        return _Taken(_Filled(reference, arguments, {}), arrays, places)
    # Modules get their inputs one by one; LSTM's states may be in a tuple.
    if any(not isinstance(one, _Place) for one in flat(arguments)):
        raise TypeError(f"{title(reference)} gets {inputs!r}, expected arrays only; a function may get other things, too")
    return _Taken(reference, arrays, places)


def _placed(value: Any, arrays: list[npt.NDArray[Any]], numbers: bool = False) -> Any:
    """Return an argument with places instead of arrays, which are added to ``arrays``; with ``numbers``, plain numbers are arrays, too."""
    if isinstance(value, Mapping):
        return {key: _placed(one, arrays, numbers) for key, one in value.items()}
    if isinstance(value, tuple | list):
        placed = [_placed(one, arrays, numbers) for one in value]
        return placed if isinstance(value, list) else tuple(placed)
    if not is_array(value) and not (numbers and isinstance(value, float | int)):
        return value
    arrays.append(as_numpy(value) if is_array(value) else np.asarray(value))
    return _Place(len(arrays) - 1)


def _filled(argument: Any, arrays: Sequence[Any]) -> Any:
    """Return arguments with arrays in their places."""
    if isinstance(argument, Mapping):
        return {key: _filled(one, arrays) for key, one in argument.items()}
    if isinstance(argument, tuple | list):
        filled = [_filled(one, arrays) for one in argument]
        return filled if isinstance(argument, list) else tuple(filled)
    return arrays[argument.number] if isinstance(argument, _Place) else argument


def _call(reference: Any, ready: Reference, taken: _Taken, dtype: np.dtype[Any], wanted: Collection[int | str]) -> tuple[Call, dict[str, str], bool]:
    """Return a call, the names of the inputs of real numbers there, and whether a gradient is wanted that the reference says it does not have."""
    count, known = len(taken.arrays) - len(taken.held), _known(ready, taken.arrays[0])
    names = list(known)[:count] if len(known) >= count else list(_names(_argument_names(reference), taken.places, ready.labels))
    names += [f"{name}_" if name in names else name for name in taken.held]
    arrays = dict(zip(names, taken.arrays, strict=True))
    if odd := [name for name, value in arrays.items() if value.dtype.kind not in "fiub"]:
        raise TypeError(f"the input {odd[0]} has the dtype {arrays[odd[0]].dtype}, expected real numbers, whole numbers or booleans")
    real = [name for name in names[:count] if arrays[name].dtype.kind == "f"]
    compared = [name for place, name in enumerate(real) if place in wanted or name in wanted]
    # A reference that knows its inputs says which have no gradient, such as a target. Its theory knows no such gradient either.
    without = [name for name, one in known.items() if not one.gradient]
    plain = any(name in without for name in compared)
    # Beside an infinite number, such as a masked score, nothing could be judged if it were an input whose gradient counts.
    graded = [name for name in real if name in compared or ((plain or name not in without) and np.isfinite(arrays[name]).all())]
    own = {name: INPUT if graded == [name] and INPUT not in names else name for name in names}
    cast = {own[name]: value.astype(dtype, copy=False) if value.dtype.kind == "f" else value for name, value in arrays.items()}
    inputs = {own[name]: cast[own[name]] for name in graded}
    usual = INPUT in inputs and set(cast) <= {INPUT, "labels"} and next(iter(cast)) == INPUT
    call = Call(inputs, constants={name: value for name, value in cast.items() if name not in inputs}, order=() if usual else tuple(cast))
    return call, {name: own[name] for name in real}, plain


def _known(ready: Reference, first: npt.NDArray[Any]) -> Inputs:
    """Return what a reference says of its inputs; nothing if it does not say, or knows no such input."""
    try:
        return {} if ready.signature is None else ready.signature.inputs(first.ndim)
    except IndexError:
        return {}


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


def _names(known: Sequence[str], places: Sequence[int], labels: bool) -> Iterator[str]:
    """Yield a name for each of the arrays, all of them different: that of its argument, or a number if this is not known."""
    for number, place in enumerate(places):
        if labels and number == 1:
            yield "labels"
        elif places.count(place) > 1 or not known or place >= len(known) or known[place] == DECISIONS:
            # Oracles give the name "decisions" a meaning of its own.
            yield str(number) if number else INPUT
        else:
            yield known[place]


def _with_params(call: Call, reference: Any, ready: Reference, params: Mapping[str, Any]) -> Call:
    """Return the call with a module's own parameters, and those given in their place."""
    if not isinstance(params, Mapping):
        raise TypeError(f"params is a {type(params).__name__}, expected a dict of names and arrays")
    own = own_parameters(reference)
    given = {name: as_numpy(value) if is_array(value) else np.asarray(value, np.float64) for name, value in params.items()}
    if ready.shapes is not None and (unknown := [name for name in given if name not in ready.shapes]):
        raise ValueError(f"params has {unknown[0]!r}, expected parameters of {title(reference)}: {', '.join(ready.shapes) or 'it has none'}")
    for name, value in given.items():
        if ready.shapes is not None and tuple(ready.shapes[name]) != value.shape:
            raise ValueError(f"params[{name!r}] has the shape {value.shape}, expected {tuple(ready.shapes[name])}")
        if value.dtype.kind not in "fiu":
            raise TypeError(f"params[{name!r}] has the dtype {value.dtype}, expected real numbers")
    return replace(call, params={**own, **given})


def _with_outputs(given: GivenCall, outputs: int, compared: Sequence[str]) -> GivenCall:
    """Return the call with the names of the reference's outputs; ``compared`` are the inputs whose gradients are compared."""
    found: list[Output] = []
    ready, call = given.reference, given.call
    if hasattr(ready.oracle, "describe"):
        try:
            found = ready.describe(call.astype(np.float64))
        except RefusedError as error:
            if set(call.inputs) <= set(compared):
                raise CannotJudgeError(f"{given.title} cannot be judged: {error}") from error
            # Some functions refuse to have a gradient with respect to some of their inputs, such as running statistics.
            inputs = {name: value for name, value in call.inputs.items() if name in compared}
            constants = {name: value for name, value in call.arguments().items() if name not in inputs}
            fewer = replace(call, inputs=inputs, constants=constants, order=call.order or tuple(call.arguments()))
            return _with_outputs(replace(given, call=fewer), outputs, compared)
    count = len(found) or outputs
    known = ready.signature.outputs if ready.signature is not None else ()
    names = [known[number] if number < len(known) else str(number) if number else OUTPUT for number in range(count)]
    quantities = tuple(quantity_of_output(one, names) for one in names)
    described = dict(zip(quantities, found, strict=False))
    whole = frozenset(quantity for quantity, one in described.items() if one.whole)
    shapes = {quantity: one.shape for quantity, one in described.items()}
    return replace(given, call=replace(call, outputs=quantities), shapes=shapes, whole=whole)


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
    return replace(call, cotangents=cotangents)
