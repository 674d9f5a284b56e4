"""Modules as tasks of the study of false alarms: PyTorch's own kernels in several ways, and the versions in NumPy, beside the module in float64."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import nn

from crosscheck.core.operation import Call
from crosscheck.core.precision import Array
from crosscheck.references.pytorch.oracle import oracle, parameter_shapes
from tests.support.cases import classes
from tests.support.right_ways.frameworks import by_torch
from tests.support.right_ways.modules.kernels import Kernel
from tests.support.right_ways.modules.row import Row
from tests.support.right_ways.modules.table import REFUSED, ROWS
from tests.support.right_ways.modules.written import OF_ANY_SIZE, WRITTEN, way_of
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
"""How long a quantity takes, in multiples of a layer's with a written theory; measured, and rounded to a power of two."""

USUAL = 6.0
"""What one of other modules takes."""

ACROSS_SAMPLES = frozenset({"BatchNorm1d", "BatchNorm2d", "BatchNorm3d"})
"""Modules in which a sample's output depends on the other samples."""

WRONG_CHANNELS_LAST: Mapping[str, str] = {
    "GroupNorm": "the variance is the mean of squares less the square of the mean, which cancels",
    **dict.fromkeys(["InstanceNorm2d", "InstanceNorm3d"], "the gradient of a single image is wrong where its cotangent lies so"),
}
"""Modules whose own kernels are not right where the channels of a place lie side by side, each with the reason."""

BY_ONEDNN = ("Conv", "Linear", "LSTM", "Multihead", "Transformer", "Bilinear")
"""How the names of modules begin that oneDNN computes in part."""


def _arranged(arrange: Callable[[torch.Tensor], torch.Tensor], module: nn.Module) -> Way:
    """Return a module's own kernels on tensors that lie in memory in another way."""

    def way(call: Call) -> Results:
        kernel = Kernel(module, arrange)
        kernel.params = {name: np.array(value) for name, value in call.params.items()}
        kernel.buffers = {name: np.array(value) for name, value in call.buffers.items()}
        output = kernel.forward(call.x, *call.constants.values())
        grad_input = kernel.backward(cotangent(call))
        return {"output": output, **kernel.buffers, "grad_input": grad_input, **{f"{name}.grad": value for name, value in kernel.grads.items()}}

    return way


def last_axes_exchanged(x: torch.Tensor) -> torch.Tensor:
    """Return a tensor whose last two axes have changed places in memory."""
    return x.mT.contiguous().mT if x.ndim > 1 else x


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """Return a tensor of images with the channels of a place side by side in memory."""
    return x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d) if x.ndim in (4, 5) else x


def _backwards(own: Way) -> Way:
    """Return a way that is given the samples from the last to the first."""

    def way(call: Call) -> Results:
        results = own(Call(call.x[::-1].copy(), call.params, cotangent(call)[::-1].copy(), call.constants, call.buffers))
        return {name: value[::-1].copy() if name in ("output", "grad_input") else value for name, value in results.items()}

    return way


def _one_by_one(own: Way) -> Way:
    """Return a way that is given one sample after another, and adds the parameters' gradients up."""

    def way(call: Call) -> Results:
        g = cotangent(call)
        parts = [own(Call(call.x[i : i + 1], call.params, g[i : i + 1], call.constants, call.buffers)) for i in range(len(call.x))]
        return {name: _put_together(name, [part[name] for part in parts]) for name in parts[0]}

    return way


def _put_together(name: str, parts: list[Array]) -> Array:
    return np.concatenate(parts) if name in ("output", "grad_input") else np.add.accumulate(parts)[-1]


def _quietly(own: Way) -> Way:
    def way(call: Call) -> Results:
        with warnings.catch_warnings(action="ignore"):
            return own(call)

    return way


def _written(row: Row) -> Way | None:
    """Return the version in NumPy, which may be one for the table's own shape alone."""
    return way_of(WRITTEN[row.name]) if row.name in WRITTEN and (row == ROWS[row.name] or row.name in OF_ANY_SIZE) else None


def _ways(row: Row, module: nn.Module) -> dict[str, Way]:
    of_samples = _is_by_samples(row)
    own = by_torch(module)
    ways = {
        "torch": own,
        "torch, last axes exchanged": _arranged(last_axes_exchanged, module),
        "torch, channels last": _arranged(channels_last, module) if len(row.shape) in (4, 5) and row.of not in WRONG_CHANNELS_LAST else None,
        "torch, no oneDNN": by_torch(module, mkldnn=False) if row.of.startswith(BY_ONEDNN) else None,
        "torch, samples backwards": _backwards(own) if of_samples else None,
        "torch, one by one": _one_by_one(own) if of_samples and row.of not in ACROSS_SAMPLES and not row.fixed_batch else None,
        "numpy": _written(row),
    }
    return {name: _quietly(way) for name, way in ways.items() if way is not None}


def _is_by_samples(row: Row) -> bool:
    """Return whether the order of the samples is that of the outputs and of nothing else."""
    return not row.labels and not row.fixed_batch and not row.of.endswith("Loss")


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
