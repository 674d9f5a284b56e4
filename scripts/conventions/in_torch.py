"""The probes of PyTorch, by convention and by the code that they call."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everywhere

from conventions.answers import BIASED_IN, BIASED_OUT, CHANNELS_IN, CHANNELS_OUT, FAN_IN, FAN_OUT, KERNEL, Measured, Probes, moments
from conventions.probes import EQUAL, SQUARES, WINDOW, dampening, epsilon, numbers, of_optimizers, renamed, shape

NAME = "PyTorch"
VERSION = f"PyTorch {torch.__version__}"
SEED = 0


def _gradient(function: Callable[[Any], Any], at: Any) -> Measured:
    """Return the gradient of a function that maps one tensor to one number."""
    x = torch.tensor(at, requires_grad=True)
    function(x).backward()
    return numbers(x.grad)


def _numbers(tensor: Any) -> tuple[float, ...]:
    return numbers(tensor.detach())


def _moves(kind: str, grads: Sequence[float], start: float = 0.0, rates: Sequence[float] = (), **settings: Any) -> tuple[float, ...]:
    """Return how much each step of an optimizer decreases a single parameter."""
    weight = torch.tensor([start], requires_grad=True)
    optimizer = getattr(torch.optim, kind)([weight], **renamed(settings, {"rho": "alpha"} if kind == "RMSprop" else {}))
    moved = []
    for number, grad in enumerate(grads):
        for group in optimizer.param_groups if rates else ():
            group["lr"] = rates[number]
        before, weight.grad = weight.item(), torch.tensor([float(grad)])
        optimizer.step()
        moved.append(before - weight.item())
    return tuple(moved)


def _batch_norm(batch: Sequence[float], **settings: Any) -> tuple[Any, Any]:
    layer = nn.BatchNorm1d(1, **settings)
    return layer, layer(torch.tensor(batch).reshape(-1, 1))


def _line_convolved(kernel: Sequence[float], line: Sequence[float], **settings: Any) -> tuple[float, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns that "same" padding copies the input if the kernel is even
        return numbers(F.conv1d(torch.tensor([[line]]), torch.tensor([[kernel]]), **settings))


def _dropout(training: bool) -> float:
    torch.manual_seed(SEED)
    return float(F.dropout(torch.ones(1000), 0.75, training).max())


def _seeded(make: Callable[[], Any]) -> Any:
    torch.manual_seed(SEED)
    return make()


PROBES: Probes = {
    "max-pool-ties": {"F.max_pool2d": lambda: _gradient(lambda x: F.max_pool2d(x[None, None], 2).sum(), WINDOW)},
    "max-reduction-ties": {
        "torch.max(x)": lambda: _gradient(torch.max, EQUAL),
        "torch.amax(x, 0)": lambda: _gradient(lambda x: torch.amax(x, 0), EQUAL),
        "torch.max(x, 0).values": lambda: _gradient(lambda x: torch.max(x, 0).values, EQUAL),
    },
    "relu-at-zero": {"F.relu": lambda: _gradient(F.relu, 0.0)},
    "maximum-at-zero": {
        "torch.maximum(x, 0)": lambda: _gradient(lambda x: torch.maximum(x, torch.tensor(0.0)), 0.0),
        "torch.clamp(x, min=0)": lambda: _gradient(lambda x: torch.clamp(x, min=0), 0.0),
    },
    "leaky-relu-at-zero": {"F.leaky_relu": lambda: _gradient(lambda x: F.leaky_relu(x, 0.25), 0.0)},
    "leaky-relu-slope": {"F.leaky_relu": lambda: _numbers(-F.leaky_relu(torch.tensor(-1.0)))},
    "abs-at-zero": {"torch.abs": lambda: _gradient(torch.abs, 0.0)},
    "image-layout": {"nn.Conv2d": lambda: (shape(nn.Conv2d(4, 3, 1)(torch.zeros(1, 4, 4, 4))).index(3),)},
    "flatten-order": {"nn.Flatten": lambda: _numbers(nn.Flatten()(torch.tensor([[[[0.1, 0.2]], [[1.1, 1.2]]]])))},
    "linear-weight-shape": {"nn.Linear": lambda: shape(nn.Linear(2, 3).weight)},
    "conv-weight-shape": {"nn.Conv2d": lambda: shape(nn.Conv2d(2, 3, (4, 5)).weight)},
    "convolution-flip": {"F.conv1d": lambda: _line_convolved([1.0, 10.0], [1.0, 2.0, 3.0])},
    "same-with-stride": {'nn.Conv2d(..., padding="same")': lambda: shape(nn.Conv1d(1, 1, 3, stride=2, padding="same")(torch.zeros(1, 1, 5)))[-1:]},
    "same-odd-padding": {'F.conv1d(..., padding="same")': lambda: _line_convolved([1.0, 10.0], [1.0, 2.0, 3.0], padding="same")},
    "stride-padding-offset": {
        "F.conv1d(..., stride=2, padding=1)": lambda: _line_convolved([1.0, 10.0, 100.0], [1.0, 2.0, 3.0, 4.0], stride=2, padding=1)
    },
    "average-pool-padding": {
        "F.avg_pool2d(..., padding=1)": lambda: _numbers(F.avg_pool2d(torch.ones(1, 1, 2, 2), 2, padding=1)[0, 0, 0, 0]),
        "F.avg_pool2d(..., count_include_pad=False)": lambda: _numbers(
            F.avg_pool2d(torch.ones(1, 1, 2, 2), 2, padding=1, count_include_pad=False)[0, 0, 0, 0]
        ),
    },
    "batch-norm-epsilon": {"nn.BatchNorm1d": lambda: epsilon(lambda batch: _batch_norm(batch)[1].detach())},
    "batch-norm-momentum": {"nn.BatchNorm1d": lambda: _numbers(_batch_norm([1.0, 1.0], momentum=0.25)[0].running_mean)},
    "batch-norm-momentum-default": {"nn.BatchNorm1d": lambda: _numbers(_batch_norm([1.0, 1.0])[0].running_mean)},
    "batch-norm-running-variance": {"nn.BatchNorm1d": lambda: _numbers(_batch_norm([0.0, 2.0], momentum=1.0)[0].running_var)},
    "batch-norm-one-value": {"nn.BatchNorm1d": lambda: _numbers(_batch_norm([5.0])[1])},
    "gelu-form": {"F.gelu": lambda: _numbers(F.gelu(torch.tensor(1.0)))},
    "cross-entropy-input": {
        "F.cross_entropy": lambda: _numbers(F.cross_entropy(torch.tensor([[0.2, 0.8]]), torch.tensor([1]))),
        "F.binary_cross_entropy": lambda: _numbers(F.binary_cross_entropy(torch.tensor([0.8]), torch.tensor([1.0]))),
    },
    "cross-entropy-reduction": {
        "F.cross_entropy": lambda: _numbers(F.cross_entropy(torch.tensor([[0.0, 0.0], [math.log(3), 0.0]]), torch.tensor([0, 1])))
    },
    "mse-reduction": {"F.mse_loss": lambda: _numbers(F.mse_loss(torch.tensor(SQUARES), torch.zeros(2, 2)))},
    "probability-clip": {
        "F.nll_loss(log(p))": lambda: _numbers(F.nll_loss(torch.log(torch.tensor([[1.0, 0.0]])), torch.tensor([1]))),
        "F.binary_cross_entropy": lambda: _numbers(F.binary_cross_entropy(torch.tensor([0.0]), torch.tensor([1.0]))),
    },
    "dropout-scaling": {"F.dropout": lambda: (_dropout(True), _dropout(False))},
    "dropout-argument": {"nn.Dropout(0.25)": lambda: _numbers(_seeded(lambda: nn.Dropout(0.25)(torch.ones(1000))).max())},
    **of_optimizers(_moves),
    **dampening(_moves),
    "linear-initialiser": {"nn.Linear": lambda: moments(_seeded(lambda: nn.Linear(FAN_IN, FAN_OUT)).weight.detach().numpy())},
    "conv-initialiser": {"nn.Conv2d": lambda: moments(_seeded(lambda: nn.Conv2d(CHANNELS_IN, CHANNELS_OUT, KERNEL)).weight.detach().numpy())},
    "bias-initialiser": {"nn.Linear": lambda: moments(_seeded(lambda: nn.Linear(BIASED_IN, BIASED_OUT)).bias.detach().numpy())},
    "argmax-ties": {"torch.argmax": lambda: _numbers(torch.argmax(torch.tensor([1, 3, 3, 2])))},
    "round-half": {"torch.round": lambda: _numbers(torch.round(torch.tensor([0.5, 1.5, 2.5, -0.5])))},
    "default-dtype": {"torch.tensor(1.0)": lambda: str(torch.tensor(1.0).dtype).removeprefix("torch.")},
    "float64-input": {"torch.as_tensor": lambda: str(torch.as_tensor(np.zeros(1)).dtype).removeprefix("torch.")},
    "matmul-precision": {"torch.get_float32_matmul_precision()": torch.get_float32_matmul_precision},
    "conv-precision": {"torch.backends.cudnn.allow_tf32": lambda: str(torch.backends.cudnn.allow_tf32)},
}
