"""Trace functions of tensors to programs of PyTorch's operations, and take single operations apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx
from torch._decomp import decomposition_table
from torch.fx.traceback import preserve_node_meta

from crosscheck.oracles.graph.passes import NoGraphError
from crosscheck.references.pytorch.graph.names import Noting
from crosscheck.references.pytorch.noise.fused import STEPS


def traced(function: Callable[..., Any], tensors: Sequence[torch.Tensor], before_autograd: bool = True) -> fx.GraphModule:
    """Return the operations that a function applies to tensors, as a program of the same arguments.

    Before autograd, a linear layer is one operation; after it, PyTorch has taken it apart to a product and a sum.

    Raises
    ------
    NoGraphError
        If the function cannot be traced, for instance because it decides by the numbers of a tensor what to do.
    """
    from torch.fx.experimental.proxy_tensor import make_fx  # noqa: PLC0415 - it takes a second to import, and only a mismatch needs it

    def noted(*given: torch.Tensor) -> Any:
        with Noting():
            return function(*given)

    try:
        with preserve_node_meta():
            return make_fx(noted, pre_dispatch=before_autograd)(*tensors)
    except NoGraphError:
        raise
    except Exception as error:
        raise NoGraphError(f"PyTorch cannot trace it: {(str(error) or type(error).__name__).splitlines()[0]}") from error


def taken_apart(function: Any, args: list[Any], kwargs: dict[str, Any]) -> tuple[fx.GraphModule, list[Any]]:
    """Return a program of the simpler operations that an operation consists of, and its arguments.

    Each tensor among the arguments is a pair: what to return for it, and its value.
    """
    tensors: list[torch.Tensor] = []
    originals: list[Any] = []

    def place(value: Any) -> Any:
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], torch.Tensor):
            originals.append(value[0])
            tensors.append(value[1])
            return _Place(len(tensors) - 1)
        if isinstance(value, list | tuple):
            return [place(one) for one in value]
        return value

    placed, named = [place(one) for one in args], {name: place(one) for name, one in kwargs.items()}
    name = function._schema.name.partition("::")[2]
    if function.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd):
        simpler = function
    elif name in STEPS:
        simpler = STEPS[name]
    elif function in decomposition_table:
        simpler = decomposition_table[function]
    else:
        raise NoGraphError(f"no elementary steps are known for PyTorch's {name}")

    def run(*given: torch.Tensor) -> tuple[Any, ...]:
        result = simpler(*(_filled(one, given) for one in placed), **{key: _filled(one, given) for key, one in named.items()})
        return tuple(result) if isinstance(result, tuple | list) else (result,)

    return traced(run, tensors, before_autograd=False), originals  # before autograd, some would be one operation again


class _Place:
    """Stands for a tensor among the arguments of an operation."""

    def __init__(self, number: int) -> None:
        self.number = number


def _filled(value: Any, given: Sequence[torch.Tensor]) -> Any:
    if isinstance(value, _Place):
        return given[value.number]
    return [_filled(one, given) for one in value] if isinstance(value, list) else value
