"""Tables of how PyTorch's operations round, by the names of ATen operations and of PyTorch's primitives.

An operation that is in no table is decomposed, if possible; otherwise its result is perturbed by one relative rounding error.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache
from typing import Any

from crosscheck.references.noise import names

EXACT = names(
    """
    _conj_physical _local_scalar_dense _reshape_alias _to_copy _unsafe_index _unsafe_view _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d abs adaptive_max_pool2d adaptive_max_pool3d alias amax amin arange argmax argmin argsort as_strided as_strided_scatter
    bitwise_and bitwise_not bitwise_or bitwise_xor broadcast_in_dim bucketize cat ceil channel_shuffle clamp clamp_max clamp_min clone collapse_view
    constant_pad_nd contiguous convert_element_type copy copy_to copysign cummax cummin detach diag diag_embed embedding empty empty_like
    empty_strided eq expand eye fill fill_tensor flip floor floor_divide fmax fmin frac frexp full full_like gather ge gt hardshrink_backward
    hardtanh hardtanh_backward index index_select isfinite isinf isnan item kthvalue le lift lift_fresh linspace logical_and logical_not logical_or
    logical_xor lt lu_unpack masked_fill masked_scatter masked_scatter_backward masked_select max max_pool2d_with_indices max_pool3d_with_indices
    maximum median min minimum mode nan_to_num nanmedian narrow_copy ne neg new_empty new_empty_strided new_full new_ones new_zeros nonzero ones
    ones_like permute_copy pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d reflection_pad3d relu repeat replication_pad1d
    replication_pad2d replication_pad3d resize resize_as roll round scalar_tensor scatter searchsorted select_scatter set set_data set_source sgn
    sign slice_scatter softshrink_backward sort squeeze stack swapaxes swapdims t threshold threshold_backward topk transpose tril tril_indices triu
    triu_indices trunc unfold unsafe_split unsafe_split_with_sizes unsqueeze upsample_nearest1d upsample_nearest2d upsample_nearest3d view_of where
    zero zeros zeros_like
    """
)
"""Exact operations: every result is an operand's element, a constant or a decision. Views are not listed; their signature shows them."""

SUMS = names(
    """
    _unsafe_index_put _upsample_nearest_exact1d_backward _upsample_nearest_exact2d_backward _upsample_nearest_exact3d_backward
    adaptive_max_pool2d_backward adaptive_max_pool3d_backward col2im cumsum embedding_dense_backward index_add index_put
    max_pool2d_with_indices_backward max_pool3d_with_indices_backward put reflection_pad1d_backward reflection_pad2d_backward
    reflection_pad3d_backward replication_pad1d_backward replication_pad2d_backward replication_pad3d_backward scatter_add sum take_backward trace
    unfold_backward upsample_nearest1d_backward upsample_nearest2d_backward upsample_nearest3d_backward
    """
)
"""Operations that return sums of n numbers, with n - 1 roundings."""

PRODUCTS = names(
    """
    _embedding_bag_per_sample_weights_backward _trilinear addbmm addmm addmv addr baddbmm bmm convolution convolution_backward dot ger mm mv vdot
    """
)
"""Operations that return sums of n products, with n roundings."""


def _square(size: Any, dims: int) -> tuple[int, ...]:
    return (size,) * dims if isinstance(size, int) else tuple(size) * (dims // len(size))


def _window(sizes: Any, windows: Any) -> int:
    """Return the largest number of elements in a window of adaptive pooling; windows overlap if their number does not divide the size."""
    return math.prod(-(-size // count) + (size % count > 0) for size, count in zip(sizes, windows, strict=True))


def _longest(offsets: Any, count: int) -> int:
    """Return the length of the longest bag of an embedding bag."""
    starts = [*offsets.tolist(), count]
    return max((after - before for before, after in itertools.pairwise(starts)), default=1)


def _most(ids: Any) -> int:
    """Return how often the most frequent id occurs, plus 1 for the rounded division by the bag's length."""
    return int(ids.bincount().max()) + 1 if ids.numel() else 1


AVERAGES: dict[str, Callable[..., int]] = {
    "avg_pool2d": lambda x, kernel, *others: math.prod(_square(kernel, 2)),
    "avg_pool3d": lambda x, kernel, *others: math.prod(_square(kernel, 3)),
    "avg_pool2d_backward": lambda grad, x, kernel, *others: math.prod(_square(kernel, 2)),
    "avg_pool3d_backward": lambda grad, x, kernel, *others: math.prod(_square(kernel, 3)),
    "_adaptive_avg_pool2d": lambda x, size: _window(x.shape[-2:], size),
    "_adaptive_avg_pool2d_backward": lambda grad, x: _window(x.shape[-2:], grad.shape[-2:]),
    "_adaptive_avg_pool3d": lambda x, size: _window(x.shape[-3:], size),
    "_adaptive_avg_pool3d_backward": lambda grad, x: _window(x.shape[-3:], grad.shape[-3:]),
    "_embedding_bag": lambda weight, ids, offsets, *others: 0 if len(others) > 1 and others[1] == 2 else _longest(offsets, len(ids)),
    "_embedding_bag_backward": lambda grad, ids, *others: _most(ids),
    "_embedding_bag_dense_backward": lambda grad, ids, *others: _most(ids),
    "cumprod": lambda x, dim, *others: x.shape[dim] if x.dim() else 1,
    "index_reduce": lambda x, dim, index, source, kind: 0 if kind.startswith("am") else len(index) + 1,
    "prod": lambda x, *dim: (x.shape[dim[0]] if x.dim() else 1) if dim and dim[0] is not None else x.numel(),
    "scatter_reduce": lambda x, dim, index, source, kind: 0 if kind.startswith("am") else (index.shape[dim] if index.dim() else 1) + 1,
    "segment_reduce": lambda x, kind: 0 if kind in ("max", "min") else len(x),
    "_segment_reduce_backward": lambda grad, output, x, kind: 0 if kind in ("max", "min", "sum") else len(x),
}
"""For averages, products and other operations that cannot count their terms, functions of the arguments that return the number of roundings."""

FUNCTIONS = names(
    """
    acos acosh angle asin asinh atan atan2 atanh bessel_i0 bessel_i0e bessel_i1 bessel_i1e bessel_j0 bessel_j1 cos cosh erf erfc exp exp2
    float_power hypot igamma igammac log log10 log2 mvlgamma pow sigmoid sin sinh special_erfcx special_i0 special_i0e special_i1 special_i1e
    special_log_ndtr special_ndtri tan tanh zeta
    """
)
"""Elementary functions, with :data:`~crosscheck.core.precision.ELEMENTARY` roundings."""

OF_POWERS = {0.0: 0, 1.0: 0, 2.0: 1, 0.5: 1, -1.0: 1}
"""The number of roundings in a power, for the exponents that make it a product, a root or a quotient."""

ROUNDED = names("add div mul nextafter reciprocal rsqrt rsub sqrt sub true_divide")
"""Operations with one rounding relative to the result; ``nextafter`` is included because its result depends on the precision."""

FILLS = names(
    """
    clamp clamp_max clamp_min constant_pad_nd fill full full_like hardtanh masked_fill new_full scalar_tensor threshold where
    """
)
"""Exact operations that may write a constant into a result."""


@cache
def is_known(name: str) -> bool:
    """Return whether an operation is in one of these tables."""
    return any(name in names for names in (EXACT, SUMS, PRODUCTS, AVERAGES, FUNCTIONS, ROUNDED))
