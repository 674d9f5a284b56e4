"""The mistakes that people make in hand-written networks, each planted in a right implementation: what the harness has to find.

One module for each kind of layer. A new fault is one class with a docstring, derived from the right implementation, and its decorator.
"""

from __future__ import annotations

from tests.support.faults import (
    activation,
    convolution,
    data,
    dropout,
    holdout,
    layer_memory,
    layer_precision,
    linear,
    loss,
    normalisation,
    numerics,
    optimizers,
    pooling,
    single,
    softmax,
    state,
    training,
    windows,
)
from tests.support.faults.fault import FAULTS, Fault, Host

__all__ = [
    "FAULTS",
    "Fault",
    "Host",
    "activation",
    "convolution",
    "data",
    "dropout",
    "holdout",
    "layer_memory",
    "layer_precision",
    "linear",
    "loss",
    "normalisation",
    "numerics",
    "optimizers",
    "pooling",
    "single",
    "softmax",
    "state",
    "training",
    "windows",
]
