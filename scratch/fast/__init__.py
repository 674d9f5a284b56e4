"""Faster versions of the slow layers and of an optimizer of :mod:`scratch`, each a subclass of the plain version.

A class has the name, the arguments, the parameters and the errors of the plain class and can replace it. Their results differ by rounding alone. The
other modules here hold the means: matrix products that fit into caches, threads, and memory that is reused.
"""

from scratch.fast.activation import ReLU
from scratch.fast.adadelta import Adadelta
from scratch.fast.convolution import Conv2d
from scratch.fast.dropout import Dropout
from scratch.fast.linear import Linear
from scratch.fast.pooling import MaxPool2d

__all__ = ["Adadelta", "Conv2d", "Dropout", "Linear", "MaxPool2d", "ReLU"]
