"""PyTorch: many perturbed runs of a function in one batch, by ``torch.vmap``.

All inputs are repeated for each run before the first perturbation. A tensor without the axis of runs, such as one that the function creates, would be
perturbed equally in all runs, so that its part of the spread would be missing. The number of runs is a prime that divides no length of the inputs, so
that such a tensor's size is not a multiple of it. If there is such a tensor, or ``vmap`` has no rule for an operation, runs are done one by one.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch._decomp import decomposition_table
from torch.overrides import TorchFunctionMode

from crosscheck.core.operation import Call

_PRIMES = (11, 13, 17, 19, 23, 29, 31)
_aten = torch.ops.aten

LARGEST = 1 << 19
"""A batch is used only if no operand has more elements than this, in all runs together; otherwise the overhead of single calls is negligible."""


class NotBatchedError(RuntimeError):
    """A tensor would be perturbed equally in all runs of a batch, because it has no axis of runs."""


def runs_at_once(call: Call, least: int) -> int:
    """Return the number of runs in a batch: a prime >= ``least`` that divides no length of the inputs; 0 if runs must be done one by one."""
    arrays = [value for group in (call.inputs, call.params, call.buffers, call.constants, call.cotangents) for value in group.values()]
    lengths = {length for value in arrays for length in value.shape}
    prime = next((prime for prime in _PRIMES if prime >= least and all(length % prime for length in lengths if length)), 0)
    return prime if prime * max(value.size for value in arrays) <= LARGEST else 0


class Recurrent(TorchFunctionMode):
    """A mode that decomposes recurrent layers into their steps while it is active, because ``vmap`` has no rule for whole layers."""

    _STEPS: ClassVar = {
        torch.lstm: (_aten.lstm.input, _aten.lstm.data),
        torch.gru: (_aten.gru.input, _aten.gru.data),
        torch.rnn_tanh: (_aten.rnn_tanh.input, _aten.rnn_tanh.data),
        torch.rnn_relu: (_aten.rnn_relu.input, _aten.rnn_relu.data),
    }

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Run one PyTorch function; a recurrent layer is decomposed."""
        if func in self._STEPS:
            # The fourth argument is a list of weights, unless the sequence is packed.
            func = decomposition_table[self._STEPS[func][isinstance(args[3], list | tuple)]]
        return func(*args, **(kwargs or {}))
