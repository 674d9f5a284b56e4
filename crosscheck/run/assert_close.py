"""One comparison inside an existing test, without a pair: :func:`assert_close`, and the bound behind it, :func:`tolerance`.

The caller's code has run already. Its results are judged as a layer's are in a check of values: by theory, and by the witness.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.causes.divergence import Divergence, divergence_facts, examined
from crosscheck.core.arguments import flat
from crosscheck.core.check_layer import Failure, LayerContext, context_of, judge_one
from crosscheck.core.guard import SubjectError, silenced
from crosscheck.core.judge import UNLIMITED, Judgement, Kind, Verdict, judge, judgement_facts
from crosscheck.core.operation import DTYPES, Call
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.core.trace import Place
from crosscheck.core.witness import Evidence
from crosscheck.pairs.given_call import CannotJudgeError, GivenCall, as_numpy, given_call, is_array, with_grad_output
from crosscheck.report.words import counted, error_in_words, laid_out, rows

_SUPPORTED = f"expected {' or '.join(DTYPES)}; float16 and bfloat16 are not supported yet"

_LARGEST = 1 << 20
"""Causes are looked for in arrays of at most this many numbers, to save time."""

_EXACT = 2.0**53
"""Beyond this number, different whole numbers may be equal in float64."""


def assert_close(
    actual: Any,
    reference: Any,
    *inputs: Any,
    params: Mapping[str, Any] | None = None,
    grad_output: Any = None,
    grads: Any = None,
    equal_nan: bool = False,
    framework: str = "",
) -> None:
    """Raise an error unless an array is what a reference computes, up to what rounding explains.

    It takes the place of ``torch.testing.assert_close`` and ``numpy.testing.assert_allclose`` in a test. There is no ``rtol`` and no ``atol``: the
    reference runs in float64 on the numbers that your code got, and each element has its own limit, which follows from rounding errors in the
    precision of ``actual``.

    Parameters
    ----------
    actual : array, or tuple of arrays
        What your code returned, in float32 or float64: NumPy arrays, PyTorch tensors on any device, JAX arrays. Several outputs are a tuple, nested
        as you like; None stands for an output that is not compared.
    reference : callable
        What should have been computed: a module or function of PyTorch, a function of JAX, a layer of Keras, a ``functools.partial`` or ``lambda`` of
        these, or an object with a method ``vjp``. It is not called before, but here.
    *inputs : array or object
        The arguments of the reference. Arrays of real numbers are converted to the precision of ``actual``. Whole numbers and booleans are inputs
        without a gradient. Anything else, such as the number of an axis, is passed as it is.
    params : mapping of str to array, optional
        Parameters by the reference's names. A module's own parameters are used where they are not given.
    grad_output : array, or tuple of arrays, optional
        The upstream gradient that your backward pass got. If the only output is a single number, it may be left out and is 1.
    grads : array, tuple or mapping, optional
        The gradients that your code computed: those of the inputs of real numbers in their order, or a mapping with those of parameters or
        inputs by name; a tuple may end with such a mapping. None stands for a gradient that is not compared.
    equal_nan : bool
        Whether NaN is right where the reference gives NaN.
    framework : str
        The package that a function uses, such as ``"torch"``; not needed if its code refers to exactly one framework.

    Raises
    ------
    AssertionError
        If rounding cannot explain a difference, or a shape or dtype is wrong. The message says where, by how much, and most likely why.
    CannotJudgeError
        If not everything could be compared: the reference refuses the inputs, draws random numbers, or nothing limits the rounding errors of an
        element. This is no ``AssertionError``.
    TypeError, ValueError
        If the arguments do not fit, such as an ``actual`` in float16.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from crosscheck import assert_close
    >>> x = np.random.default_rng(0).standard_normal((4, 9), dtype=np.float32)
    >>> e = np.exp(x - x.max(axis=1, keepdims=True))
    >>> assert_close(e / e.sum(axis=1, keepdims=True), torch.softmax, x, 1)

    With gradients, here of a linear layer and its parameters:

    >>> linear = torch.nn.Linear(9, 2)
    >>> w, b = (p.detach().numpy() for p in linear.parameters())
    >>> dout = np.ones((4, 2), np.float32)
    >>> assert_close(x @ w.T + b, linear, x, grad_output=dout, grads=(dout @ w, {"weight": dout.T @ x, "bias": dout.sum(axis=0)}))
    """
    __tracebackhide__ = True
    try:
        with silenced():
            error = _error(actual, reference, inputs, params, grad_output, grads, equal_nan, framework)
    except CannotJudgeError as raised:
        error = raised
    if error is not None:
        raise error.with_traceback(None) from error.__cause__


def tolerance(
    reference: Any,
    *inputs: Any,
    dtype: npt.DTypeLike = "float32",
    params: Mapping[str, Any] | None = None,
    grad_output: Any = None,
    framework: str = "",
) -> Any:
    """Return the largest difference from the exact result that rounding explains, for each element.

    Parameters
    ----------
    reference, inputs, params, grad_output, framework
        As for :func:`assert_close`.
    dtype : {"float32", "float64"}
        The precision of the code that is compared.

    Returns
    -------
    array, tuple of arrays, or dict of str to array
        In the units of the results, infinite where there is no limit; a tuple for several outputs. With ``grad_output``, a dict that has all outputs
        and gradients: ``output``, ``grad_input``, ``weight.grad``.

    Raises
    ------
    CannotJudgeError
        If the reference refuses the inputs or draws random numbers.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from crosscheck import tolerance
    >>> tolerance(torch.nn.functional.relu, np.ones(3, np.float32))
    array([0., 0., 0.])
    """
    __tracebackhide__ = True
    try:
        known = str(np.dtype(dtype)) in DTYPES
    except TypeError:
        known = False
    if not known:
        raise TypeError(f"dtype is {dtype}, {_SUPPORTED}")
    with silenced():
        given = given_call(reference, inputs, np.dtype(dtype), params, framework)
        call = given.call
        if grad_output is not None:
            call = with_grad_output(given, grad_output, given.shapes)
        shapes = given.reference.oracle.vjp(call.astype(np.float64))
        precision = Precision(np.dtype(dtype), max(1, sum(value.size for value in shapes.values())))
        context = _context(given, call, precision)
        limits = {name: _limit(name, context, precision) for name in context.expected}
    if grad_output is not None:
        return limits
    outputs = tuple(limits[name] for name in call.outputs)
    return outputs if len(outputs) > 1 else outputs[0]


def _limit(quantity: str, context: LayerContext, precision: Precision) -> Array:
    """Return the largest error that theory and the witness allow."""
    expected, bound, errors = context.expected[quantity], context.bounds[quantity], context.witness.get(quantity)
    if errors is not None and errors.shape == expected.shape:
        bound = Evidence(expected, expected, bound, errors, context.call, precision).widest(quantity)
    limit = np.broadcast_to(precision.tolerance(bound), expected.shape)
    return np.where(np.isfinite(expected), limit, np.inf)


@dataclass(frozen=True)
class _Finished:
    """Code that has run already and cannot be called again."""

    absent: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def vjp(self, call: Call) -> dict[str, Array]:
        raise SubjectError("the code has run already and cannot be called again")

    def reading(self, quantity: str, call: Call, value: Array) -> Bound | None:
        return None


def _error(
    actual: Any,
    reference: Any,
    inputs: Sequence[Any],
    params: Mapping[str, Any] | None,
    grad_output: Any,
    grads: Any,
    equal_nan: bool,
    framework: str,
) -> Exception | None:
    """Return the error that a comparison ends with; None if everything agrees."""
    parts = [part if part is None else _array(part, inputs) for part in flat(actual, keep_none=True)]
    dtype = _dtype(parts, inputs)
    compared = {} if grads is None else _gradients(grads)
    given = given_call(reference, inputs, dtype, params, framework, len(parts), list(compared))
    if len(parts) != len(given.call.outputs):
        theirs = ", ".join(given.call.outputs)
        returned = counted(len(parts), "array")
        return AssertionError(
            f"MISMATCH: your code returned {returned}, {given.title} returns {len(given.call.outputs)}: {theirs}; "
            "None stands for one that is not to be compared"
        )
    found = {name: part for name, part in zip(given.call.outputs, parts, strict=True) if part is not None}
    call = given.call
    if grads is not None:
        call = with_grad_output(given, grad_output, {name: value.shape for name, value in found.items()} | given.shapes)
        found |= _named(compared, given, inputs)
    elif grad_output is not None:
        raise ValueError("grad_output is given without grads: expected the gradients that your code computed, grads=(dx,)")
    if not found:
        raise ValueError("actual and grads are None: nothing is to be compared")
    precision = Precision(dtype, max(1, sum(value.size for value in found.values())))
    return _Comparison(given, _context(given, call, precision), precision, found, equal_nan).error()


def _array(value: Any, inputs: Sequence[Any]) -> npt.NDArray[Any]:
    """Return a result as an array; a plain number has the precision of the inputs."""
    if isinstance(value, float | int) and not is_array(value):
        return np.asarray(value, None if isinstance(value, int) else _dtype((), inputs))
    if not is_array(value):
        raise TypeError(f"actual is a {type(value).__name__}, expected an array, or a tuple of arrays")
    name = str(value.dtype).removeprefix("torch.")
    if name not in DTYPES and not name.startswith(("int", "uint", "bool")):
        raise TypeError(f"actual has the dtype {name}, {_SUPPORTED}")
    return as_numpy(value)


def _dtype(found: Sequence[npt.NDArray[Any] | None], inputs: Sequence[Any]) -> np.dtype[Any]:
    """Return the precision in which code computed: that of its first result of real numbers, or else the highest among its inputs."""
    own = next((part.dtype for part in found if part is not None and part.dtype.kind == "f"), None)
    if own is not None:
        return own
    given = [str(value.dtype).removeprefix("torch.") for value in flat(list(inputs)) if is_array(value)]
    real = [name for name in given if name in DTYPES]
    return np.dtype("float32" if real and "float64" not in real else "float64")


def _gradients(grads: Any) -> dict[int | str, Any]:
    """Return the gradients to compare: those of inputs by number, parameters' and others by name."""
    if not is_array(grads) and not isinstance(grads, Mapping | float | tuple | list):
        raise TypeError(f"grads is a {type(grads).__name__}, expected an array, a tuple of arrays, or a dict")
    parts = list(grads) if isinstance(grads, tuple | list) else [grads]
    by_name = dict(parts.pop()) if parts and isinstance(parts[-1], Mapping) else {}
    return {place: value for place, value in [*enumerate(flat(parts, keep_none=True)), *by_name.items()] if value is not None}


def _named(grads: Mapping[int | str, Any], given: GivenCall, inputs: Sequence[Any]) -> dict[str, npt.NDArray[Any]]:
    """Return the gradients to compare, by quantity."""
    if not grads:
        raise ValueError("grads has no array: nothing is to be compared")
    names, places = list(given.real), [place for place in grads if isinstance(place, int)]
    if places and max(places) >= len(names):
        known = ", ".join(names) or "none"
        raise ValueError(
            f"grads has {max(places) + 1} gradients of inputs, expected those of the inputs of real numbers: {known}; parameters' go by name"
        )
    return {given.gradient_of(names[place] if isinstance(place, int) else place): _array(value, inputs) for place, value in grads.items()}


def _context(given: GivenCall, call: Call, precision: Precision) -> LayerContext:
    """Return the expected values and their bounds; a bound that cannot be computed is infinite."""
    context = context_of(given.reference.oracle, call, precision)
    if not context.expected:
        raise CannotJudgeError(f"{given.in_words} cannot be judged: {context.undecided}")
    return replace(context, bounds={name: _without_nan(bound, precision) for name, bound in context.bounds.items()})


def _without_nan(bound: Bound, precision: Precision) -> Bound:
    limit = precision.error(bound)
    return Bound(np.where(np.isnan(limit), np.inf, limit), 1.0) if np.isnan(limit).any() else bound


@dataclass(frozen=True)
class _Comparison:
    """Results of code beside what is expected."""

    given: GivenCall
    context: LayerContext
    precision: Precision
    found: Mapping[str, npt.NDArray[Any]]
    equal_nan: bool

    def error(self) -> Exception | None:
        """Return the error that says what is wrong, or what could not be judged; None if everything is right."""
        judged = [self._judged(name, value) for name, value in self.found.items()]
        wrong = [one for one in judged if one[0].verdict is Verdict.MISMATCH]
        unjudged = [text for judgement, _, _ in judged if (text := self._not_judged(judgement))]
        if wrong:
            return AssertionError(self._message(wrong, unjudged))
        if unjudged:
            title = f"CANNOT JUDGE: {self.given.in_words}, {self.precision.dtype}"
            return CannotJudgeError(laid_out(title, [("undecided", text) for text in unjudged]))
        return None

    def _judged(self, quantity: str, found: npt.NDArray[Any]) -> tuple[Judgement, Bound | None, LayerContext]:
        """Return the judgement on one quantity, the bound that was used, and the context of the elements that are finite in the reference."""
        place, context = Place(0, self.given.title, quantity), self.context
        if quantity not in context.expected:
            return Judgement(place, Kind.ISOLATED, Verdict.UNDECIDED, found.size, reason=context.undecided), None, context
        expected = context.expected[quantity]
        if quantity in self.given.whole:
            return self._of_whole_numbers(place, found, expected), None, context
        finite = np.isfinite(expected)
        if found.shape == expected.shape and found.dtype == self.precision.dtype and not finite.all():
            if (special := self._of_special_values(place, found, expected)) is not None:
                return special, None, context
            limit = np.broadcast_to(self.precision.error(context.bounds[quantity]), expected.shape)
            if finite.any() and not np.isfinite(limit[finite]).any():
                return Judgement(place, Kind.ISOLATED, Verdict.UNDECIDED, found.size, reason=UNLIMITED), None, context
            bound = Bound(np.where(finite, limit, 0.0), np.where(finite, 1.0, 0.0))
            errors = {quantity: np.where(finite, context.witness[quantity], 0.0)} if quantity in context.witness else {}
            context = replace(context, expected={quantity: np.where(finite, expected, 0.0)}, bounds={quantity: bound}, given=errors)
            found = np.where(finite, found, found.dtype.type(0))
        judgement, used = judge_one(place, Kind.ISOLATED, quantity, found, context, _Finished(), self.precision)
        return judgement, used, context

    def _of_whole_numbers(self, place: Place, found: npt.NDArray[Any], expected: Array) -> Judgement:
        """Return the judgement on an output that holds whole numbers, which must be equal."""
        if found.dtype.kind not in "iub":
            return Judgement(place, Kind.ISOLATED, Verdict.MISMATCH, found.size, reason=f"the dtype is {found.dtype}, expected whole numbers")
        if (largest := float(np.abs(expected).max(initial=0.0))) > _EXACT:
            reason = f"whole numbers beyond 2**53 cannot be compared: the largest is {largest:.0f}"
            return Judgement(place, Kind.ISOLATED, Verdict.UNDECIDED, found.size, reason=reason)
        double = Precision(np.dtype(np.float64), self.precision.elements)
        return judge(place, Kind.ISOLATED, found.astype(np.float64), expected, self.context.bounds[place.quantity], double)

    def _of_special_values(self, place: Place, found: Array, expected: Array) -> Judgement | None:
        """Return the mismatch if a result is not NaN or infinite where the reference is; None if it is."""
        same = (found == expected) | (np.isnan(found) & np.isnan(expected) & self.equal_nan)
        differs = ~np.isfinite(expected) & ~same
        if not differs.any():
            return None
        index = tuple(int(i) for i in np.unravel_index(int(differs.argmax()), found.shape))
        reason = f"at {list(index)} it is {float(found[index]):g}, in the reference {float(expected[index]):g}"
        if np.isnan(found[index]) and np.isnan(expected[index]):
            reason = f"it is NaN at {list(index)}, as in the reference; if that is right, say equal_nan=True"
        return Judgement(place, Kind.ISOLATED, Verdict.MISMATCH, found.size, int(differs.sum()), reason=reason)

    def _not_judged(self, judgement: Judgement) -> str:
        """Return which elements of a quantity were not judged, and why; empty if all were."""
        quantity, size = judgement.place.quantity, self.found[judgement.place.quantity].size
        if judgement.verdict in (Verdict.UNDECIDED, Verdict.SKIPPED):
            return f"{quantity}: {judgement.reason}"
        if judgement.verdict is Verdict.MATCH and judgement.elements < size:
            return f"{quantity}: no limit to the rounding error of {size - judgement.elements:,} of {size:,} elements"
        return ""

    def _message(self, wrong: Sequence[tuple[Judgement, Bound | None, LayerContext]], unjudged: Sequence[str]) -> str:
        first, *others = wrong
        quantity = first[0].place.quantity
        facts = divergence_facts(self._examined(*first), "")
        owner = "" if self.given.reference.name == self.given.title else f"{self.given.reference.name}'s "
        where = f"{quantity} ({self.precision.dtype}), beside {owner}{self.given.in_words}"

        def found() -> Iterator[tuple[str, str]]:
            yield "where", where
            for heading, text in rows(facts):
                known = heading != "likely cause" or facts["cause"] != "unknown" or not facts["reason"]
                if heading != "where" and known:
                    yield heading, text
            for judgement, _, _ in others:
                yield "also wrong", f"{judgement.place.quantity}: {judgement.reason or error_in_words(judgement_facts(judgement))}"
            yield from (("not judged", text) for text in unjudged)

        return laid_out(f"MISMATCH: {quantity} is not what {self.given.title} computes", found())

    def _examined(self, judgement: Judgement, bound: Bound | None, context: LayerContext) -> Divergence:
        """Return a mismatch with its likely cause, if one is found."""
        quantity = judgement.place.quantity
        found, expected, oracle = self.found[quantity], context.expected[quantity], context.oracle
        if bound is None or oracle is None or expected.size > _LARGEST or not np.isfinite(self.context.expected[quantity]).all():
            return Divergence(judgement)
        failure = Failure(judgement, found, expected, bound, context.wide, oracle, _Finished(), self.precision)
        try:
            return examined(failure)
        except Exception:  # noqa: BLE001 - the search for a cause must not hide the mismatch
            return Divergence(judgement)
