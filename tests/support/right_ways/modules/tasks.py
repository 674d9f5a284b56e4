"""Modules as tasks of the study of false alarms: PyTorch's own kernels in several ways, and the versions in NumPy, beside the module in float64."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import torch
from torch import nn

from crosscheck.core.operation import Call
from crosscheck.references.pytorch.oracle import oracle, parameter_shapes
from tests.support.cases import classes
from tests.support.right_ways.frameworks import by_torch
from tests.support.right_ways.modules.kernels import Kernel
from tests.support.right_ways.modules.row import Row
from tests.support.right_ways.modules.table import REFUSED, ROWS
from tests.support.right_ways.modules.written import OF_ANY_SIZE, WRITTEN, computed
from tests.support.right_ways.task import LayerTask, Results, Way, cotangent, nothing

_COSTS: Mapping[float, str] = {
    2.0: "BatchNorm1d BatchNorm3d Conv2d Conv3d ConvTranspose1d ConvTranspose3d Flatten LeakyReLU Linear MaxPool2d ReLU ZeroPad2d",
    16.0: "CosineSimilarity Hardsigmoid HingeEmbeddingLoss InstanceNorm2d InstanceNorm3d L1Loss LPPool1d LPPool2d LPPool3d LinearCrossEntropyLoss "
    "LocalResponseNorm LogSigmoid MSELoss Mish RMSNorm SELU SiLU TransformerEncoderLayer UpsamplingBilinear2d",
    32.0: "Bilinear CELU CrossEntropyLoss GRUCell GroupNorm HuberLoss MaxUnpool1d MaxUnpool2d MaxUnpool3d MultiheadAttention RNN RNNCell RReLU "
    "ReflectionPad3d SmoothL1Loss Upsample",
    64.0: "BCELoss CosineEmbeddingLoss FractionalMaxPool2d FractionalMaxPool3d GRU KLDivLoss LSTMCell MarginRankingLoss PReLU PoissonNLLLoss",
    128.0: "BCEWithLogitsLoss CTCLoss CrossMapLRN2d GaussianNLLLoss LSTM MultiMarginLoss TripletMarginLoss TripletMarginWithDistanceLoss",
    256.0: "MultiLabelSoftMarginLoss SoftMarginLoss",
    640.0: "AdaptiveLogSoftmaxWithLoss",
}
COSTS: Mapping[str, float] = {name: cost for cost, names in _COSTS.items() for name in names.split()}
"""The time for a quantity, relative to a layer with an error theory; measured, and rounded to a power of two."""

USUAL = 6.0
"""The cost of other modules."""

ACROSS_SAMPLES = frozenset({"BatchNorm1d", "BatchNorm2d", "BatchNorm3d"})
"""Modules in which a sample's output depends on the other samples."""

WRONG_CHANNELS_LAST: Mapping[str, str] = {
    "GroupNorm": "the variance is the mean of squares less the square of the mean, which cancels",
    **dict.fromkeys(["InstanceNorm2d", "InstanceNorm3d"], "the gradient of a single image is wrong where its cotangent lies so"),
}
"""Modules whose own kernels are wrong with channels last in memory, each with the reason."""

BY_ONEDNN = ("Conv", "Linear", "LSTM", "Multihead", "Transformer", "Bilinear")
"""Prefixes of the names of modules that use oneDNN."""


def _arranged(arrange: Callable[[torch.Tensor], torch.Tensor], module: nn.Module, call: Call) -> Results:
    """Compute with a module's own kernels on tensors in another order in memory."""
    kernel = Kernel(module, arrange)
    kernel.params = {name: np.array(value) for name, value in call.params.items()}
    kernel.buffers = {name: np.array(value) for name, value in call.buffers.items()}
    output = kernel.forward(call.x, *call.constants.values())
    grad_input = kernel.backward(cotangent(call))
    return {"output": output, **kernel.buffers, "grad_input": grad_input, **{f"{name}.grad": value for name, value in kernel.grads.items()}}


def last_axes_exchanged(x: torch.Tensor) -> torch.Tensor:
    """Return a tensor with its last two axes exchanged in memory."""
    return x.mT.contiguous().mT if x.ndim > 1 else x


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """Return a tensor of images with the channels last in memory."""
    return x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d) if x.ndim in (4, 5) else x


def _backwards(own: Way, call: Call) -> Results:
    """Compute on the samples in reverse order."""
    results = own(Call(call.x[::-1].copy(), call.params, cotangent(call)[::-1].copy(), call.constants, call.buffers))
    return {name: value[::-1].copy() if name in ("output", "grad_input") else value for name, value in results.items()}


def _one_by_one(own: Way, call: Call) -> Results:
    """Compute on one sample after another, and add up the gradients of the parameters."""
    g = cotangent(call)
    parts = [own(Call(call.x[i : i + 1], call.params, g[i : i + 1], call.constants, call.buffers)) for i in range(len(call.x))]
    gathered = {name: [part[name] for part in parts] for name in parts[0]}
    return {name: np.concatenate(own) if name in ("output", "grad_input") else np.add.accumulate(own)[-1] for name, own in gathered.items()}


def _quietly(own: Way, call: Call) -> Results:
    with warnings.catch_warnings(action="ignore"):
        return own(call)


def _ways(row: Row, module: nn.Module) -> dict[str, Way]:
    of_samples = not row.labels and not row.fixed_batch and not row.of.endswith("Loss")  # the order of the samples is that of the outputs alone
    own = by_torch(module)
    written = row.name in WRITTEN and (row == ROWS[row.name] or row.name in OF_ANY_SIZE)
    ways: dict[str, Way | None] = {
        "torch": own,
        "torch, last axes exchanged": partial(_arranged, last_axes_exchanged, module),
        "torch, channels last": partial(_arranged, channels_last, module) if len(row.shape) in (4, 5) and row.of not in WRONG_CHANNELS_LAST else None,
        "torch, no oneDNN": by_torch(module, mkldnn=False) if row.of.startswith(BY_ONEDNN) else None,
        "torch, samples backwards": partial(_backwards, own) if of_samples else None,
        "torch, one by one": partial(_one_by_one, own) if of_samples and row.of not in ACROSS_SAMPLES and not row.fixed_batch else None,
        "numpy": partial(computed, WRITTEN[row.name]) if written else None,
    }
    return {name: partial(_quietly, way) for name, way in ways.items() if way is not None}


def task(row: Row) -> LayerTask:
    module = row.make()
    running = {name: tuple(value.shape) for name, value in module.named_buffers() if name.startswith("running_")} if module.training else {}
    return LayerTask(
        f"module {row.name}",
        lambda: oracle(module),
        _ways(row, module),
        [row.shape],
        parameter_shapes(module) or {},
        running,
        classes if row.labels else nothing,
        cost=COSTS.get(row.of, USUAL),
    )


def tasks(rows: Mapping[str, Row]) -> Iterator[LayerTask]:
    with warnings.catch_warnings(action="ignore"):
        yield from (task(row) for name, row in rows.items() if name not in REFUSED)
