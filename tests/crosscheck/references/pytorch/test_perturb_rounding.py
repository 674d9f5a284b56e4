"""Perturbed rounding: random factors of mean 1 and the variance asked for, uniform, independent, the same from the same seed, however small."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from crosscheck.references.jax.noise.perturbed import Numbers
from crosscheck.references.jax.training import _Perturbation
from crosscheck.references.pytorch.perturb_rounding import perturb, perturbed, random_like

COUNT = 1 << 18
SCALE = 2.0**-20
CHANCE = 1e-6
"""Of a false alarm in each of these tests, were their seed another one."""
LIMIT = NormalDist().inv_cdf(1 - CHANCE / 2)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def factors(way: Callable[[torch.Tensor, float, torch.Generator], torch.Tensor], seed: int = 0) -> torch.Tensor:
    """Return by how much ones were changed, in units of the scale."""
    return (way(torch.ones(COUNT, dtype=torch.float64), SCALE, seeded(seed)) - 1) / SCALE


def deviations(xi: torch.Tensor) -> tuple[float, float, float]:
    """Return how many standard deviations mean, variance and correlation of neighbours are from 0, 1 and 0.

    Those of the mean are 1 / sqrt(n), of the variance of uniform numbers sqrt(0.8 / n), of the correlation 1 / sqrt(n).
    """
    root = math.sqrt(len(xi))
    return float(xi.mean()) * root, (float(xi.square().mean()) - 1) * root / math.sqrt(0.8), float((xi[1:] * xi[:-1]).mean()) * root


def test_moments() -> None:
    assert [size for size in deviations(factors(perturbed)) if abs(size) > LIMIT] == []


def test_uniform() -> None:
    """As many in each tenth of the range, whose ends are those of a uniform distribution of variance 1."""
    xi, end = factors(perturbed), math.sqrt(3)
    counts = torch.histc(xi, bins=10, min=-end, max=end)
    assert float(counts.sum()) == COUNT
    of_one = math.sqrt(COUNT * 0.1 * 0.9)
    assert float((counts - COUNT / 10).abs().max()) < LIMIT * of_one


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(lambda value, scale, generator: perturbed(value, 1.02 * scale, generator), id="larger"),
        pytest.param(lambda value, scale, generator: perturbed(value, scale, generator) + 0.02 * scale, id="not around 1"),
        pytest.param(lambda value, scale, generator: perturbed(value[:1], scale, generator).expand(COUNT), id="one for all"),
    ],
)
def test_wrong_noise_is_found(way: Callable[[torch.Tensor, float, torch.Generator], torch.Tensor]) -> None:
    assert [size for size in deviations(factors(way)) if abs(size) > LIMIT]


def test_seed() -> None:
    first, again, other = factors(perturbed), factors(perturbed), factors(perturbed, seed=1)
    assert torch.equal(first, again)
    assert abs(float((first * other).mean())) * math.sqrt(COUNT) < LIMIT


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (2, 5)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    value = torch.ones(shape, dtype=torch.float64)
    assert random_like(value, seeded()).shape == shape
    assert perturbed(value, SCALE, seeded()).shape == shape


def test_in_place() -> None:
    """The same factors; a scale of 0 draws none."""
    value, generator = torch.arange(1.0, 6.0, dtype=torch.float64), seeded()
    expected = perturbed(value, SCALE, seeded())
    perturb(value, 0.0, generator)
    perturb(value, SCALE, generator)
    assert torch.equal(value, expected)


Way = Callable[[np.ndarray, float, np.ndarray], np.ndarray]
"""Perturbs numbers by random ones of mean 0 and variance 1, at a scale."""


def by_torch(value: np.ndarray, scale: float, xi: np.ndarray) -> np.ndarray:
    return np.asarray(perturbed(torch.from_numpy(value), scale, seeded()))


def by_jax(value: np.ndarray, scale: float, xi: np.ndarray) -> np.ndarray:
    perturbation = _Perturbation({"layer/output": jnp.asarray(scale)}, Numbers(jnp.asarray(xi)))
    return np.asarray(perturbation.perturbed(jnp.asarray(value), ("layer", "output")))


def drift(way: Way) -> float:
    """Return how many standard deviations the mean change is from 0, of numbers that are perturbed by as much as their last digit is worth."""
    rng = np.random.default_rng(0)
    value, xi = rng.uniform(1, 2, COUNT), rng.uniform(-math.sqrt(3), math.sqrt(3), COUNT)
    change = way(value, 2.0**-53 / math.sqrt(3), xi) - value
    assert change.any()
    return float(change.mean() / change.std() * math.sqrt(COUNT))


@pytest.mark.parametrize("way", [by_torch, by_jax])
def test_last_digit_is_moved_up_as_often_as_down(way: Way) -> None:
    assert abs(drift(way)) < LIMIT


def test_factor_that_rounds_is_found() -> None:
    """Below 1 numbers lie twice as close as above: the factor itself is 1 or less."""
    assert drift(lambda value, scale, xi: value * (1 + scale * xi)) < -LIMIT
