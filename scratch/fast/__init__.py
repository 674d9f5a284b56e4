"""What is slow in :mod:`scratch`, layers and an optimizer, each as a subclass with faster kernels: the same mathematics, with an eye to memory.

A class has the name, the arguments, the parameters and the errors of the plain one, which it may take the place of. What it computes differs by
rounding alone.
"""

from __future__ import annotations

from typing import TypeVar

from scratch.fast.activation import ReLU
from scratch.fast.adadelta import Adadelta
from scratch.fast.convolution import Conv2d
from scratch.fast.dropout import Dropout
from scratch.fast.linear import Linear
from scratch.fast.pooling import MaxPool2d

__all__ = ["Adadelta", "Conv2d", "Dropout", "Linear", "MaxPool2d", "ReLU", "fast_version"]

Kind = TypeVar("Kind", bound=type)

_VERSIONS: dict[type, type] = {kind.__mro__[1]: kind for kind in (Adadelta, Conv2d, Dropout, Linear, MaxPool2d, ReLU)}


def fast_version(kind: Kind) -> Kind:
    """Return the fast subclass of a plain layer or optimizer, or the class itself where it has none."""
    return _VERSIONS.get(kind, kind)  # type: ignore[return-value]
