"""Initial weights: how large random numbers have to be for a signal to keep its size from layer to layer.

An output y is a sum of fan_in products w x. With independent w of mean zero, E[y**2] = fan_in * Var(w) * E[x**2]: the signal keeps its
size for Var(w) = 1 / fan_in. In the backward pass, a gradient is a sum of fan_out products, and keeps its size for Var(w) = 1 / fan_out. Glorot's
variance has the mean of fan_in and fan_out as its denominator. He's has fan_in and is doubled, because a ReLU sets half of the signal to zero.

Each initialiser is a pure function of ``(shape, fan_in, fan_out, rng, dtype)``. Numbers are drawn in float64 and rounded to the dtype: the same seed
gives the same weights in every precision. A uniform distribution on (-a, a) has variance a**2 / 3.

Glorot, Bengio: Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010. He, Zhang, Ren, Sun: Delving deep into
rectifiers, ICCV 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from scratch.layer import Array

Initialiser: TypeAlias = "Callable[[tuple[int, ...], int, int, np.random.Generator, npt.DTypeLike], Array]"
"""``(shape, fan_in, fan_out, rng, dtype)`` to an array. An output is a sum of fan_in products; an input is used by fan_out outputs."""


def normal_over_fan_in(shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator, dtype: npt.DTypeLike) -> Array:
    """Return numbers from N(0, 1) / fan_in, as the tutorial does. The signal shrinks from layer to layer; for two layers this is harmless."""
    return (rng.standard_normal(shape) / fan_in).astype(dtype)


def glorot_uniform(shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator, dtype: npt.DTypeLike) -> Array:
    """Return uniform numbers of variance 2 / (fan_in + fan_out), the default of Keras."""
    limit = math.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, shape).astype(dtype)


def glorot_normal(shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator, dtype: npt.DTypeLike) -> Array:
    """Return normal numbers of variance 2 / (fan_in + fan_out)."""
    return (rng.standard_normal(shape) * math.sqrt(2 / (fan_in + fan_out))).astype(dtype)


def he_uniform(shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator, dtype: npt.DTypeLike) -> Array:
    """Return uniform numbers of variance 2 / fan_in."""
    limit = math.sqrt(6 / fan_in)
    return rng.uniform(-limit, limit, shape).astype(dtype)


def he_normal(shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator, dtype: npt.DTypeLike) -> Array:
    """Return normal numbers of variance 2 / fan_in."""
    return (rng.standard_normal(shape) * math.sqrt(2 / fan_in)).astype(dtype)


def drawn(init: Initialiser, shape: tuple[int, ...], fan_in: int, fan_out: int, rng: np.random.Generator, dtype: npt.DTypeLike) -> Array:
    """Return the weights that an initialiser draws; raise a ValueError if their shape or dtype is wrong."""
    weight = np.asarray(init(shape, fan_in, fan_out, rng, dtype))
    if weight.shape != shape or weight.dtype != dtype:
        raise ValueError(f"init returned {weight.dtype} of shape {weight.shape}, expected {np.dtype(dtype).name} of shape {shape}")
    return weight
