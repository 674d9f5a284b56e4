"""Other right ways to compute an operation in single precision: other steps, another order, another memory layout, other kernels.

Judging an operation's own kernel says little, because this kernel is also the witness for what rounding may do. These ways are right as well, and
round differently. The study counts how many of their results differ from the kernel's in any bit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch._decomp import decomposition_table
from torch.nn.attention import SDPBackend, sdpa_kernel

from crosscheck.core.guard import SubjectError
from crosscheck.core.operation import Call
from crosscheck.core.precision import Array, Bound
from crosscheck.references.pytorch.noise.fused import STEPS
from crosscheck.references.pytorch.noise.table import is_known
from study.operations.database import Dispatching, Operation

OWN = "own kernel"
DECOMPOSED, REVERSED, AXES, MEMORY, PLAIN, THREADS = (
    "taken apart into steps",
    "sums the other way round",
    "axes in another order",
    "channels last or strided",
    "oneDNN off",
    "three threads",
)
JAX = "JAX"


@dataclass(frozen=True)
class Subject:
    """A way to compute an operation, as the harness calls it."""

    compute: Callable[[Call], dict[str, Array]]  # returns the quantities for a call
    absent: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def vjp(self, call: Call) -> dict[str, Array]:
        """Return the quantities for a call."""
        return self.compute(call)

    def reading(self, quantity: str, call: Call, value: Array) -> Bound | None:
        """Return None: results are read without further rounding."""
        return None


def by_autograd(
    operation: Operation,
    call: Call,
    laid: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor,
    within: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> dict[str, Array]:
    """Return output and gradients of an operation; raise SubjectError if PyTorch refuses it.

    ``laid`` lays a tensor out in memory; ``within`` returns the context in which the operation and its backward pass run.
    """
    assert call.grad_output is not None
    leaves = [laid(torch.from_numpy(np.array(value, order="C"))).requires_grad_() for value in (call.x, *call.params.values())]
    cotangent = laid(torch.from_numpy(np.array(call.grad_output, order="C")))
    try:
        with within():
            # An operation that works in place may not write to a leaf.
            output = operation.applied([leaves[0].view_as(leaves[0]) if operation.name != "zero_" else leaves[0].clone(), *leaves[1:]])
            grads = torch.autograd.grad(output, leaves, cotangent, allow_unused=True, materialize_grads=True)
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError, NotImplementedError, KeyError) as error:
        raise SubjectError(f"PyTorch refuses this: {(str(error).splitlines() or [type(error).__name__])[0]}") from error
    names = ["grad_input", *(f"{name}.grad" for name in call.params)]
    return {"output": _array(output), **{name: _array(grad) for name, grad in zip(names, grads, strict=True)}}


def _array(tensor: torch.Tensor) -> Array:
    array: Array = np.array(tensor.detach().numpy(force=True))
    return array


class TakenApart(Dispatching):
    """Inside this context, PyTorch decomposes operations into elementary ones, as far as PyTorch or the harness has a decomposition."""

    def __init__(self) -> None:
        super().__init__()
        self._within: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Carry out an operation by the steps of its decomposition, if it has one."""
        name = func._schema.name.partition("::")[2]
        steps = STEPS.get(name) or (None if is_known(name) or func.is_view else decomposition_table.get(func))
        if steps is None or func in self._within:
            return func(*args, **(kwargs or {}))
        self._within.append(func)
        try:
            with self:
                return steps(*args, **(kwargs or {}))
        finally:
            self._within.pop()


class Reversed(Dispatching):
    """Inside this context, sums and products run in reverse order."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Carry out an operation on flipped arguments."""
        name, kwargs = func._schema.name.partition("::")[2], kwargs or {}
        if name in _TURNED_BACK:
            *tensors, dim, last = args
            if args[0].dim():
                return func(*(value.flip(dim) for value in tensors), dim, last, **kwargs).flip(dim)
        turned = _TURNED.get(name)
        if turned is None or "out" in kwargs:
            return func(*args, **kwargs)
        return func(*turned(*args, **kwargs), **kwargs)


def _turned(*axes: tuple[int, int]) -> Callable[..., tuple[Any, ...]]:
    """Return a function that flips arguments; each pair is the position of an argument and the axis to flip."""

    def turn(*args: Any, **options: Any) -> tuple[Any, ...]:
        changed = dict(axes)
        # Complex tensors may have a pending conjugation, which has to be resolved below autograd.
        return tuple(value.resolve_conj().flip(changed[number]) if number in changed else value for number, value in enumerate(args))

    return turn


def _reduction_turned(place: int) -> Callable[..., tuple[Any, ...]]:
    """Return a function that flips the reduced axes of a reduction; they are the argument at ``place`` or the option ``dim``."""

    def turn(*args: Any, **options: Any) -> tuple[Any, ...]:
        x, dim = args[0], args[place] if len(args) > place else options.get("dim")
        return (x.flip(_dims(x, dim)), *args[1:])

    return turn


def _dims(x: torch.Tensor, dim: Any) -> list[int]:
    """Return the axes that ``dim`` names, or all axes if it names none."""
    if isinstance(dim, int) and not isinstance(dim, bool):
        return [dim] if x.dim() else []
    return list(dim if isinstance(dim, list | tuple) and dim and x.dim() else range(x.dim()))


def _channels_turned(x: torch.Tensor, weight: torch.Tensor, *others: Any, **options: Any) -> tuple[Any, ...]:
    transposed, groups = others[4], others[6]
    if groups != 1:
        return (x, weight, *others)
    return (x.flip(1), weight.flip(0 if transposed else 1), *others)


_TURNED: dict[str, Callable[..., tuple[Any, ...]]] = {
    **dict.fromkeys(("sum", "mean", "nansum", "logsumexp", "var", "std", "var_mean", "prod"), _reduction_turned(1)),
    "linalg_vector_norm": _reduction_turned(2),
    **dict.fromkeys(("mm", "bmm"), _turned((0, -1), (1, -2))),
    **dict.fromkeys(("mv", "dot", "vdot"), _turned((0, -1), (1, -1))),
    **dict.fromkeys(("addmm", "baddbmm"), _turned((1, -1), (2, -2))),
    "addmv": _turned((1, -1), (2, -1)),
    "convolution": _channels_turned,
}
"""For each operation, a function that flips its arguments so that its sums and products run in reverse order."""

_TURNED_BACK = frozenset({"_softmax", "_log_softmax", "_softmax_backward_data", "_log_softmax_backward_data"})
"""Operations along an axis (their last argument but one) with results of the input's shape, which have to be flipped back."""


def _fortran(tensor: torch.Tensor) -> torch.Tensor:
    order = tuple(reversed(range(tensor.dim())))
    return tensor.permute(order).contiguous().permute(order)


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dim() in (4, 5):
        return tensor.contiguous(memory_format=torch.channels_last if tensor.dim() == 4 else torch.channels_last_3d)
    if not tensor.dim():
        return tensor
    larger = tensor.new_zeros((*tensor.shape[:-1], 2 * tensor.shape[-1]))
    view = larger[..., ::2]
    view.copy_(tensor)
    return view


@contextmanager
def _without_onednn() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns about GPUs that are not there
        with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
            yield


@contextmanager
def _three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _seen_by(mode: type[Dispatching]) -> Iterator[None]:
    with sdpa_kernel(SDPBackend.MATH), mode():
        yield


WAYS: Mapping[str, Callable[[Operation, Call], dict[str, Array]]] = {
    OWN: by_autograd,
    DECOMPOSED: lambda operation, call: by_autograd(operation, call, within=lambda: _seen_by(TakenApart)),
    REVERSED: lambda operation, call: by_autograd(operation, call, within=lambda: _seen_by(Reversed)),
    AXES: lambda operation, call: by_autograd(operation, call, laid=_fortran),
    MEMORY: lambda operation, call: by_autograd(operation, call, laid=_channels_last),
    PLAIN: lambda operation, call: by_autograd(operation, call, within=_without_onednn),
    THREADS: lambda operation, call: by_autograd(operation, call, within=_three_threads),
}
"""The ways to compute an operation with PyTorch."""


_READING_MEMORY = ("as_strided",)
"""Operations that depend on the memory layout of their input: in another layout they compute something else."""


def subjects(operation: Operation) -> dict[str, Subject]:
    """Return every way to compute an operation: PyTorch's own kernel first, and JAX last if JAX has the operation."""

    def subject(way: Callable[[Operation, Call], dict[str, Array]]) -> Subject:
        return Subject(lambda call: way(operation, call))

    found = {name: subject(way) for name, way in WAYS.items()}
    if operation.info.name.startswith(_READING_MEMORY):
        del found[AXES], found[MEMORY]
    if find_spec("jax") is not None:
        from study.operations.jax import by_jax, knows  # noqa: PLC0415 - JAX takes a second, and may be missing

        if knows(operation):
            found[JAX] = subject(by_jax)
    return found
