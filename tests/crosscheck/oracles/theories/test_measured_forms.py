"""A right formula that is not the reference's own: what it takes from several numbers at once errs by that number's size."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from crosscheck import Functions, Pair, Settings
from crosscheck.core.judge import Verdict
from crosscheck.core.precision import Array
from crosscheck.references.keras import oracle as bridge
from tests.support.unshrunk import check

import keras  # isort: skip

assert bridge
EPSILON = 1e-3


def in_torch(x: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + EPSILON)


def in_jax(x: jax.Array) -> jax.Array:
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)


def in_keras() -> Any:
    layer = keras.layers.LayerNormalization(epsilon=EPSILON, center=False, scale=False)
    layer.build((None, 10, 32))
    return layer


def closed_form(variance: Any) -> Functions:
    """Return a normalisation by hand, its gradient written as a formula that takes the normalised numbers to have a mean of zero."""

    def forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
        inverse = 1 / np.sqrt(variance(x) + x.dtype.type(EPSILON))
        output = (x - x.mean(-1, keepdims=True)) * inverse
        return output, (output, inverse)

    def backward(grad: Array, kept: tuple[Array, Array]) -> Array:
        output, inverse = kept
        return np.asarray((grad - grad.mean(-1, keepdims=True) - output * (grad * output).mean(-1, keepdims=True)) * inverse)

    return Functions(forward, backward)


def two_passes(x: Array) -> Array:
    return np.asarray(x.var(-1, keepdims=True))


def one_pass(x: Array) -> Array:
    return np.asarray((x * x).mean(-1, keepdims=True) - x.mean(-1, keepdims=True) ** 2)


VARIANCES = {"two passes": (two_passes, Verdict.MATCH), "one pass": (one_pass, Verdict.MISMATCH)}
REFERENCES = {"PyTorch": lambda: in_torch, "JAX": lambda: in_jax, "Keras": in_keras}


@pytest.mark.slow("JAX compiles for seconds, and looks for causes", default=["two passes-PyTorch", "one pass-PyTorch"])
@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("name", VARIANCES)
def test_normalisation_by_its_closed_form(name: str, reference: str) -> None:
    """Differentiating the reference's own formula forgives an error of the mean, the closed form does not: both are right."""
    variance, verdict = VARIANCES[name]
    package = "jax" if reference == "JAX" else ""
    pair = Pair(closed_form(variance), REFERENCES[reference](), shapes=[(8, 10, 32)], framework=package)
    found = check(pair, Settings(shrink=False), only=lambda check: check.startswith("values-") and check.endswith("-offset"))
    assert found.verdict is verdict
