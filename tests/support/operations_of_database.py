"""Carry out the differentiable operations of PyTorch's own test database with rounding enlarged, and say which are not as they should be.

One line of JSON: what is in no table, what is another operation when it is taken apart, what cannot be carried out. In a process of its own:
importing the database changes settings.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_leaves

from crosscheck.core.operation import RefusedError
from crosscheck.references.pytorch.noise.perturbed import Noise
from crosscheck.references.pytorch.noise.table import is_known

SAMPLES, NUMBERS = 8, 9000
"""How many samples of each operation are tried, and how large they are at most."""

HALF_THE_DIGITS = math.sqrt(torch.finfo(torch.float64).eps)

OTHER: Mapping[str, str] = {
    "nn.functional.hardsigmoid": "PyTorch's own gradient takes a sixth in single precision",
}
"""Operations whose steps compute something else, each with the reason."""


class Unknown(Noise):
    """Perturbs nothing, and notes the operations that are in no table."""

    def __init__(self) -> None:
        super().__init__(0.0, 0)
        self.names: set[str] = set()

    def _pointwise(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        of_floats = any(isinstance(value, torch.Tensor) and value.dtype in (torch.float64, torch.complex128) for value in tree_leaves((args, kwargs)))
        if of_floats and not is_known(name):
            self.names.add(name)
        return super()._pointwise(func, name, args, kwargs)


def tensors(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def carried_out(operation: Any, sample: Any, mode: Any) -> list[torch.Tensor | None]:
    given = [leaf for leaf in tensors((sample.input, sample.args, sample.kwargs)) if leaf.requires_grad]
    for leaf in given:
        leaf.grad = None
    with sdpa_kernel(SDPBackend.MATH), mode:
        results = tensors(operation(sample.input, *sample.args, **sample.kwargs))
        if differentiable := [value for value in results if value.requires_grad]:
            numbers = [
                torch.arange(value.numel(), dtype=torch.float64).cos().add(1.5).reshape(value.shape).to(value.dtype) for value in differentiable
            ]
            torch.autograd.backward(differentiable, numbers)
    return [value if value is None else value.detach() for value in (*results, *(leaf.grad for leaf in given))]


def distance(value: torch.Tensor | None, other: torch.Tensor | None) -> float:
    """Return the largest difference, relative to the largest number and to 1."""
    if value is None or other is None or value.shape != other.shape or value.dtype != other.dtype:
        return 0.0 if value is other else math.inf
    if value.dtype not in (torch.float64, torch.complex128) or not value.numel():
        return 0.0
    value, other = value.nan_to_num(), other.nan_to_num()
    return float((value - other).abs().max() / (1 + value.abs().max()))


def tried(operation: Any) -> Iterator[tuple[str, str]]:
    """Yield what is not as it should be, and of which kind it is."""
    samples = list(operation.sample_inputs("cpu", torch.float64, requires_grad=True))
    for sample in [sample for sample in samples if not isinstance(sample.input, torch.Tensor) or sample.input.numel() < NUMBERS][:SAMPLES]:
        try:
            plain = carried_out(operation, sample, contextlib.nullcontext())
        except RuntimeError:  # not every sample can be differentiated by such numbers
            continue
        unknown = Unknown()
        try:
            taken_apart = carried_out(operation, sample, unknown)
        except RefusedError:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
            yield "raised", f"{type(error).__name__}: {error}"
            return
        yield from (("unknown", name) for name in unknown.names)
        if max(map(distance, plain, taken_apart), default=0.0) > HALF_THE_DIGITS and operation.full_name not in OTHER:
            yield "other", f"input of shape {getattr(sample.input, 'shape', None)}, {sample.args}, {sample.kwargs}"


def main() -> int:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found: dict[str, dict[str, str]] = {"unknown": {}, "other": {}, "raised": {}}
    count = 0
    for operation in op_db:
        # What is sparse has no numbers in places.
        if not operation.supports_autograd or torch.float64 not in operation.supported_dtypes("cpu") or "sparse" in operation.name:
            continue
        count += 1
        for kind, words in tried(operation):
            found[kind][operation.full_name] = words
    sys.stdout.write(json.dumps({**found, "operations": count}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
