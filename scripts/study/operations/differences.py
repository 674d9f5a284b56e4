"""Known differences: where JAX, or PyTorch's own decomposition, differs from PyTorch's kernel or loses digits that the kernel keeps, and why.

Every entry was examined in double precision as well: there, conventions and wrong formulas still differ, lost digits do not. A mismatch that an entry
explains is not a false alarm and is counted separately.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from study.operations.subjects import DECOMPOSED, JAX


@dataclass(frozen=True)
class Difference:
    """A known difference between PyTorch's kernels and another way to compute some operations."""

    operations: tuple[str, ...]
    reason: str
    families: tuple[str, ...] = ()  # the families of inputs on which the results differ; empty for all
    quantities: str = "*"  # a pattern for the names of the quantities that differ
    way: str = JAX  # the other way to compute the operations


DIFFERENCES = (
    Difference(("abs",), "convention: at 0 its derivative is 1, PyTorch's 0", ("ties",), "grad_input"),
    Difference(("nn.functional.leaky_relu",), "convention: at 0 its derivative is that of the positive side", ("ties",), "grad_input"),
    Difference(("clamp",), "convention: where a number equals the limit each of the two gets half of the gradient", ("ties",), "*grad*"),
    Difference(
        ("nn.functional.layer_norm",),
        "jax.nn.standardize takes the mean of the squares less the square of the mean, which cancels far from 0",
        ("offset",),
    ),
    Difference(
        ("logaddexp",),
        "its derivative is the exponential of an input less the result, which has lost the digits behind the point",
        ("offset", "large", "wide"),
        "*grad*",
    ),
    Difference(("erfinv",), "1 - x * x is formed, which cancels next to 1", ("wide", "large", "offset")),
    Difference(
        ("i0",), "its derivative is not 0 at 0: it is put together from two functions with a kink there", ("ties", "wide", "tiny"), "grad_input"
    ),
    Difference(("digamma",), "its derivative, polygamma, is not the right one at negative numbers", quantities="grad_input"),
    Difference(("sinc",), "the derivative near 0 divides by a square that has underflowed", ("tiny",), "grad_input"),
    Difference(("hypot",), "squares of its inputs underflow", ("tiny",)),
    Difference(("std", "kron", "matmul", "mm", "nn.functional.layer_norm"), "XLA takes subnormal numbers for 0, also on the way", ("tiny",)),
    Difference(
        ("nn.functional.grid_sample",),
        "bicubic, reflected: PyTorch's decomposition and its kernel sample at different places far outside the image",
        ("wide", "large", "offset"),
        way=DECOMPOSED,
    ),
)
"""All known differences."""


def difference(way: str, operation: str, family: str, quantity: str) -> str:
    """Return why a way to compute an operation differs in a quantity on a family of inputs; empty if no difference is known."""
    for one in DIFFERENCES:
        if way == one.way and operation in one.operations and (not one.families or family in one.families) and fnmatchcase(quantity, one.quantities):
            return one.reason
    return ""
