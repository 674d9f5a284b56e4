"""Inputs of several families for an operation of the test database, as far as its domain allows.

A family redraws the numbers of a sample. If an operation accepts only some numbers, the drawn ones are mapped into its domain, which the database
gives for elementwise functions. If the operation refuses the drawn numbers, or its result is not finite, the family scales or shifts the sample's own
numbers instead, which keeps other requirements such as being positive definite. If the result is still not finite, the family is tried weaker: an
exponential at 1000 is infinite, at 10 it is not. The strongest attempt that could be judged counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from crosscheck.core.inputs import few_values
from crosscheck.core.operation import Call, RefusedError
from crosscheck.core.precision import Array
from study.operations.database import Operation

Numbers = npt.NDArray[np.float64]

FAMILIES = ("normal", "ties", "wide", "large", "tiny", "offset")
"""The families that are tried; :mod:`crosscheck.core.inputs` explains the names."""

LEFT_OUT: Mapping[str, str] = {
    "digits": "it consists of images with two axes, which few samples are",
    "kinks": "its numbers next to zero are subnormal in every product, where nothing is judged",
    "huge": "nearly every operation leaves the range of single precision on it",
    "fortran": "the numbers are those of normal; another layout in memory is one of the subjects",
    "strided": "the numbers are those of normal; another layout in memory is one of the subjects",
}
"""The families that are not tried, each with the reason."""


@dataclass(frozen=True)
class Strength:
    """How extreme the numbers of the families are."""

    exponent: int  # ``wide``: numbers are multiplied by powers of two up to this exponent
    size: float  # ``large``: numbers are multiplied by this
    shift: float  # ``offset``: this is added to the numbers
    small: int  # ``tiny``: numbers are multiplied by two to this power


STRENGTHS = (Strength(20, 1000.0, 1024.0, -62), Strength(8, 64.0, 64.0, -24), Strength(3, 8.0, 8.0, -8))
"""From the strongest, which is the strength in :mod:`crosscheck.core.inputs`, to the weakest."""

WEAKER = frozenset({"wide", "large", "tiny", "offset"})
"""The families that can be tried weaker."""

_BOTH = frozenset({"wide", "tiny"})
"""The families that scale the upstream gradient as they scale the inputs."""


class Reference(Protocol):
    """An operation as the reference computes it."""

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return output and gradients."""


@dataclass(frozen=True)
class Attempt:
    """A call of an operation."""

    call: Call  # in single precision
    words: str  # how its numbers were made


def attempts(operation: Operation, exact: Reference, family: str, seed: int) -> Iterator[Attempt]:
    """Yield calls of a family, the strongest first, for which ``exact`` (the operation in double precision) gives finite results."""
    into = domain(operation)
    for strength, sizes in enumerate(STRENGTHS if family in WEAKER else STRENGTHS[:1]):
        for way in ("drawn", "the sample's own"):
            rng = np.random.default_rng([seed, FAMILIES.index(family), strength])
            of = drawn if way == "drawn" else changed
            arrays = [_single(into(of(rng, own, family, sizes)) if way == "drawn" else of(rng, own, family, sizes)) for own in operation.arrays]
            call = Call(arrays[0], dict(zip(operation.params, arrays[1:], strict=True)))
            try:
                shape = exact.vjp(call.astype(np.float64))["output"].shape
                numbers = rng.standard_normal(shape)
                grad_output = _single(_scaled(rng, numbers, family, sizes) if family in _BOTH else numbers)
                call = call.with_grad_output(grad_output)
                finite = all(np.isfinite(value).all() for value in exact.vjp(call.astype(np.float64)).values())
            except RefusedError:
                continue
            if call.finite() and finite:
                yield Attempt(call, f"{way}{f', {strength} times weaker' if strength else ''}")


def drawn(rng: np.random.Generator, own: Numbers, family: str, sizes: Strength) -> Numbers:
    """Return random numbers of a family, in the shape of the sample's own numbers."""
    if family == "ties":
        return few_values(rng, own.shape)
    return _scaled(rng, rng.standard_normal(own.shape), family, sizes)


def changed(rng: np.random.Generator, own: Numbers, family: str, sizes: Strength) -> Numbers:
    """Return a sample's own numbers scaled or shifted for a family; for ``ties``, rounded to a few values, only zeros to zero."""
    if family == "ties":
        return np.asarray(np.where(own == 0, 0.0, np.copysign(np.maximum(np.round(2 * np.abs(own)) / 2, 0.5), own)))
    return _scaled(rng, own, family, sizes)


def _scaled(rng: np.random.Generator, numbers: Numbers, family: str, sizes: Strength) -> Numbers:
    if family == "wide":
        return numbers * np.exp2(rng.integers(-sizes.exponent, sizes.exponent + 1, numbers.shape))
    if family == "large":
        return sizes.size * numbers
    if family == "tiny":
        return numbers * 2.0**sizes.small
    return sizes.shift + numbers if family == "offset" else numbers


def _single(numbers: Numbers) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(numbers, np.float32)


DOMAINS: Mapping[str, tuple[float | None, float | None]] = dict.fromkeys(("polygamma", "special.polygamma"), (0.0, None))
"""Domains that the database does not give. For negative numbers, polygamma has poles at integers and sums a number of terms that grows with |x|."""


def domain(operation: Operation) -> Callable[[Numbers], Numbers]:
    """Return a function that maps any numbers into the interior of an operation's domain."""
    interval: Any = DOMAINS.get(operation.info.name) or getattr(operation.info, "domain", (None, None))
    low, high = interval
    if low is None and high is None:
        return lambda numbers: numbers
    if low is not None and high is not None:
        return lambda numbers: low + (high - low) * (0.5 + 0.5 * numbers / (1 + np.abs(numbers)))
    if low is not None:
        return lambda numbers: low + _positive(numbers)
    return lambda numbers: high - _positive(numbers)


def _positive(numbers: Numbers) -> Numbers:
    return np.asarray(np.where(numbers == 0, 1.0, np.abs(numbers)))
