"""What PyTorch's operations are to the theory of rounding, by their names in ATen and among the primitives.

An operation that stands in no table is taken apart where that is possible, and perturbed relative to its result where not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


EXACT = _names(
    """
    _local_scalar_dense _to_copy _unsafe_index _unsafe_view abs alias amax amin arange argmax argmin argsort as_strided bitwise_and bitwise_not
    bitwise_or bitwise_xor broadcast_in_dim bucketize cat ceil channel_shuffle clamp clamp_max clamp_min clone collapse_view constant_pad_nd
    contiguous convert_element_type copy copy_to copysign detach diag diag_embed embedding empty empty_like empty_strided eq expand eye fill
    fill_tensor flip floor floor_divide fmax fmin frac full full_like gather ge gt hardtanh hardtanh_backward index index_select isfinite isinf
    isnan item le lift lift_fresh linspace logical_and logical_not logical_or logical_xor lt masked_fill masked_select max
    max_pool2d_with_indices max_pool3d_with_indices maximum median min minimum nan_to_num narrow_copy ne neg new_empty new_empty_strided
    new_full new_ones new_zeros nonzero ones ones_like permute_copy pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d relu repeat
    replication_pad1d replication_pad2d replication_pad3d resize roll round scalar_tensor scatter searchsorted select_scatter set set_data sgn
    sign slice_scatter sort stack threshold threshold_backward topk tril triu trunc unfold unsafe_split unsafe_split_with_sizes
    upsample_nearest1d upsample_nearest2d upsample_nearest3d view_of where zero zeros zeros_like
    """
)
"""Operations whose every result is one of the operands' numbers, a constant or a decision. Views are recognised by their signature."""

SUMS = _names(
    """
    _unsafe_index_put col2im cumsum embedding_dense_backward index_add index_put max_pool2d_with_indices_backward
    max_pool3d_with_indices_backward reflection_pad1d_backward reflection_pad2d_backward replication_pad1d_backward replication_pad2d_backward
    scatter_add sum trace unfold_backward upsample_nearest1d_backward upsample_nearest2d_backward upsample_nearest3d_backward
    """
)
"""Sums of n numbers: n - 1 roundings, none where there is but one number."""

PRODUCTS = _names(
    """
    _trilinear addmm addmv addr baddbmm bmm convolution convolution_backward dot ger mm mv vdot
    """
)
"""Sums of n products: n roundings."""


def _square(size: Any, dims: int) -> tuple[int, ...]:
    return (size,) * dims if isinstance(size, int) else tuple(size) * (dims // len(size))


AVERAGES: dict[str, Callable[..., int]] = {
    "avg_pool2d": lambda x, kernel, *others: math.prod(_square(kernel, 2)),
    "avg_pool3d": lambda x, kernel, *others: math.prod(_square(kernel, 3)),
    "avg_pool2d_backward": lambda grad, x, kernel, *others: math.prod(_square(kernel, 2)),
    "avg_pool3d_backward": lambda grad, x, kernel, *others: math.prod(_square(kernel, 3)),
    "_adaptive_avg_pool2d": lambda x, size: -(-x.numel() // math.prod(size)),
    "_adaptive_avg_pool2d_backward": lambda grad, x: -(-x.numel() // grad.numel()),
    "upsample_linear1d": lambda *given: 2,
    "upsample_linear1d_backward": lambda *given: 2,
    "upsample_bilinear2d": lambda *given: 4,
    "upsample_bilinear2d_backward": lambda *given: 4,
}
"""Sums of terms that share a divisor or have weights that add up to 1, and how many terms they have at most."""

FUNCTIONS = _names(
    """
    acos acosh asin asinh atan atan2 atanh cos cosh digamma erf erfc erfinv exp exp2 float_power hypot lgamma log log10 log2 pow sigmoid sin
    sinh special_erfcx special_i0 special_i1 special_log_ndtr special_ndtri tan tanh
    """
)
"""Elementary functions."""

OF_POWERS = {0.0: 0, 1.0: 0, 2.0: 1, 0.5: 1, -1.0: 1}
"""Roundings of a power by its exponent, where that makes it a product, a root or a quotient."""

FILLS = _names(
    """
    clamp clamp_max clamp_min constant_pad_nd fill full full_like hardtanh masked_fill new_full scalar_tensor where
    """
)
"""Exact operations that may write a number of the code's into a result."""


@cache
def is_known(name: str) -> bool:
    """Return whether it is said here what an operation is."""
    arithmetic = {"add", "sub", "rsub", "mul", "div", "true_divide", "sqrt", "rsqrt", "reciprocal"}
    return any(name in names for names in (EXACT, SUMS, PRODUCTS, AVERAGES, FUNCTIONS, arithmetic))
