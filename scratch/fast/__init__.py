"""What is slow in :mod:`scratch`, layers and an optimizer, each as a subclass with faster kernels.

A class has the name, the arguments, the parameters and the errors of the plain one, and may stand in its place. What the two compute differs by
rounding alone. How it is done, matrix products that fit into caches, threads, memory that is used again, stands in the modules beside it.
"""

from __future__ import annotations

from scratch.fast.activation import ReLU
from scratch.fast.adadelta import Adadelta
from scratch.fast.convolution import Conv2d
from scratch.fast.dropout import Dropout
from scratch.fast.linear import Linear
from scratch.fast.pooling import MaxPool2d

__all__ = ["Adadelta", "Conv2d", "Dropout", "Linear", "MaxPool2d", "ReLU"]
