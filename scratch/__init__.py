"""A convolutional network written from scratch, with NumPy and nothing else.

Every layer is a class with ``forward`` and ``backward``, its parameters in ``params`` and their gradients, after ``backward``, in ``grads``.
Arrays are batches: ``(batch, channels, height, width)`` for images, ``(batch, features)`` after ``Flatten``.

:mod:`scratch.article` holds a second, independent implementation: one image at a time, in explicit loops.
"""

from scratch.activation import ReLU
from scratch.average import AvgPool2d, GlobalAveragePool2d
from scratch.convolution import Conv2d
from scratch.layer import Layer
from scratch.linear import Linear
from scratch.loss import SoftmaxCrossEntropy
from scratch.padding import ZeroPad2d
from scratch.pooling import MaxPool2d
from scratch.sequential import Sequential
from scratch.sgd import SGD
from scratch.shape import Flatten

__all__ = [
    "SGD",
    "AvgPool2d",
    "Conv2d",
    "Flatten",
    "GlobalAveragePool2d",
    "Layer",
    "Linear",
    "MaxPool2d",
    "ReLU",
    "Sequential",
    "SoftmaxCrossEntropy",
    "ZeroPad2d",
]
