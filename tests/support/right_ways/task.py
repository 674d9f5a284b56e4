"""Tasks, such as a layer, and several right ways to compute each, which are judged as users' code is.

A *way* is a right implementation that differs from the others on purpose: in the order of its sums, in the formula, in the library that it calls. All
ways of a *task* get the same numbers, so that the oracle computes once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np

from crosscheck.core.check_layer import LayerCheck, check_layer
from crosscheck.core.inputs import FAMILIES, Family, normal
from crosscheck.core.judge import Judgement
from crosscheck.core.operation import DTYPES, Call, Constants, Oracle, Shape
from crosscheck.core.precision import Array, Bound, Precision
from crosscheck.oracles.theories import Measured
from tests.support.right_ways.images import of_images, standardised
from tests.support.right_ways.remembering import Remembering

Results = dict[str, Array]
Way = Callable[[Call], Results]
"""A right implementation as a pure function, in the precision of the call."""

SCALES: Mapping[str, int] = {f"1e{exponent:+d}": exponent for exponent in range(-30, 31)}
"""Normal numbers times a power of ten, by name."""

INPUTS = (*FAMILIES, *SCALES)


@dataclass(frozen=True)
class Trial:
    """What determines the numbers that all ways of a task get; ``inputs`` is a family of inputs or one of :data:`SCALES`."""

    inputs: str
    dtype: str
    seed: int


@dataclass(frozen=True)
class Compared:
    """One quantity of a right implementation, beside the same one of the reference in the same precision, and in float64."""

    quantity: str
    found: Array
    reference: Array
    exact: Array


class Task(Protocol):
    """Something to be computed."""

    @property
    def name(self) -> str:
        """The name in reports."""

    @property
    def ways(self) -> Sequence[str]:
        """The names of the right implementations."""

    @property
    def sensitive(self) -> Sequence[str]:
        """The ways whose results change with the kernels or the threads of BLAS."""

    @property
    def quantities(self) -> int:
        """The number of quantities that a way computes in a trial."""

    @property
    def cost(self) -> float:
        """The approximate time for a quantity, relative to that of most layers."""

    @property
    def measured(self) -> bool:
        """Whether the tolerances come from measured rounding."""

    @property
    def images(self) -> bool:
        """Whether the input is made of digits."""

    def judged(self, way: str, trial: Trial) -> list[Judgement]:
        """Return the verdict on every quantity that a way computes in a trial."""


def drawn(trial: Trial, images: bool = False) -> tuple[Family, float]:
    """Return the family that draws input and ``grad_output`` of a trial, and the factor of its parameters; of images the input is made of digits.

    The seed decides whether a scale applies to the input, the parameters, ``grad_output`` or all three.
    """
    if trial.inputs in FAMILIES:
        family = FAMILIES[trial.inputs]
        return of_images(family) if images else family, 1.0
    factor = 10.0 ** SCALES[trial.inputs]
    of_input, of_params, of_cotangent = [(factor, 1.0, 1.0), (1.0, factor, 1.0), (1.0, 1.0, factor), (factor,) * 3][
        int(np.random.default_rng([trial.seed, SCALES[trial.inputs] + 30]).integers(4))
    ]
    numbers = standardised if images else normal
    return Family(
        trial.inputs, "", lambda rng, shape: of_input * numbers(rng, shape), lambda rng, shape: of_cotangent * normal(rng, shape)
    ), of_params


def cotangent(call: Call) -> Array:
    """Return the gradient of the output, which every trial has."""
    assert call.grad_output is not None
    return call.grad_output


def nothing(rng: np.random.Generator, family: Family, x: Array) -> Constants:
    return {}


@dataclass(frozen=True)
class Written:
    """A way as the harness takes a layer."""

    way: Way
    absent: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def vjp(self, call: Call) -> Results:
        with np.errstate(all="ignore"):
            return self.way(call)

    def reading(self, quantity: str, call: Call, value: Array) -> Bound | None:
        """Return None: every quantity is returned."""
        return None


@dataclass(frozen=True)
class Flushing(Precision):
    """A precision that replaces subnormal numbers by zero, such as that of XLA on a CPU."""

    @cached_property
    def smallest(self) -> float:
        """The smallest positive number."""
        return self.smallest_normal


@dataclass(frozen=True)
class LayerTask:
    """A layer or a loss, forward and backward; see :class:`Task` for ``sensitive``, ``cost`` and ``images``.

    Attributes
    ----------
    reference : callable
        Makes the oracle.
    written : mapping of str to callable
        The ways.
    shapes : sequence of tuple of int
        Of the input; the seed picks one.
    params, buffers : mapping of str to tuple of int
        Shapes by name; a buffer whose name ends in ``var`` is a variance.
    constants : callable
        Draws labels, or a mask.
    kind : type
        The precision of the ways.
    """

    name: str
    reference: Callable[[], Oracle]
    written: Mapping[str, Way]
    shapes: Sequence[Shape]
    params: Mapping[str, Shape] = field(default_factory=dict)
    buffers: Mapping[str, Shape] = field(default_factory=dict)
    constants: Callable[[np.random.Generator, Family, Array], Constants] = nothing
    sensitive: Sequence[str] = ()
    cost: float = 1.0
    kind: type[Precision] = Precision
    images: bool = False

    @property
    def quantities(self) -> int:
        """Output, buffers, and the gradients of input and parameters."""
        return 2 + len(self.buffers) + len(self.params)

    @property
    def ways(self) -> Sequence[str]:
        """The names of the ways."""
        return tuple(self.written)

    @cached_property
    def oracle(self) -> Remembering:
        """The oracle, which computes once for all ways."""
        return Remembering(self.reference())

    @cached_property
    def measured(self) -> bool:
        """Whether the reference's rounding is measured, because it has no error theory."""
        return isinstance(self.oracle.oracle.rounding, Measured)

    @cached_property
    def elements(self) -> int:
        """How many numbers a user's checks of this layer would compare: N, on which each tolerance depends."""
        return sum(self._numbers(shape) for shape in self.shapes) * len(FAMILIES) * len(DTYPES)

    def _numbers(self, shape: Shape) -> int:
        call = self._call(shape, FAMILIES["normal"], 1.0, "float64", 0)
        arrays = [call.x, *call.params.values(), *call.buffers.values(), *([] if call.grad_output is None else [call.grad_output])]
        return sum(value.size for value in arrays)

    @cached_property
    def _outputs(self) -> dict[Shape, Shape]:
        return {}

    @cached_property
    def _last(self) -> dict[Trial, Call]:
        return {}

    def call(self, trial: Trial) -> Call:
        """Return input, parameters, constants, buffers and ``grad_output`` of a trial, drawn once for all ways."""
        if trial not in self._last:
            self._last.clear()
            self._last[trial] = self._call(self.shapes[trial.seed % len(self.shapes)], *drawn(trial, self.images), trial.dtype, trial.seed)
        return self._last[trial]

    def _call(self, shape: Shape, family: Family, of_params: float, dtype: str, seed: int) -> Call:
        for_input, for_params, for_cotangent, for_constants, for_buffers = np.random.default_rng([seed, *map(ord, self.name)]).spawn(5)
        x = family.input(for_input, shape, dtype)
        params = {name: (of_params * for_params.standard_normal(size)).astype(dtype) for name, size in self.params.items()}
        constants = self.constants(for_constants, family, x)
        buffers = {name: _statistic(name, for_buffers, size).astype(dtype) for name, size in self.buffers.items()}
        if shape not in self._outputs:
            self._outputs[shape] = self.oracle.vjp(Call(x, params, None, constants, buffers).astype(np.float64))["output"].shape
        return Call(x, params, family.grad_output(for_cotangent, self._outputs[shape], dtype), constants, buffers)

    def check(self, way: str, trial: Trial) -> LayerCheck:
        """Judge a way, as the harness judges a layer."""
        precision = self.kind(np.dtype(trial.dtype), self.elements)
        return check_layer(Written(self.written[way]), self.oracle, self.call(trial), precision, self.name)

    def judged(self, way: str, trial: Trial) -> list[Judgement]:
        """Return the verdict on every quantity that a way computes in a trial."""
        return self.check(way, trial).judgements

    def compared(self, way: str, trial: Trial) -> Iterator[Compared]:
        """Yield every quantity of a way that could be judged, with the reference's in the same precision and the oracle's."""
        check = self.check(way, trial)
        reference = self.oracle.vjp(check.call)
        for name, value in check.expected.items():
            if name in check.found:
                yield Compared(name, check.found[name], reference[name], value)


def _statistic(name: str, rng: np.random.Generator, shape: Shape) -> Array:
    return np.asarray(rng.uniform(0.5, 2, shape) if name.endswith("var") else rng.standard_normal(shape))
