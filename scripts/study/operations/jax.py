"""JAX as a subject beside PyTorch's operations: an independent implementation of the same functions, in single precision.

Each entry takes what PyTorch's operation takes. Where the two are known to differ :mod:`study.operations.differences` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import nn as jnn
from jax import scipy as jsp

from crosscheck.core.guard import SubjectError
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from study.operations.database import Operation


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduction(x: Any, dim: Any = None, keepdim: bool = False, **options: Any) -> Any:
        if options.keys() - {"dtype"}:
            raise SubjectError(f"JAX's version has no {', '.join(options)}")
        return function(x, axis=tuple(dim) or None if isinstance(dim, list | tuple) else dim, keepdims=keepdim)

    return reduction


def _spread(function: Callable[..., Any]) -> Callable[..., Any]:
    def spread(x: Any, dim: Any = None, unbiased: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        degrees = (1 if unbiased is None else int(unbiased)) if correction is None else correction
        return function(x, axis=tuple(dim) or None if isinstance(dim, list | tuple) else dim, ddof=degrees, keepdims=keepdim)

    return spread


def _along(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, dim, **options: function(x, axis=dim)


def _added(x: Any, other: Any, *, alpha: Any = 1) -> Any:
    return x + alpha * other


def _addmm(x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return beta * x + alpha * (a @ b)


def _softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    return jnp.where(x * beta > threshold, x, jnp.logaddexp(jnp.where(x * beta > threshold, 0.0, x * beta), 0.0) / beta)


def _clamp(x: Any, min: Any = None, max: Any = None) -> Any:  # noqa: A002 - PyTorch's own names
    return jnp.clip(x, min, max)


def _layer_norm(x: Any, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    normal = jnn.standardize(x, axis=axes, epsilon=eps)
    normal = normal if weight is None else normal * weight
    return normal if bias is None else normal + bias


def _convolved(dims: int) -> Callable[..., Any]:
    def one(value: Any) -> tuple[int, ...]:
        return (value,) * dims if isinstance(value, int) else tuple(value) * (dims // len(value))

    def convolution(x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
        if x.ndim == dims + 1:
            return convolution(x[None], weight, bias, stride, padding, dilation, groups)[0]
        around: Any = {"valid": "VALID", "same": "SAME"}.get(padding) if isinstance(padding, str) else [(size, size) for size in one(padding)]
        out = jax.lax.conv_general_dilated(x, weight, one(stride), around, rhs_dilation=one(dilation), feature_group_count=groups)
        return out if bias is None else out + bias.reshape(-1, *[1] * dims)

    return convolution


def _symmetric(function: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a function of a matrix plus its transpose, which the database gives to what takes symmetric matrices."""

    def symmetric(x: Any, **options: Any) -> Any:
        if options.get("upper"):
            raise SubjectError("JAX's version takes the lower half")
        return function(x + jnp.swapaxes(x, -1, -2))

    return symmetric


def _mse(x: Any, target: Any, reduction: str = "mean", **options: Any) -> Any:
    if options:
        raise SubjectError(f"JAX's version has no {', '.join(options)}")
    return {"mean": jnp.mean, "sum": jnp.sum, "none": lambda value: value}[reduction](jnp.square(x - target))


def _vector_norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, **options: Any) -> Any:  # noqa: A002 - PyTorch's own names
    if options:
        raise SubjectError(f"JAX's version has no {', '.join(options)}")
    if dim is None:
        out = jnp.linalg.norm(x.ravel(), ord)
        return out.reshape([1] * x.ndim) if keepdim else out
    axis = dim if isinstance(dim, int) else dim[0] if len(dim) == 1 else tuple(dim)
    if isinstance(axis, tuple) and ord == 2:  # which is a norm of matrices to JAX
        return jnp.sqrt(jnp.square(x).sum(axis, keepdims=keepdim))
    if isinstance(axis, tuple):
        raise SubjectError("JAX's version takes one axis")
    return jnp.linalg.norm(x, ord, axis=axis, keepdims=keepdim)


JAX: Mapping[str, Callable[..., Any]] = {
    "abs": jnp.abs,
    "acos": jnp.arccos,
    "acosh": jnp.arccosh,
    "add": _added,
    "addmm": _addmm,
    "amax": _reduced(jnp.max),
    "amin": _reduced(jnp.min),
    "asin": jnp.arcsin,
    "asinh": jnp.arcsinh,
    "atan": jnp.arctan,
    "atan2": jnp.arctan2,
    "atanh": jnp.arctanh,
    "bmm": jnp.matmul,
    "clamp": _clamp,
    "cos": jnp.cos,
    "cosh": jnp.cosh,
    "cumprod": _along(jnp.cumprod),
    "cumsum": _along(jnp.cumsum),
    "deg2rad": jnp.deg2rad,
    "digamma": jsp.special.digamma,
    "div.no_rounding_mode": jnp.divide,
    "dot": jnp.dot,
    "erf": jsp.special.erf,
    "erfc": jsp.special.erfc,
    "erfinv": jsp.special.erfinv,
    "exp": jnp.exp,
    "exp2": jnp.exp2,
    "expm1": jnp.expm1,
    "hypot": jnp.hypot,
    "i0": jsp.special.i0,
    "inner": jnp.inner,
    "kron": jnp.kron,
    "lgamma": jsp.special.gammaln,
    "linalg.cholesky": _symmetric(jnp.linalg.cholesky),
    "linalg.det": jnp.linalg.det,
    "linalg.inv": jnp.linalg.inv,
    "linalg.slogdet": jnp.linalg.slogdet,
    "linalg.solve": lambda a, b, left=True: jnp.linalg.solve(a, b[..., None])[..., 0] if b.ndim == a.ndim - 1 else jnp.linalg.solve(a, b),
    "linalg.vector_norm": _vector_norm,
    "log": jnp.log,
    "log10": jnp.log10,
    "log1p": jnp.log1p,
    "log2": jnp.log2,
    "log_softmax": _along(jnn.log_softmax),
    "logaddexp": jnp.logaddexp,
    "logit": lambda x, eps=None: jsp.special.logit(x if eps is None else jnp.clip(x, eps, 1 - eps)),
    "logsumexp": _reduced(jsp.special.logsumexp),
    "matmul": jnp.matmul,
    "maximum": jnp.maximum,
    "mean": _reduced(jnp.mean),
    "minimum": jnp.minimum,
    "mm": jnp.matmul,
    "mul": jnp.multiply,
    "mv": jnp.matmul,
    "neg": jnp.negative,
    "nn.functional.conv1d": _convolved(1),
    "nn.functional.conv2d": _convolved(2),
    "nn.functional.conv3d": _convolved(3),
    "nn.functional.elu": lambda x, alpha=1.0: jnn.elu(x, alpha),
    "nn.functional.gelu": lambda x, approximate="none": jnn.gelu(x, approximate == "tanh"),
    "nn.functional.layer_norm": _layer_norm,
    "nn.functional.leaky_relu": lambda x, negative_slope=0.01: jnn.leaky_relu(x, negative_slope),
    "nn.functional.linear": lambda x, weight, bias=None: x @ weight.T if bias is None else x @ weight.T + bias,
    "nn.functional.logsigmoid": jnn.log_sigmoid,
    "nn.functional.mish": jnn.mish,
    "nn.functional.mse_loss": _mse,
    "nn.functional.relu": jnn.relu,
    "nn.functional.relu6": jnn.relu6,
    "nn.functional.selu": jnn.selu,
    "nn.functional.silu": jnn.silu,
    "nn.functional.softplus": _softplus,
    "nn.functional.softsign": jnn.soft_sign,
    "outer": jnp.outer,
    "pow": jnp.power,
    "prod": _reduced(jnp.prod),
    "rad2deg": jnp.rad2deg,
    "reciprocal": jnp.reciprocal,
    "rsqrt": jax.lax.rsqrt,
    "rsub": lambda x, other, alpha=1: other - alpha * x,
    "sigmoid": jnn.sigmoid,
    "sin": jnp.sin,
    "sinc": jnp.sinc,
    "sinh": jnp.sinh,
    "softmax": _along(jnn.softmax),
    "special.i0e": jsp.special.i0e,
    "special.i1": jsp.special.i1,
    "special.i1e": jsp.special.i1e,
    "special.log_ndtr": jsp.special.log_ndtr,
    "special.ndtr": jsp.special.ndtr,
    "special.ndtri": jsp.special.ndtri,
    "sqrt": jnp.sqrt,
    "square": jnp.square,
    "std": _spread(jnp.std),
    "sub": lambda x, other, alpha=1: x - alpha * other,
    "sum": _reduced(jnp.sum),
    "tan": jnp.tan,
    "tanh": jnp.tanh,
    "tensordot": lambda a, b, dims=2: jnp.tensordot(a, b, dims),
    "trace": jnp.trace,
    "tril": lambda x, diagonal=0: jnp.tril(x, diagonal),
    "triu": lambda x, diagonal=0: jnp.triu(x, diagonal),
    "var": _spread(jnp.var),
    "xlogy": jsp.special.xlogy,
}
"""JAX's version of PyTorch's operations, by their names."""


def knows(operation: Operation) -> bool:
    """Return whether JAX has a version of an operation."""
    return operation.name in JAX


def by_jax(operation: Operation, call: Call) -> dict[str, Array]:
    """Return output and gradients as JAX computes them.

    Raises
    ------
    SubjectError
        If its version does not take such arguments.
    """
    assert call.grad_output is not None
    function = JAX[operation.name]

    def constant(value: torch.Tensor) -> Any:
        return jnp.asarray(value.float().numpy() if value.is_floating_point() else value.numpy())

    def applied(*tensors: Any) -> Any:
        x, args, kwargs = operation.given(tensors, constant, jnp.float32)
        result = function(x, *args, **kwargs)
        parts = [part for part in jax.tree_util.tree_leaves(result) if jnp.issubdtype(part.dtype, jnp.floating)]
        return parts[0] if len(parts) == 1 else jnp.concatenate([part.ravel() for part in parts])

    arrays = [jnp.asarray(value) for value in (call.x, *call.params.values())]
    try:
        output, back = jax.vjp(applied, *arrays)
        grads = back(jnp.asarray(call.grad_output).reshape(output.shape))
    except SubjectError:
        raise
    except (TypeError, ValueError, IndexError, NotImplementedError, AttributeError, KeyError) as error:
        raise SubjectError(f"JAX's version does not take such arguments: {(str(error).splitlines() or [type(error).__name__])[0]}") from error
    names = ["grad_input", *(f"{name}.grad" for name in call.params)]
    found = {"output": np.array(output), **{name: np.array(grad) for name, grad in zip(names, grads, strict=True)}}
    if found["output"].shape != call.grad_output.shape:
        raise SubjectError(f"JAX's version has an output of shape {found['output'].shape}, PyTorch's {call.grad_output.shape}")
    return found
