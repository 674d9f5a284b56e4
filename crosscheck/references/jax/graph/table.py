"""All rules by the names of JAX's primitives: one module for each kind of primitive."""

from __future__ import annotations

from collections.abc import Mapping

from crosscheck.references.jax.graph import arithmetic, control, places, products, reductions, shapes, windows
from crosscheck.references.jax.graph.translate import Rule

RULES: Mapping[str, Rule] = {
    name: rule for module in (arithmetic, shapes, reductions, products, windows, places, control) for name, rule in module.RULES.items()
}
"""The rules by the names of JAX's primitives, with hyphens replaced by underscores."""
