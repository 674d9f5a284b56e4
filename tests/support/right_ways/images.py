"""Whole digit images as inputs: the right ways run on them, in the place of small arrays of random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
from digits.files import SHIPPED, load

from crosscheck.core.inputs import Family
from crosscheck.core.operation import Shape

SIDE = 28
PIXELS = SIDE * SIDE

Numbers = npt.NDArray[np.float64]


@cache
def _pixels() -> Numbers:
    """Return the digits that ship, ``(1000, 784)``, from 0 for the background to 1."""
    return load(SHIPPED).train_images.reshape(-1, PIXELS) / 255


def pixels(rng: np.random.Generator, shape: Shape) -> Numbers:
    """Return as many digits as fill a shape, pixel after pixel."""
    size = math.prod(shape)
    drawn = rng.integers(0, len(_pixels()), math.ceil(size / PIXELS))
    return _pixels()[drawn].reshape(-1)[:size].reshape(shape)


def standardised(rng: np.random.Generator, shape: Shape) -> Numbers:
    """Return digits whose pixels have about mean 0 and variance 1, as most networks are shown them."""
    return (pixels(rng, shape) - 0.1307) / 0.3081


def _few_greys(rng: np.random.Generator, shape: Shape) -> Numbers:
    return np.round(4 * pixels(rng, shape)) / 4


def _wide(rng: np.random.Generator, shape: Shape) -> Numbers:
    return standardised(rng, shape) * np.exp2(rng.integers(-20, 21, shape))


_AS: Mapping[str, Callable[[np.random.Generator, Shape], Numbers]] = {
    "digits": lambda rng, shape: pixels(rng, shape) - 0.5,
    "ties": _few_greys,
    "kinks": pixels,
    "wide": _wide,
    "large": lambda rng, shape: 1000 * pixels(rng, shape),
    "tiny": lambda rng, shape: 2.0**-62 * standardised(rng, shape),
    "huge": lambda rng, shape: 2.0**50 * standardised(rng, shape),
    "offset": lambda rng, shape: 1024 + standardised(rng, shape),
}
"""What digits become in the families of inputs; in the others they are standardised."""


def of_images(family: Family) -> Family:
    """Return a family with digits in the place of random numbers; its cotangents, parameters and order in memory stay."""
    return replace(family, draw=_AS.get(family.name, standardised))


def image_shape(shape: Shape, places: bool = True) -> Shape:
    """Return a shape with as many axes, filled by whole digits, with the same channels or the same last axis; the batch is first.

    ``places`` says whether the axes after the second are positions, of which the layer takes any number.
    """
    if len(shape) == 2:
        return math.lcm(PIXELS, shape[1]) // shape[1], shape[1]
    if not places:
        return 1, math.lcm(PIXELS, math.prod(shape[2:])) // math.prod(shape[2:]), *shape[2:]
    channels = shape[1]
    if len(shape) == 3:
        return math.lcm(PIXELS, channels) // PIXELS, channels, PIXELS // math.gcd(PIXELS, channels)
    return (1, channels, SIDE, SIDE) if len(shape) == 4 else (1, channels, 4, SIDE // 2, SIDE // 2)
