"""Convolutional networks written from scratch, with NumPy alone.

Every layer is a class with ``forward`` and ``backward``. Its parameters are in ``params``, their gradients, after ``backward``, in ``grads``, and its
running statistics in ``buffers``; ``training`` says whether it trains or predicts. Arrays are batches: ``(batch, channels, height, width)`` for
images, ``(batch, features)`` after ``Flatten``.

``Sequential`` and ``Residual`` make networks of layers; a loss starts the backward pass, and an optimizer updates the parameters.
See also :mod:`scratch.initialisers`, :mod:`scratch.schedule`, :mod:`scratch.augmentation`, and whole networks by name in :mod:`scratch.networks`.

The code is written to be read: the docstring of each layer's ``backward`` derives its gradient. Where such a layer is slow, :mod:`scratch.fast` has
a subclass of the same name with faster kernels. :mod:`scratch.article` is a second, independent implementation: one image at a time, in explicit
loops.
"""

from scratch.activation import LeakyReLU, ReLU, Sigmoid, Tanh
from scratch.adadelta import Adadelta
from scratch.adam import Adam, AdamW
from scratch.average import AvgPool2d, GlobalAveragePool2d
from scratch.convolution import Conv2d
from scratch.dropout import Dropout
from scratch.gelu import GELU
from scratch.layer import Layer
from scratch.linear import Linear
from scratch.logsoftmax import LogSoftmax
from scratch.loss import MSELoss, NLLLoss, SoftmaxCrossEntropy
from scratch.normalisation import BatchNorm1d, BatchNorm2d
from scratch.optimizer import Optimizer
from scratch.padding import ZeroPad2d
from scratch.pooling import MaxPool2d
from scratch.residual import Residual
from scratch.rmsprop import RMSprop
from scratch.sequential import Sequential
from scratch.sgd import SGD
from scratch.shape import Flatten

__all__ = [
    "GELU",
    "SGD",
    "Adadelta",
    "Adam",
    "AdamW",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "GlobalAveragePool2d",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "NLLLoss",
    "Optimizer",
    "RMSprop",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "SoftmaxCrossEntropy",
    "Tanh",
    "ZeroPad2d",
]
