"""PyTorch's own kernels for the most frequent modules, called directly with the arguments that autograd would pass.

For a small layer, autograd's bookkeeping takes several times as long as the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.ops import aten

from crosscheck.core.operation import RefusedError

Tensors: TypeAlias = Mapping[str, torch.Tensor]
Results: TypeAlias = dict[str, torch.Tensor]
Kernels: TypeAlias = Callable[[Any, torch.Tensor, Tensors, torch.Tensor | None], Results | None]
"""A function of a module, an input, parameters (instead of the module's) and labels by name, and ``grad_output`` or None.

It returns the output and the gradients by quantity, in new tensors, without writing to an argument; or None for arrays that it cannot handle.
"""


def kernels_of(module: object) -> Kernels | None:
    """Return the kernels of a module; None if its class or settings are not covered here, or if it has hooks, so that autograd must be used."""
    if not isinstance(module, nn.Module) or "forward" in vars(module):  # the object's own forward method replaces the method of its class
        return None
    if module._forward_pre_hooks or module._forward_hooks or module._backward_hooks:
        return None
    if isinstance(module, nn.Conv2d) and (module.padding_mode != "zeros" or isinstance(module.padding, str)):
        return None
    if isinstance(module, nn.MaxPool2d) and module.return_indices:
        return None
    if isinstance(module, nn.CrossEntropyLoss) and (module.weight is not None or module.label_smoothing or module.reduction not in _REDUCTIONS):
        return None
    return _KERNELS.get(type(module))


def _convolution(module: nn.Conv2d, x: torch.Tensor, params: Tensors, grad_output: torch.Tensor | None) -> Results | None:
    if x.dim() != 4:  # one image without a batch
        return None
    weight, bias = params["weight"], params.get("bias")
    results = {"output": module._conv_forward(x, weight, bias)}
    if grad_output is None:
        return results
    sizes = None if bias is None else bias.shape
    settings = (module.stride, module.padding, module.dilation, False, (0, 0), module.groups)
    grads = aten.convolution_backward.default(grad_output, x, weight, sizes, *settings, (True, True, bias is not None))
    return results | {name: grad for name, grad in zip(("grad_input", "weight.grad", "bias.grad"), grads, strict=True) if grad is not None}


def _linear(module: nn.Linear, x: torch.Tensor, params: Tensors, grad_output: torch.Tensor | None) -> Results:
    results = {"output": nn.functional.linear(x, params["weight"], params.get("bias"))}
    if grad_output is None:
        return results
    inputs, cotangents = x.reshape(-1, x.shape[-1]), grad_output.reshape(-1, grad_output.shape[-1])
    results |= {"grad_input": grad_output.matmul(params["weight"]), "weight.grad": cotangents.t().matmul(inputs)}
    return results | ({"bias.grad": cotangents.sum(0)} if "bias" in params else {})


def _max_pool(module: nn.MaxPool2d, x: torch.Tensor, params: Tensors, grad_output: torch.Tensor | None) -> Results:
    kernel, stride, padding, dilation = (pair(size) for size in (module.kernel_size, module.stride, module.padding, module.dilation))
    settings = (kernel, stride, padding, dilation, module.ceil_mode)
    output, winners = aten.max_pool2d_with_indices.default(x, *settings)
    if grad_output is None:
        return {"output": output}
    refuse_empty_windows(x, output)
    return {"output": output, "grad_input": aten.max_pool2d_with_indices_backward.default(grad_output, x, *settings, winners)}


def refuse_empty_windows(x: torch.Tensor, output: torch.Tensor) -> None:
    """Raise :class:`RefusedError` if a window of a max pool lies in the padding alone: PyTorch would write its gradient outside the array."""
    if output.isneginf().any() and not x.isneginf().any():
        raise RefusedError("a window of the pool lies in the padding alone, so that no element of the input gets its gradient")


def _flatten(module: nn.Flatten, x: torch.Tensor, params: Tensors, grad_output: torch.Tensor | None) -> Results:
    results = {"output": module.forward(x).clone()}
    return results if grad_output is None else results | {"grad_input": grad_output.reshape(x.shape).clone()}


def _cross_entropy(module: nn.CrossEntropyLoss, x: torch.Tensor, given: Tensors, grad_output: torch.Tensor | None) -> Results | None:
    labels = given["labels"]
    if x.dim() != 2 or labels.shape != x.shape[:1] or labels.is_floating_point():
        return None
    settings = (None, _REDUCTIONS[module.reduction], module.ignore_index)
    logarithms = aten._log_softmax.default(x, 1, False)
    output, count = aten.nll_loss_forward.default(logarithms, labels, *settings)
    if grad_output is None:
        return {"output": output}
    grad = aten.nll_loss_backward.default(grad_output, logarithms, labels, *settings, count)
    return {"output": output, "grad_input": aten._log_softmax_backward_data.default(grad, logarithms, 1, x.dtype)}


def _relu(module: nn.ReLU, x: torch.Tensor, params: Tensors, grad_output: torch.Tensor | None) -> Results:
    output = x.relu()
    return {"output": output} if grad_output is None else {"output": output, "grad_input": aten.threshold_backward.default(grad_output, output, 0)}


_REDUCTIONS = {"mean": 1, "sum": 2}
"""PyTorch's integer codes for the reductions of a loss."""


def pair(size: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return a size as (height, width); a single number is used for both."""
    return (size, size) if isinstance(size, int) else tuple(size)


_KERNELS: Mapping[type[nn.Module], Kernels] = {
    nn.Conv2d: _convolution,
    nn.Linear: _linear,
    nn.MaxPool2d: _max_pool,
    nn.Flatten: _flatten,
    nn.ReLU: _relu,
    nn.CrossEntropyLoss: _cross_entropy,
}
