"""JAX as an independent implementation of PyTorch's operations, in single precision.

Each function here takes the arguments of PyTorch's operation. :mod:`study.operations.differences` lists the known differences.
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
    """Return a function that applies ``function`` to a matrix plus its transpose, because the database makes symmetric inputs that way."""

    def symmetric(x: Any, **options: Any) -> Any:
        if options.get("upper"):
            raise SubjectError("JAX's version returns the lower factor, not the upper one")
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
    if isinstance(axis, tuple) and ord == 2:  # for two axes JAX would compute a matrix norm
        return jnp.sqrt(jnp.square(x).sum(axis, keepdims=keepdim))
    if isinstance(axis, tuple):
        raise SubjectError("JAX's version takes one axis")
    return jnp.linalg.norm(x, ord, axis=axis, keepdims=keepdim)


SAME_NAMES: Mapping[Any, str] = {
    jnp: """
        abs acos acosh asin asinh atan atan2 atanh cos cosh deg2rad dot exp exp2 expm1 hypot inner kron log log10 log1p log2 logaddexp
        matmul maximum minimum outer rad2deg reciprocal sin sinc sinh sqrt square tan tanh trace
    """,
    jnn: "nn.functional.mish nn.functional.relu nn.functional.relu6 nn.functional.selu nn.functional.silu sigmoid",
    jsp.special: "digamma erf erfc erfinv i0 special.i0e special.i1 special.i1e special.log_ndtr special.ndtr special.ndtri xlogy",
    jnp.linalg: "linalg.det linalg.inv linalg.slogdet",
}
"""For each module of JAX, PyTorch's names of its operations; JAX's name is the last part of PyTorch's name."""

JAX: Mapping[str, Callable[..., Any]] = {
    **{name: getattr(module, name.rpartition(".")[2]) for module, names in SAME_NAMES.items() for name in names.split()},
    "add": _added,
    "addmm": _addmm,
    "amax": _reduced(jnp.max),
    "amin": _reduced(jnp.min),
    "bmm": jnp.matmul,
    "clamp": jnp.clip,
    "cumprod": _along(jnp.cumprod),
    "cumsum": _along(jnp.cumsum),
    "div.no_rounding_mode": jnp.divide,
    "lgamma": jsp.special.gammaln,
    "linalg.cholesky": _symmetric(jnp.linalg.cholesky),
    "linalg.solve": lambda a, b, left=True: jnp.linalg.solve(a, b[..., None])[..., 0] if b.ndim == a.ndim - 1 else jnp.linalg.solve(a, b),
    "linalg.vector_norm": _vector_norm,
    "log_softmax": _along(jnn.log_softmax),
    "logit": lambda x, eps=None: jsp.special.logit(x if eps is None else jnp.clip(x, eps, 1 - eps)),
    "logsumexp": _reduced(jsp.special.logsumexp),
    "mean": _reduced(jnp.mean),
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
    "nn.functional.mse_loss": _mse,
    "nn.functional.softplus": _softplus,
    "nn.functional.softsign": jnn.soft_sign,
    "pow": jnp.power,
    "prod": _reduced(jnp.prod),
    "rsqrt": jax.lax.rsqrt,
    "rsub": lambda x, other, alpha=1: other - alpha * x,
    "softmax": _along(jnn.softmax),
    "std": _spread(jnp.std),
    "sub": lambda x, other, alpha=1: x - alpha * other,
    "sum": _reduced(jnp.sum),
    "tensordot": lambda a, b, dims=2: jnp.tensordot(a, b, dims),
    "tril": lambda x, diagonal=0: jnp.tril(x, diagonal),
    "triu": lambda x, diagonal=0: jnp.triu(x, diagonal),
    "var": _spread(jnp.var),
}
"""JAX's version of each operation, by PyTorch's name."""


def knows(operation: Operation) -> bool:
    """Return whether JAX has a version of an operation."""
    return operation.name in JAX


def by_jax(operation: Operation, call: Call) -> dict[str, Array]:
    """Return JAX's output and gradients; raise SubjectError if JAX's version does not take these arguments."""
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
