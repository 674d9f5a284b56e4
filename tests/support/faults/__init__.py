"""The mistakes that people make in hand-written code, each planted in a right implementation, its host: what the harness has to find.

One module for each kind of layer. A new fault is one class with a docstring, derived from the right implementation, and its decorator.
``results`` plants mistakes in PyTorch's own results in place of code, for what is judged of one call alone.
"""

from tests.support.faults import (  # noqa: F401 - importing a module plants its faults
    activation,
    contracts,
    conventions,
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
    sizes,
    softmax,
    state,
    training,
    windows,
)
from tests.support.faults.fault import CATALOGUE, FAULTS, Fault, Host

__all__ = ["CATALOGUE", "FAULTS", "Fault", "Host"]
