"""Convolutional networks written from scratch, with NumPy and nothing else.

Every layer is a class with ``forward`` and ``backward``, its parameters in ``params`` and their gradients, after ``backward``, in ``grads``. What
training leaves in it besides is in ``buffers``; whether it trains or predicts, in ``training``. Arrays are batches:
``(batch, channels, height, width)`` for images, ``(batch, features)`` after ``Flatten``.

``Sequential`` and ``Residual`` make networks of layers; a loss starts the backward pass, and an optimizer ends the step.
Beside them: :mod:`scratch.initialisers`, :mod:`scratch.schedule`, :mod:`scratch.augmentation`, and whole networks by name in :mod:`scratch.networks`.

The code here is written to be read: each layer is one file, with the derivation of its gradient in the docstring of ``backward``. Where that is slow,
:mod:`scratch.fast` has a subclass of the same name with faster kernels. :mod:`scratch.article` holds a second, independent implementation: one image
at a time, in explicit loops.
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
