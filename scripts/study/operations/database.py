"""PyTorch's own test database, OpInfo: each differentiable operation with sample inputs, as a function of arrays.

The arguments of the function are those tensors of a sample that require gradients, in order: the input ``x``, then ``a1``, ``a2`` and so on. The rest
of the sample is part of the function: numbers, indices, masks, options. Floating-point tensors among these are rounded to single precision once, so
that both sides compute with the same numbers, and then converted to the precision of the input.

The database belongs to PyTorch's tests. Importing it changes settings of the whole process; therefore only worker processes import it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from study.operations.tasks import NoDatabaseError

MOST_NUMBERS = (1000, 20_000)
"""Samples with at most the first number of elements in all tensors are used; if there are none, samples with at most the second number."""

FEW = 4
"""Samples with fewer elements are used only if there are no others."""


class NoSampleError(ValueError):
    """An operation cannot be tried; the message says why."""


def database() -> dict[str, Any]:
    """Return every operation of the database that is differentiable in double precision, by its name and variant."""
    try:
        from torch.testing._internal.common_methods_invocations import op_db  # noqa: PLC0415 - it takes seconds and changes settings
    except ImportError as error:
        raise NoDatabaseError(
            f"PyTorch's test database cannot be imported ({error}): pip install expecttest, and a torch that includes its tests"
        ) from None
    return {name_of(op): op for op in op_db if op.supports_autograd and torch.float64 in op.dtypes}


def name_of(op: Any) -> str:
    """Return an operation's name, followed by its variant if it has one."""
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else str(op.name)


def tolerances(info: Any) -> dict[str, float]:
    """Return the largest tolerances that the database gives an operation in single precision on the CPU; empty if it gives none."""
    found: dict[str, float] = {}
    for entry in info.decorators:
        if getattr(entry, "device_type", None) not in (None, "cpu"):
            continue
        for decorator in getattr(entry, "decorators", [entry]):
            given: Any = getattr(decorator, "d", {}).get(torch.float32)
            pairs = given._asdict() if hasattr(given, "_asdict") else {} if given is None else {"atol": given, "rtol": 0.0}
            found = {name: max(value, found.get(name, 0.0)) for name, value in pairs.items()} or found
    return found


@dataclass(frozen=True)
class Slot:
    """Marks the place of a tensor that requires gradients among an operation's arguments."""

    number: int


@dataclass(frozen=True, eq=False)
class Operation:
    """An operation with one sample, as a function of arrays."""

    info: Any
    sample: Any
    leaves: tuple[Any, ...]  # all arguments in order; a Slot replaces each tensor that requires gradients
    form: TreeSpec  # how the leaves make up the input, the arguments and the options
    arrays: tuple[npt.NDArray[np.float64], ...]  # the sample's tensors for the slots, in double precision

    @property
    def name(self) -> str:
        """The operation's name."""
        return name_of(self.info)

    @property
    def params(self) -> list[str]:
        """The names of all arguments but the first."""
        return [f"a{number}" for number in range(1, len(self.arrays))]

    def given(self, tensors: Sequence[Any], constant: Callable[[torch.Tensor], Any], dtype: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """Return the input, the arguments and the options, with the given tensors (of any framework) in the slots.

        ``constant`` converts a tensor that does not require gradients; ``dtype`` replaces ``torch.float64`` among the options.
        """

        def one(leaf: Any) -> Any:
            if isinstance(leaf, Slot):
                return tensors[leaf.number]
            if isinstance(leaf, torch.Tensor):
                return constant(leaf)
            return dtype if leaf is torch.float64 else leaf

        given: tuple[Any, tuple[Any, ...], dict[str, Any]] = tree_unflatten([one(leaf) for leaf in self.leaves], self.form)
        return given

    def __call__(self, x: torch.Tensor, /, **params: torch.Tensor) -> torch.Tensor:
        """Return the operation's output; several tensors are flattened and concatenated."""
        return self.applied([x, *params.values()])

    def applied(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the operation's output for the given tensors in the slots."""
        first = tensors[0]

        def constant(value: torch.Tensor) -> torch.Tensor:
            return value.to(first.dtype) if value.dtype == torch.float64 else value

        x, args, kwargs = self.given(tensors, constant, first.dtype)
        result = self.info.gradcheck_wrapper(self.info.get_op(), x, *args, **kwargs)
        return joined(self.sample.output_process_fn_grad(result))

    @cached_property
    def __name__(self) -> str:
        return self.name


def joined(result: Any) -> torch.Tensor:
    """Return all results of an operation as one floating-point tensor; a complex number becomes two floats.

    NoSampleError says that no result is floating-point, or that a result is sparse.
    """
    found = [value for value in tree_flatten(result)[0] if isinstance(value, torch.Tensor)]
    if any(value.layout != torch.strided for value in found):
        raise NoSampleError("its result is sparse")
    parts = [torch.view_as_real(value.resolve_conj()) if value.is_complex() else value for value in found]
    parts = [value for value in parts if value.is_floating_point()]
    if not parts:
        raise NoSampleError("none of its results is of floats")
    return parts[0] if len(parts) == 1 else torch.cat([value.reshape(-1) for value in parts])


UNDEFINED: Mapping[str, str] = {
    f"nn.functional.max_unpool{dims}d": "of numbers that go to one place any may be left there, as PyTorch says, and the database's samples have such"
    for dims in (1, 2, 3)
}
"""Operations with undefined results on the database's samples, each with the reason."""


def operations(info: Any, seed: int = 0) -> list[Operation]:
    """Return an operation with up to three of its samples; NoSampleError says why no sample is usable.

    The samples are the first usable one, one from the middle and the last, if they differ in kind; if all usable samples are large, only the first.
    ``seed`` is the seed of the samples' random numbers.
    """
    if name_of(info) in UNDEFINED:
        raise NoSampleError(UNDEFINED[name_of(info)])
    samples = list(_samples(info, seed))
    for most in MOST_NUMBERS:
        found, reasons = [], list[str]()
        for sample in samples:
            try:
                operation = _operation(info, sample, most)
                _expect_usable(operation)
            except NoSampleError as error:
                reasons.append(str(error))
            else:
                found.append(operation)
        if found:
            break
    else:
        raise NoSampleError(max(reasons, key=reasons.count) if reasons else "the database has no sample of it")
    if most > MOST_NUMBERS[0]:
        return found[:1]
    found = [one for one in found if sum(array.size for array in one.arrays) >= FEW] or found
    others = [one for one in found[1:] if _kind(one) != _kind(found[0])]
    chosen = {id(one): one for one in (found[0], *others[len(others) // 2 :][:1], *others[-1:])}
    return list(chosen.values())


def _samples(info: Any, seed: int) -> Iterator[Any]:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the database draws from these generators
    torch.manual_seed(seed)
    try:
        yield from info.sample_inputs("cpu", torch.float64, requires_grad=True)
    except (RuntimeError, NotImplementedError, ImportError) as error:
        raise NoSampleError(f"its samples cannot be made: {_first_line(error)}") from None


def _kind(operation: Operation) -> tuple[Any, ...]:
    """Return the kind of a sample: its shapes and options."""
    options = [leaf for leaf in operation.leaves if isinstance(leaf, bool | int | float | str | type(None))]
    return tuple(array.shape for array in operation.arrays), tuple(map(repr, options))


def _operation(info: Any, sample: Any, most: int) -> Operation:
    leaves, form = tree_flatten((sample.input, tuple(sample.args), dict(sample.kwargs)))
    arrays: list[npt.NDArray[np.float64]] = []
    own: list[Any] = []
    for leaf in leaves:
        if isinstance(leaf, torch.Tensor) and leaf.layout != torch.strided:
            raise NoSampleError("it takes sparse tensors")
        if isinstance(leaf, torch.Tensor) and leaf.requires_grad and leaf.is_floating_point():
            own.append(Slot(len(arrays)))
            arrays.append(leaf.detach().numpy().copy())
        elif isinstance(leaf, torch.Tensor):
            value = leaf.detach().clone()
            own.append(value.to(torch.float32).to(torch.float64) if value.dtype == torch.float64 else value)
        else:
            own.append(leaf)
    if not arrays:
        raise NoSampleError("no sample has a tensor of floats to differentiate by")
    if not all(array.size for array in arrays):
        raise NoSampleError("its samples are empty")
    if sum(array.size for array in arrays) > most:
        raise NoSampleError(f"its samples have more than {most:,} numbers")
    return Operation(info, sample, tuple(own), form, tuple(arrays))


def _expect_usable(operation: Operation) -> None:
    """Make sure that the operation can be differentiated, draws no random numbers, and returns floats in the input's precision."""
    for dtype in (torch.float64, torch.float32):
        tensors = [torch.from_numpy(array).to(dtype, copy=True).requires_grad_() for array in operation.arrays]
        try:
            with _Refusing():
                output = operation.applied([tensors[0].clone(), *tensors[1:]])
            if output.dtype != dtype:
                raise NoSampleError(f"of numbers of {_of(dtype)} it makes numbers of {_of(output.dtype)}")
            if not output.requires_grad:
                raise NoSampleError("PyTorch does not differentiate it")
            if not output.numel():
                raise NoSampleError("its output is empty")
            output.sum().backward()
        except NoSampleError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError, AttributeError, AssertionError) as error:
            raise NoSampleError(f"PyTorch refuses it in {_of(dtype)}: {_first_line(error)}") from None


class Dispatching(TorchDispatchMode):  # type: ignore[misc]
    """A context manager that intercepts every operation below autograd."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class _Refusing(Dispatching):
    """Inside this context, drawing random numbers (which the database hides by seeding) and making sparse tensors are errors."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise NoSampleError("it draws random numbers")
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.layout != torch.strided:
            raise NoSampleError("it is sparse on the way")
        return result


def _of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
