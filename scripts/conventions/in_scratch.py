"""The probes of scratch, and of its options that follow other conventions, by convention and by the code that they call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

import scratch
import scratch.initialisers
from conventions.answers import BIASED_IN, BIASED_OUT, CHANNELS_IN, CHANNELS_OUT, FAN_IN, FAN_OUT, KERNEL, Measured, Probe, Probes, moments
from conventions.probes import SQUARES, WINDOW, dampening, epsilon, numbers, of_optimizers, renamed
from scratch.pooling import TIE_RULES

NAME = "scratch"
VERSION = f"scratch on NumPy {np.__version__}"
SEED = 0


def _rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


def _gradient(layer: Any, at: Any) -> Measured:
    """Return the input gradient for an upstream gradient of 1; every layer here outputs one number."""
    return numbers(layer.backward(np.ones_like(layer.forward(np.array(at)))))


def _line_convolved(kernel: Sequence[float], line: Sequence[float], stride: int = 1, padding: Any = 0) -> tuple[float, ...]:
    """Return the convolution of a line, which is treated as an image of one row."""
    layer = scratch.Conv2d(1, 1, (1, len(kernel)), (1, stride), padding, bias=False, rng=_rng())
    layer.params["weight"][0, 0, 0] = kernel
    return numbers(layer.forward(np.array(line, dtype=np.float64)[None, None, None]))


def _batch_norm(batch: Sequence[float], **settings: Any) -> tuple[scratch.BatchNorm1d, Any]:
    layer = scratch.BatchNorm1d(1, **settings)
    return layer, layer.forward(np.array(batch, dtype=np.float64)[:, None])


def _average_pool(**settings: bool) -> Measured:
    return (float(scratch.AvgPool2d(2, 2, 1, **settings).forward(np.ones((1, 1, 2, 2)))[0, 0, 0, 0]),)


def _dropout(p: float, training: bool = True) -> float:
    layer = scratch.Dropout(p, rng=_rng())
    layer.training = training
    return float(layer.forward(np.ones(1000)).max())


def _moves(kind: str, grads: Sequence[float], start: float = 0.0, rates: Sequence[float] = (), **settings: Any) -> tuple[float, ...]:
    """Return how much each step of an optimizer decreases a single parameter."""
    params = {"w": np.array([start])}
    optimizer, moved = getattr(scratch, kind)(params, **renamed(settings, {"rho": "alpha"} if kind == "RMSprop" else {})), []
    for number, grad in enumerate(grads):
        if rates:
            optimizer.lr = rates[number]
        before = params["w"].item()
        optimizer.step({"w": np.array([float(grad)])})
        moved.append(before - params["w"].item())
    return tuple(moved)


def _initialised(name: str) -> tuple[Probe, Probe]:
    """Return the probes of the weights that an initialiser draws for a linear layer and for a convolution."""
    init = getattr(scratch.initialisers, name)
    return (
        lambda: moments(scratch.Linear(FAN_IN, FAN_OUT, rng=_rng(), init=init).params["weight"]),
        lambda: moments(scratch.Conv2d(CHANNELS_IN, CHANNELS_OUT, KERNEL, rng=_rng(), init=init).params["weight"]),
    )


_INITIALISED = {name: _initialised(name) for name in ("glorot_uniform", "glorot_normal", "he_uniform", "he_normal")}

PROBES: Probes = {
    "max-pool-ties": {
        f'MaxPool2d(2, ties="{rule}")' if number else "MaxPool2d(2)": partial(
            lambda layer: _gradient(layer, [[WINDOW]]), scratch.MaxPool2d(2, ties=rule)
        )
        for number, rule in enumerate(TIE_RULES)
    },
    "relu-at-zero": {"ReLU": lambda: _gradient(scratch.ReLU(), [0.0])},
    "leaky-relu-at-zero": {"LeakyReLU(0.25)": lambda: _gradient(scratch.LeakyReLU(0.25), [0.0])},
    "leaky-relu-slope": {"LeakyReLU": lambda: numbers(-scratch.LeakyReLU().forward(np.array([-1.0])))},
    "image-layout": {"Conv2d": lambda: (scratch.Conv2d(4, 3, 1, rng=_rng()).forward(np.zeros((1, 4, 4, 4))).shape.index(3),)},
    "flatten-order": {"Flatten": lambda: numbers(scratch.Flatten().forward(np.array([[[[0.1, 0.2]], [[1.1, 1.2]]]])))},
    "linear-weight-shape": {"Linear": lambda: scratch.Linear(2, 3, rng=_rng()).params["weight"].shape},
    "conv-weight-shape": {"Conv2d": lambda: scratch.Conv2d(2, 3, (4, 5), rng=_rng()).params["weight"].shape},
    "convolution-flip": {"Conv2d": lambda: _line_convolved([1, 10], [1, 2, 3])},
    "same-with-stride": {'Conv2d(..., padding="same")': lambda: (len(_line_convolved([1] * 3, [0] * 5, 2, "same")),)},
    "same-odd-padding": {'Conv2d(..., padding="same")': lambda: _line_convolved([1, 10], [1, 2, 3], 1, "same")},
    "stride-padding-offset": {
        "Conv2d(..., stride=2, padding=1)": lambda: _line_convolved([1, 10, 100], [1, 2, 3, 4], 2, (0, 1)),
        'Conv2d(..., stride=2, padding="same")': lambda: _line_convolved([1, 10, 100], [1, 2, 3, 4], 2, "same"),
    },
    "average-pool-padding": {
        "AvgPool2d(..., padding=1)": _average_pool,
        "AvgPool2d(..., count_padding=False)": lambda: _average_pool(count_padding=False),
    },
    "batch-norm-epsilon": {"BatchNorm1d": lambda: epsilon(lambda batch: _batch_norm(batch)[1])},
    "batch-norm-momentum": {"BatchNorm1d": lambda: numbers(_batch_norm([1, 1], momentum=0.25)[0].buffers["running_mean"])},
    "batch-norm-momentum-default": {"BatchNorm1d": lambda: numbers(_batch_norm([1, 1])[0].buffers["running_mean"])},
    "batch-norm-running-variance": {
        "BatchNorm1d": lambda: numbers(_batch_norm([0, 2], momentum=1)[0].buffers["running_var"]),
        'BatchNorm1d(..., running_variance="biased")': lambda: numbers(
            _batch_norm([0, 2], momentum=1, running_variance="biased")[0].buffers["running_var"]
        ),
    },
    "batch-norm-one-value": {"BatchNorm1d": lambda: numbers(_batch_norm([5])[1])},
    "gelu-form": {
        "GELU()": lambda: numbers(scratch.GELU().forward(np.array([1.0]))),
        'GELU("tanh")': lambda: numbers(scratch.GELU("tanh").forward(np.array([1.0]))),
    },
    "cross-entropy-input": {"SoftmaxCrossEntropy": lambda: numbers(scratch.SoftmaxCrossEntropy().forward(np.array([[0.2, 0.8]]), np.array([1])))},
    "cross-entropy-reduction": {
        "SoftmaxCrossEntropy": lambda: numbers(scratch.SoftmaxCrossEntropy().forward(np.array([[0.0, 0.0], [math.log(3), 0.0]]), np.array([0, 1])))
    },
    "mse-reduction": {"MSELoss": lambda: numbers(scratch.MSELoss().forward(np.array(SQUARES), np.zeros((2, 2))))},
    "probability-clip": {"NLLLoss": lambda: numbers(scratch.NLLLoss().forward(np.array([[0.0, -math.inf]]), np.array([1])))},
    "dropout-scaling": {"Dropout": lambda: (_dropout(0.75), _dropout(0.75, training=False))},
    "dropout-argument": {"Dropout(0.25)": lambda: (_dropout(0.25),)},
    **of_optimizers(_moves),
    **dampening(_moves),
    "linear-initialiser": {
        "Linear": lambda: moments(scratch.Linear(FAN_IN, FAN_OUT, rng=_rng()).params["weight"]),
        **{f"Linear(..., init={name})": linear for name, (linear, _) in _INITIALISED.items()},
    },
    "conv-initialiser": {
        "Conv2d": lambda: moments(scratch.Conv2d(CHANNELS_IN, CHANNELS_OUT, KERNEL, rng=_rng()).params["weight"]),
        **{f"Conv2d(..., init={name})": conv for name, (_, conv) in _INITIALISED.items()},
    },
    "bias-initialiser": {"Linear": lambda: moments(scratch.Linear(BIASED_IN, BIASED_OUT, rng=_rng()).params["bias"])},
    "default-dtype": {"Linear": lambda: str(scratch.Linear(1, 1, rng=_rng()).params["weight"].dtype)},
    "float64-input": {"ReLU": lambda: str(scratch.ReLU().forward(np.zeros(1)).dtype)},
}
