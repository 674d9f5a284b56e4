"""Families of inputs: each reveals mistakes that others hide.

Normally distributed numbers are never equal, so they do not reveal a wrong tie rule. Digits on a constant background do not reveal a dropped last
row. Neither family has a zero at a kink. A layer is right if it is right on all families. The cotangent is random in every family, because a
cotangent of ones hides half of the usual mistakes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosscheck.core.operation import Shape
from crosscheck.core.precision import Array

Draw = Callable[[np.random.Generator, Shape], npt.NDArray[np.float64]]

_BATCH = 8
"""The number of random samples from which a running statistic is computed."""


def arranged(array: Array, memory: str) -> Array:
    """Return a copy of an array in the given memory order: ``"C"``, ``"F"``, or ``"strided"`` for a stride of -2 elements along the last axis."""
    if memory != "strided" or not array.ndim:
        return np.array(array, order="F" if memory == "F" else "C")
    view = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)[..., ::-2]
    view[...] = array
    return view


def memory_of(array: Array) -> str:
    """Return the name of an array's memory order: ``"C"``, ``"F"`` or ``"strided"``."""
    if array.flags.c_contiguous:
        return "C"
    return "F" if array.flags.f_contiguous else "strided"


def normal(rng: np.random.Generator, shape: Shape) -> npt.NDArray[np.float64]:
    """Return independent numbers from the standard normal distribution."""
    return rng.standard_normal(shape)


@dataclass(frozen=True)
class Family:
    """A family of inputs: the distributions of the input, the cotangent and the parameters."""

    name: str  # the name in test ids
    reveals: str  # the mistakes that it reveals
    draw: Draw  # draws the input, given a generator and a shape
    cotangent: Draw  # draws the cotangent in the same way
    memory: str = "C"  # the memory order of input and cotangent, as for :func:`arranged`
    parameters: Draw = normal

    def input(self, rng: np.random.Generator, shape: Shape, dtype: npt.DTypeLike) -> Array:
        """Return an input of this family."""
        return arranged(self.draw(rng, shape).astype(dtype), self.memory)

    def grad_output(self, rng: np.random.Generator, shape: Shape, dtype: npt.DTypeLike) -> Array:
        """Return a random cotangent of this family."""
        return arranged(self.cotangent(rng, shape).astype(dtype), self.memory)

    def statistic(self, rng: np.random.Generator, shape: Shape, dtype: npt.DTypeLike, name: str) -> Array:
        """Return a running statistic computed from numbers of this family: a variance if ``name`` ends in ``var``, otherwise a mean."""
        batch = self.draw(rng, (_BATCH, *shape))
        return np.asarray(batch.var(axis=0) if name.endswith("var") else batch.mean(axis=0), dtype)


def digits(rng: np.random.Generator, shape: Shape) -> npt.NDArray[np.float64]:
    """Return images of pen strokes on a background of -0.5, along the last two axes; with two or fewer axes, an image is a single row."""
    height, width = shape[-2:] if len(shape) > 2 else (1, shape[-1] if shape else 1)
    images = np.full(shape, -0.5).reshape(-1, height, width)
    pens = rng.integers((height, width), size=(len(images), 2))
    for _ in range(max(height, width)):
        images[range(len(images)), *pens.T] = rng.integers(1, 256, len(images)) / 255 - 0.5
        pens = np.clip(pens + rng.integers(-1, 2, pens.shape), 0, (height - 1, width - 1))
    return images.reshape(shape)


def few_values(rng: np.random.Generator, shape: Shape) -> npt.NDArray[np.float64]:
    """Return numbers drawn from a set of five values."""
    return rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], shape)


def kinks(rng: np.random.Generator, shape: Shape) -> npt.NDArray[np.float64]:
    """Return zeros of both signs, normally distributed numbers, and numbers very close to zero."""
    hardly = float(np.finfo(np.float32).tiny)
    kind = rng.integers(0, 4, shape)
    sign = rng.choice([-1.0, 1.0], shape)
    return np.choose(kind, [sign * 0.0, rng.standard_normal(shape), sign * hardly, sign * 0.0])


def some_zeros(rng: np.random.Generator, shape: Shape) -> npt.NDArray[np.float64]:
    """Return normally distributed numbers, about a quarter of them replaced by zeros, like pruned parameters or biases that start at zero."""
    numbers = rng.standard_normal(shape)
    return np.where(rng.integers(0, 4, shape) == 0, 0.0, numbers)


def wide(rng: np.random.Generator, shape: Shape) -> npt.NDArray[np.float64]:
    """Return numbers whose magnitudes differ by factors of up to about 2^40."""
    return rng.standard_normal(shape) * np.exp2(rng.integers(-20, 21, shape))


def large(rng: np.random.Generator, shape: Shape) -> npt.NDArray[np.float64]:
    """Return numbers of about 1000; their exponentials overflow."""
    return 1000 * rng.standard_normal(shape)


def offset(rng: np.random.Generator, shape: Shape) -> npt.NDArray[np.float64]:
    """Return numbers from a normal distribution with mean 1024 and variance 1."""
    return 1024 + rng.standard_normal(shape)


def _scaled(exponent: int) -> Draw:
    def draw(rng: np.random.Generator, shape: Shape) -> npt.NDArray[np.float64]:
        return rng.standard_normal(shape) * 2.0**exponent

    return draw


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("normal", "formulas, signs, transposed axes", normal, normal),
        Family("digits", "a wrong tie rule, padding that is taken for the maximum", digits, normal),
        Family("ties", "a wrong tie rule", few_values, normal),
        Family("kinks", "a wrong derivative at zero, a division by a parameter", kinks, normal, parameters=some_zeros),
        Family("wide", "sums in lower precision, cancellation", wide, wide),
        Family("large", "exponentials that overflow", large, normal),
        Family("tiny", "an epsilon that was added, an absolute threshold", _scaled(-62), _scaled(-62)),
        Family("huge", "squares and sums that overflow", _scaled(50), _scaled(50)),
        Family("offset", "a variance computed as the difference of two large numbers", offset, normal),
        Family("fortran", "a reshape that depends on the order in memory", normal, normal, "F"),
        Family("strided", "views treated as contiguous arrays", normal, normal, "strided"),
    )
}


EVALUATED = ("normal", "digits", "wide")
"""The families of inputs on which evaluation mode is checked."""


def labels(rng: np.random.Generator, batch: int, classes: int) -> npt.NDArray[Any]:
    """Return random labels that include the last class and, if there are several samples, the first."""
    result = rng.integers(0, classes, batch)
    result[-1] = classes - 1
    if batch > 1:
        result[0] = 0
    return result
