"""Tables of how JAX's primitives round, by the primitives' names, with hyphens replaced by underscores.

A primitive that is in no table and computes in float64 is refused, because its rounding error is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from crosscheck.references.noise import names

EXACT = names(
    """
    abs and argmax argmin bitcast_convert_type broadcast_in_dim ceil clamp clz complex concatenate conj convert_element_type copy copy_p cummax
    cummin device_put dynamic_slice dynamic_update_slice empty empty2 eq expand_dims floor gather ge gt imag iota is_finite le lt max min name ne
    neg not optimization_barrier or pad population_count pvary real reduce_and reduce_max reduce_min reduce_or reduce_precision reduce_window_max
    reduce_window_min reduce_xor reshape rev round scatter scatter_max scatter_min select_and_gather_add select_n sharding_constraint shift_left
    shift_right_arithmetic shift_right_logical sign slice sort split squeeze stack unstack stop_gradient tile top_k transpose xor zeros_like
    """
)
"""Exact primitives: every result is an operand's element, a constant or a decision."""

SUMS = names("cumsum reduce_sum reduce_window_sum scatter_add select_and_scatter_add")
"""Primitives that return sums of n numbers, with n - 1 roundings."""

PRODUCTS = names("conv_general_dilated dot_general")
"""Primitives that return sums of n products, with n roundings."""

ADDITIONS = names("add add_any sub")
"""Primitives that return the sum or the difference of two numbers."""

ROOTS = names("cbrt nextafter rsqrt sqrt")
"""Primitives with one rounding; ``nextafter`` is included because its result depends on the precision."""

FUNCTIONS = names(
    """
    acos acosh asin asinh atan atan2 atanh bessel_i0e bessel_i1e cos cosh erf exp exp2 igamma igammac log logistic pow sin sinh tan tanh
    """
)
"""Elementary functions, with :data:`~crosscheck.core.precision.ELEMENTARY` roundings."""

OF_POWERS = {0: 0, 1: 0, 2: 1, -1: 1, 3: 2}
"""The number of roundings in an integer power, for the exponents that make it a short product or a quotient."""

STEPS: dict[str, Callable[[Any], Any]] = {
    "expm1": lambda x: jnp.exp(x) - 1,
    "log1p": lambda x: jnp.log(1 + x),
    "erfc": lambda x: 1 - lax.erf(x),
    "square": lambda x: x * x,
}
"""For some primitives, the formulas that most people write instead; cancellation in these formulas then counts."""

CALLS: dict[str, str] = {
    **dict.fromkeys(("checkpoint", "jit", "pjit", "remat", "remat2"), "jaxpr"),
    **dict.fromkeys(("closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"), "call_jaxpr"),
}
"""For primitives that run a program, the name of the parameter that holds the program."""


def is_random(name: str) -> bool:
    """Return whether a primitive draws random numbers."""
    return name.startswith(("random_", "rng_", "threefry"))
