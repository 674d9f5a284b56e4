"""PyTorch: many perturbed runs of a function as one, by ``torch.vmap``.

Everything that a run starts from is repeated for each run before the first perturbation. A tensor that is not, such as one that the function makes of
nothing, would be perturbed in the same way in all runs, and so hide its spread: it is recognised by its size, which is no multiple of the number of
runs, a prime that divides no length of the arrays given. Then, and wherever ``vmap`` has no rule, the runs are done one by one.
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
"""The elements of an operand, in all runs together, up to which one call for all runs is quicker: beyond, arithmetic costs more than calls."""


class NotBatchedError(RuntimeError):
    """A tensor would be perturbed in the same way in all runs."""


def runs_at_once(call: Call, least: int) -> int:
    """Return how many runs may be done at once, a prime that divides no length of what is given; 0 where they are quicker, or safer, one by one."""
    arrays = [call.x, *call.params.values(), *call.buffers.values(), *call.constants.values()]
    arrays += [] if call.grad_output is None else [call.grad_output]
    lengths = {length for value in arrays for length in value.shape}
    prime = next((prime for prime in _PRIMES if prime >= least and all(length % prime for length in lengths if length)), 0)
    return prime if prime * max(value.size for value in arrays) <= LARGEST else 0


class Recurrent(TorchFunctionMode):
    """While this is entered, recurrent layers are taken apart into their steps: ``vmap`` has no rule for them as a whole."""

    _STEPS: ClassVar = {
        torch.lstm: (_aten.lstm.input, _aten.lstm.data),
        torch.gru: (_aten.gru.input, _aten.gru.data),
        torch.rnn_tanh: (_aten.rnn_tanh.input, _aten.rnn_tanh.data),
        torch.rnn_relu: (_aten.rnn_relu.input, _aten.rnn_relu.data),
    }

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        """Carry out one call of PyTorch's functions."""
        if func in self._STEPS:
            # Packed sequences have their lengths where others have the weights.
            func = decomposition_table[self._STEPS[func][isinstance(args[3], list | tuple)]]
        return func(*args, **(kwargs or {}))
