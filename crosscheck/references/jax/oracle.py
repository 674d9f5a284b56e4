"""JAX: functions as oracles, differentiated in reverse mode.

A function of arrays is traced and compiled once for each set of shapes. Its rounding errors are measured unless its oracle is created with an error
theory, as in ``JaxOracle(function, Multilinear())``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
import numpy.typing as npt
from jax import lax
from jax.extend import core

from crosscheck.core.arguments import Signature, flat
from crosscheck.core.operation import Arrays, Call, Oracle, RefusedError, Rounding
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.graph.graph import Graph
from crosscheck.oracles.theories import Measured
from crosscheck.oracles.theories.measured import RUNS, SCALES
from crosscheck.references.functions import REFUSALS, Output, applied, refusing, title, unusable
from crosscheck.references.jax.graph.call import graph_of
from crosscheck.references.jax.noise import perturbed as jax_noise

NAME = f"JAX {jax.__version__}"

_AT_ONCE = RUNS // len(SCALES)
"""The number of perturbed runs in one batch."""

_KEPT = 256
"""The number of compiled programs in each cache; each program is for one function and one set of shapes."""

_LARGE = 2**14
"""Programs with at least this number of input elements are optimised; for smaller programs, optimising takes longer than unoptimised runs."""

Function = Callable[..., Any]

Arrange = Callable[[Mapping[str, Any]], Sequence[Any]]
"""A function of inputs by name, in the call's order, that returns the positional arguments of another function."""


@dataclass(frozen=True)
class Kinks:
    """The decisions of a function at its kinks.

    ``decide`` returns the decisions for an input, as :meth:`crosscheck.core.operation.Oracle.decisions` does. ``impose`` gets an input and decisions
    as JAX arrays, and returns the function's output with these decisions.
    """

    decide: Callable[[Array], npt.NDArray[Any]]
    impose: Callable[[Any, Any], Any]


def sign_kinks() -> Kinks:
    """Return the kinks of ReLU; its decisions say whether each element is positive."""
    return Kinks(lambda x: np.asarray(x > 0, dtype=x.dtype), lambda x, signs: x * signs)


def window_kinks(kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> Kinks:
    """Return the kinks of max pooling; its decisions are the index of each window's first maximum in its plane."""

    def decide(x: Array) -> npt.NDArray[Any]:
        (up, left), (high, wide) = padding, x.shape[2:]
        padded = np.pad(x, ((0, 0), (0, 0), (up, up), (left, left)), constant_values=-np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))[:, :, :: stride[0], :: stride[1]]
        row, column = np.divmod(windows.reshape(*windows.shape[:4], -1).argmax(axis=-1), kernel[1])
        top, first = np.ogrid[: windows.shape[2], : windows.shape[3]]
        rows, columns = row + top * stride[0] - up, column + first * stride[1] - left
        assert rows.size == 0 or (rows.min() >= 0 and rows.max() < high)
        return np.asarray(rows * wide + columns)

    def impose(x: Any, winners: Any) -> Any:
        flat = x.reshape(*x.shape[:2], -1)
        return jax.numpy.take_along_axis(flat, winners.reshape(*x.shape[:2], -1), axis=2).reshape(winners.shape)

    return Kinks(decide, impose)


def oracle(reference: Function) -> JaxOracle:
    """Return the oracle of a function; it computes in the precision of its arguments, and its rounding errors are measured."""
    return JaxOracle(reference)


@dataclass(frozen=True)
class JaxOracle:
    """A function of JAX arrays as a pure function of NumPy arrays.

    Attributes
    ----------
    function : callable
        It gets the inputs, also those without a gradient, in the call's order, and the parameters: by name, or in order if its arguments are
        positional-only. It returns an array, or several in nested tuples, lists or dicts. If it has buffers, it gets them like parameters, and
        returns its outputs and a dict of the buffers' new values. JAX must be able to trace it.
    theory : Rounding
        The error theory of the function, without the errors of subnormal numbers, which XLA replaces by zero.
    shapes, labels, modes
        As in :class:`crosscheck.references.resolve.Reference`.
    evaluation : callable, optional
        The function in evaluation mode, if it differs.
    buffers : mapping
        The shapes of the buffers by name.
    masked : bool
        Whether the function gets the mask of a dropout.
    device : jax.Device, optional
        The device that computes; by default the first CPU.
    arranged : callable, optional
        Returns the positional arguments of the function, given the inputs by name in the call's order; by default the inputs themselves.
    signature : Signature, optional
        What the function says of its arguments and results.
    """

    compiled: ClassVar[bool] = True
    """Whether every new size costs seconds, because XLA compiles for it."""

    function: Function
    theory: Rounding = field(default_factory=Measured)
    settings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    kinks: Kinks | None = None
    shapes: Mapping[str, tuple[int, ...]] | None = None
    labels: bool = False
    modes: bool = False
    evaluation: Function | None = None
    buffers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    masked: bool = False
    name: str = NAME
    device: Any = None
    arranged: Arrange | None = None
    signature: Signature | None = None

    def called(self, inputs: Mapping[str, Any]) -> Any:
        """Return what the function returns for inputs by name, passed in the order in which it takes them."""
        return self.function(*(inputs.values() if self.arranged is None else self.arranged(inputs)))

    @property
    def rounding(self) -> Rounding:
        """The error theory, including the errors of subnormal numbers, which XLA replaces by zero."""
        return Flushing(self.theory)

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the outputs and gradients. An operation with kinks gets the call's decisions, if there are any, in place of its constants."""
        with self._computing(call):
            results = _named(call, _compiled(self._program(call), _kinds(call))(_given(call)))
        for name, value in results.items():
            if value.dtype.kind == "f" and value.dtype.itemsize < call.dtype.itemsize:
                raise RefusedError(
                    f"{self.name}'s {title(self.function)} computes {name} in {value.dtype}, although its arguments are {call.dtype}; convert whole "
                    "numbers and booleans before they are averaged: x.astype(float).mean()"
                )
        return results

    def noisy_runs(self, call: Call, scale: float, runs: int, seed: int, underflow: float = 0.0, flushed: float = 0.0) -> dict[str, Array]:
        """Return the results of :meth:`vjp` in a batch of perturbed runs, stacked along a new first axis.

        The perturbation of each intermediate result is ``scale`` times the result, plus ``underflow`` and, for an elementary function, ``flushed``. A
        function that draws random numbers, or has a primitive with unknown rounding, is refused.
        """
        with self._computing(call):
            numbers, run = _perturbed(self._program(call), _kinds(call))
            # Always the same number of runs, because XLA compiles for each number.
            drawn = np.random.default_rng(seed).standard_normal((max(runs, _AT_ONCE), numbers))
            results = run(drawn, (scale, underflow, flushed), _given(call))[0]
            return {name: value[:runs] for name, value in _named(call, results).items()}

    def largest(self, call: Call) -> tuple[float, float]:
        """Return two largest absolute values: in the forward pass, and in both passes. Infinite results of infinite operands do not count."""
        forward = self._largest(call.forward)
        return forward, forward if call.grad_output is None else self._largest(call)

    def _largest(self, call: Call) -> float:
        with self._computing(call):
            numbers, run = _perturbed(self._program(call), _kinds(call))
            return float(run(np.zeros((_AT_ONCE, numbers)), (0.0, 0.0, 0.0), _given(call))[1][0])

    def decisions(self, x: Array) -> npt.NDArray[Any] | None:
        """Return the function's decisions at its kinks; None if the kinks are unknown."""
        return None if self.kinks is None else self.kinks.decide(x)

    def describe(self, call: Call) -> list[Output]:
        """Return what is known of the function's outputs for a call, in order, without their names. The function is traced, but not computed."""
        with self._computing(call):
            return self._program(call).described(_kinds(call))

    def graph(self, call: Call) -> Graph:
        """Return the forward pass of a call as a graph of elementary steps, in float64."""
        call = call.astype(np.float64)
        program, names = self._program(call), _constants(call)

        def run(given: Mapping[str, Any]) -> tuple[Any, ...]:
            inputs, params, buffers, constants = (tuple(given[name] for name in group) for group in (call.inputs, call.params, call.buffers, names))
            outputs, after = program.forward(_Given(inputs, params, buffers, constants, ()))
            return (*outputs, *after)

        with self._computing(call):
            return graph_of(run, call)

    def _program(self, call: Call) -> _Program:
        imposed = self.kinks is not None and "decisions" in call.constants
        function = self.kinks.impose if self.kinks is not None and imposed else self.function
        arranged = None if imposed else self.arranged
        names = _Names(
            tuple(call.inputs), tuple(call.params), tuple(call.buffers), _constants(call), tuple(call.cotangents), call.outputs, _order(call)
        )
        return _Program(function, arranged, (id(function), id(arranged)), names)

    @contextmanager
    def _computing(self, call: Call) -> Iterator[None]:
        """Set up JAX for the oracle's device and full precision; errors of JAX become :class:`RefusedError` with the refused shapes."""
        # In float32, JAX does not know float64, as by default: a constant such as numpy.sqrt(8) would turn everything after it into float64.
        precision = full_precision(self.device, double=call.dtype != np.float32)
        with refusing(self.name, self.function, call, (*REFUSALS, ZeroDivisionError)), precision:
            yield


@contextmanager
def full_precision(device: Any = None, tf32: bool = False, double: bool = True) -> Iterator[None]:
    """Make JAX compute, also multiply matrices, in the precision of its arguments, including float64 if ``double`` is true.

    The settings hold only inside the block and in this thread, so that other code in the process that uses JAX is not affected. By default, the first
    CPU computes. With ``tf32``, a GPU may multiply float32 in TF32.
    """
    products = jax.default_matmul_precision("tensorfloat32" if tf32 else "highest")
    with jax.enable_x64(double), jax.default_device(device or jax.devices("cpu")[0]), products:
        yield


def device_of(name: str) -> jax.Device:
    """Return a device by a name such as ``"cuda:0"``; without a number, the first device. :class:`DeviceError` if there is no such device."""
    platform, _, number = name.partition(":")
    try:
        return jax.devices(platform)[int(number or 0)]
    except (RuntimeError, ValueError, IndexError) as error:
        raise unusable("JAX", name, str(error), [f"{device.platform}:{device.id}" for device in jax.devices()]) from error


def described(device: jax.Device) -> str:
    """Return a device's name and, for a GPU, its model."""
    return "cpu" if device.platform == "cpu" else f"{device.platform}:{device.id} ({device.device_kind})"


class _Names(NamedTuple):
    """The names of a program's arguments and outputs, each in order."""

    inputs: tuple[str, ...]
    params: tuple[str, ...]
    buffers: tuple[str, ...]
    constants: tuple[str, ...]
    cotangents: tuple[str, ...]
    outputs: tuple[str, ...]
    order: tuple[str, ...]


class _Given(NamedTuple):
    """The arguments of a program, in the order of their names."""

    inputs: tuple[Any, ...]
    params: tuple[Any, ...]
    buffers: tuple[Any, ...]
    constants: tuple[Any, ...]
    cotangents: tuple[Any, ...]


@dataclass(frozen=True)
class _Program:
    """A function of all arguments, which JAX traces. Programs are compared by the identity of their functions, which need not be hashable."""

    function: Function = field(compare=False)
    arranged: Arrange | None = field(compare=False)
    identity: tuple[int, int]
    names: _Names

    def __call__(self, given: _Given) -> tuple[Any, ...]:
        """Return the outputs, the new value of each buffer, and the gradients with respect to each input and parameter."""
        names = self.names

        def forward(inputs: Any, params: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
            outputs, after = self.forward(given._replace(inputs=inputs, params=params))
            # An output of whole numbers has no gradient, whatever the upstream gradient is.
            pulled = tuple(output for name, output in zip(names.outputs, outputs, strict=True) if name in names.cotangents and _is_real(output))
            return pulled, (*outputs, *after)

        if not names.cotangents:
            return forward(given.inputs, given.params)[1]
        pulled, pull, results = jax.vjp(forward, given.inputs, given.params, has_aux=True)
        upstream = dict(zip(names.cotangents, given.cotangents, strict=True))
        wanted = [upstream[name] for name, output in zip(names.outputs, results, strict=False) if name in upstream and _is_real(output)]
        cotangents = tuple(lax.convert_element_type(value, output.dtype) for value, output in zip(wanted, pulled, strict=True))
        grad_inputs, grad_params = pull(cotangents)
        return (*results, *grad_inputs, *grad_params)

    def forward(self, given: _Given) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the outputs, all if the program names none, and the new value of each buffer."""
        names = self.names
        known = dict(zip((*names.inputs, *names.constants), (*given.inputs, *given.constants), strict=True))
        named = dict(zip((*names.params, *names.buffers), (*given.params, *given.buffers), strict=True))
        arguments = {name: known[name] for name in names.order}
        returned = applied(self.function, list(arguments.values()) if self.arranged is None else self.arranged(arguments), named)
        returned, after = returned if names.buffers else (returned, {})
        return self._outputs(returned), tuple(after[name] for name in names.buffers)

    def _outputs(self, returned: Any) -> tuple[Any, ...]:
        found, wanted = flat(returned), self.names.outputs
        if len(found) >= max(1, len(wanted)) and all(isinstance(value, jax.Array) for value in found):
            return tuple(found[: len(wanted)] if wanted else found)
        wrong = [f"a {type(value).__name__}" for value in found if not isinstance(value, jax.Array)]
        kind = (wrong or [{0: "nothing", 1: "one array"}.get(len(found), f"{len(found)} arrays")])[0]
        expected = f"{len(wanted)} arrays: {', '.join(wanted)}" if len(wanted) > 1 else "one array"
        raise RefusedError(f"{title(self.function)} returned {kind}, expected {expected}; declare a function that returns only these")

    def described(self, kinds: _Given) -> list[Output]:
        """Return what is known of all outputs, for arguments of the given shapes and dtypes. Outputs without a derivative have no gradient."""
        everything = replace(self, names=self.names._replace(outputs=(), cotangents=()))
        outputs: list[Output] = []

        def moved(given: _Given, tangents: Any) -> tuple[Any, ...]:
            def forward(inputs: Any, params: Any) -> tuple[Any, ...]:
                found, _ = everything.forward(given._replace(inputs=inputs, params=params))
                outputs[:] = [Output(tuple(value.shape), not _is_real(value)) for value in found]
                return tuple(value for value in found if _is_real(value))

            return tuple(jax.jvp(forward, (given.inputs, given.params), tangents)[1])

        traced = jax.make_jaxpr(moved)(kinds, (kinds.inputs, kinds.params)).jaxpr
        depends = iter(_depends(traced, traced.invars[len(jax.tree.leaves(kinds)) :]))
        return [replace(output, gradient=not output.whole and next(depends)) for output in outputs]


def _depends(program: Any, on: Sequence[Any]) -> list[bool]:
    """Return for each result of a traced program whether it depends on any of these arguments."""
    moving = set(on)
    for equation in program.eqns:
        if any(not isinstance(atom, core.Literal) and atom in moving for atom in equation.invars):
            moving.update(equation.outvars)
    return [not isinstance(atom, core.Literal) and atom in moving for atom in program.outvars]


def _is_real(value: Any) -> bool:
    return bool(jax.numpy.issubdtype(value.dtype, jax.numpy.inexact))


def _constants(call: Call) -> tuple[str, ...]:
    # If the decisions are given, the function needs neither labels nor a mask.
    return ("decisions",) if "decisions" in call.constants else tuple(call.constants)


def _order(call: Call) -> tuple[str, ...]:
    if "decisions" in call.constants:
        return (next(iter(call.inputs)), "decisions")
    return tuple(call.order or (*call.inputs, *call.constants))


def _given(call: Call, kind: Callable[[Any], Any] = lambda value: value) -> _Given:
    constants = [call.constants[name] for name in _constants(call)]
    groups = (call.inputs.values(), call.params.values(), call.buffers.values(), constants, call.cotangents.values())
    return _Given(*(tuple(map(kind, values)) for values in groups))


def _kinds(call: Call) -> _Given:
    """Return the shape and dtype of every argument, which are a key of the caches."""
    return _given(call, lambda value: jax.ShapeDtypeStruct(value.shape, value.dtype))


def _named(call: Call, results: Sequence[Any]) -> dict[str, Array]:
    """Return the results of a program by name; whole numbers are converted to the precision of the call."""
    names = (*call.outputs, *call.buffers, *call.variables())
    arrays = {name: np.array(value) for name, value in zip(names, results, strict=False)}
    return {name: value.astype(call.dtype) if value.dtype.kind in "biu" else value for name, value in arrays.items()}


@lru_cache(maxsize=_KEPT)
def _compiled(program: _Program, kinds: _Given) -> Any:
    """Return a program compiled for arguments of the given shapes and dtypes."""
    return _jitted(program.__call__, kinds)


@lru_cache(maxsize=_KEPT)
def _perturbed(program: _Program, kinds: _Given) -> tuple[int, Any]:
    """Return how many random numbers a perturbed run of a program needs, and a compiled program that does a batch of perturbed runs."""
    traced = jax.make_jaxpr(program.__call__)(kinds)

    def run(numbers: Any, rounding: Any, given: _Given) -> tuple[Any, Any]:
        results, largest = jax_noise.perturbed(traced, jax.tree.leaves(given), jax_noise.Rounding(*rounding), numbers)
        return tuple(results), largest

    return jax_noise.count(traced), _jitted(jax.vmap(run, in_axes=(0, None, None)), kinds)


def _jitted(function: Function, kinds: _Given) -> Any:
    large = sum(kind.size for kind in jax.tree.leaves(kinds)) >= _LARGE
    return jax.jit(function, compiler_options=None if large else {"xla_backend_optimization_level": 0})


_NORMAL = float(np.finfo(np.float64).smallest_normal)
"""The smallest positive number of an oracle in float64, because XLA has no subnormal numbers."""


@dataclass(frozen=True)
class Flushing:
    """An error theory for an oracle that replaces subnormal numbers by zero; an underflow may change a result by the smallest normal number."""

    theory: Rounding

    def bounds(self, oracle: Oracle, call: Call, result: Arrays, precision: Precision) -> dict[str, Bound]:
        """Return the theory's bounds; for a subject in float64, the oracle's underflow errors are added."""
        if precision.smallest >= _NORMAL:
            return self.theory.bounds(oracle, call, result, precision)
        coarse = _Coarse(precision.dtype, precision.elements, precision.false_alarms)
        bounds = self.theory.bounds(oracle, call, result, coarse)
        picked = not _subnormal(call)
        return {name: bound if picked and not np.any(bound.n_roundings) else _widened(bound, precision) for name, bound in bounds.items()}

    def propagated(self, oracle: Oracle, call: Call, result: Arrays, error_x: Array, error_grad_output: Array | None) -> dict[str, Array]:
        """Return the theory's propagated errors unchanged, because errors in multiples of the unit roundoff do not underflow."""
        return self.theory.propagated(oracle, call, result, error_x, error_grad_output)


@dataclass(frozen=True)
class _Coarse(Precision):
    """A precision without subnormal numbers."""

    @cached_property
    def smallest(self) -> float:
        """The smallest positive number, which is the smallest normal number."""
        return _NORMAL


def _widened(bound: Bound, precision: Precision) -> Bound:
    lost = np.maximum(bound.n_roundings, 1.0) * _NORMAL / precision.unit
    return Bound(precision.error(bound) + lost, 1.0)


def _subnormal(call: Call) -> bool:
    """Return whether a call has subnormal numbers, which the oracle replaces by zero."""
    arrays = (call.inputs, call.params, call.cotangents, call.constants)
    given = [value for group in arrays for value in group.values() if value.dtype.kind == "f"]
    return any(bool(((array != 0) & (np.abs(array) < _NORMAL)).any()) for array in given)
