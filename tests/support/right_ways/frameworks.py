"""PyTorch and JAX as code under test: right in their precision, with other kernels than NumPy's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np
import torch
from torch import nn

from crosscheck.core.operation import Call
from crosscheck.references.jax.oracle import JaxOracle, full_precision
from crosscheck.references.pytorch.oracle import oracle
from tests.support.right_ways.task import Results, Way


def by_torch(module: nn.Module, mkldnn: bool = True) -> Way:
    """Return PyTorch's own layer in the precision of the call, with or without oneDNN."""
    own = oracle(module)

    def without(call: Call) -> Results:
        # To set one of oneDNN's flags sets them all, about which PyTorch warns.
        with warnings.catch_warnings(action="ignore"), torch.backends.mkldnn.flags(enabled=False):
            return own.vjp(call)

    return own.vjp if mkldnn else without


def torch_ways(module: nn.Module) -> Mapping[str, Way]:
    return {"torch": by_torch(module), "torch, no oneDNN": by_torch(module, mkldnn=False)}


def by_jax(own: JaxOracle, jitted: bool, call: Call) -> Results:
    """Compute a call with JAX's own layer in the precision of the call, compiled as a whole and optimised, or step by step."""
    given = (call.x, tuple(call.params.values()), tuple(call.buffers.values()), tuple(call.constants.values()), call.grad_output)
    with full_precision(), nullcontext() if jitted else jax.disable_jit():
        results = _program(own.function, tuple(call.params), tuple(call.buffers))(*given)
    quantities = ("output", *call.buffers, "grad_input", *(f"{name}.grad" for name in call.params))
    return {name: np.array(value) for name, value in zip(quantities, results, strict=True)}


@lru_cache(maxsize=64)
def _program(function: Callable[..., Any], params: tuple[str, ...], buffers: tuple[str, ...]) -> Any:
    def program(x: Any, values: Any, kept: Any, constants: Any, grad_output: Any) -> Any:
        def forward(x: Any, *values: Any) -> Any:
            named = dict(zip((*params, *buffers), (*values, *kept), strict=True))
            output, after = function(x, *constants, **named) if buffers else (function(x, *constants, **named), {})
            return output, tuple(after[name] for name in buffers)

        output, pull, after = jax.vjp(forward, x, *values, has_aux=True)
        return (output, *after, *pull(jax.numpy.asarray(grad_output)))

    return jax.jit(program)


def jax_ways(own: JaxOracle) -> Mapping[str, Way]:
    return {"jax, jitted": partial(by_jax, own, True), "jax, step by step": partial(by_jax, own, False)}
