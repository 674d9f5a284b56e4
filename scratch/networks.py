"""Networks by name, built with fresh weights, each with the training that is usual for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from scratch.activation import ReLU, Tanh
from scratch.adadelta import Adadelta
from scratch.adam import Adam
from scratch.average import AvgPool2d, GlobalAveragePool2d
from scratch.convolution import Conv2d
from scratch.dropout import Dropout
from scratch.initialisers import glorot_uniform, he_normal
from scratch.layer import Array
from scratch.linear import Linear
from scratch.normalisation import BatchNorm2d
from scratch.optimizer import Optimizer
from scratch.pooling import MaxPool2d
from scratch.residual import Residual
from scratch.sequential import Sequential
from scratch.sgd import SGD
from scratch.shape import Flatten


def tutorial(rng: np.random.Generator, dtype: npt.DTypeLike = np.float64) -> Sequential:
    """Return the tutorial's network for MNIST: 8 filters of 3x3 without bias, max pooling 2x2, one linear layer to the logits of 10 classes.

    The input is a batch of shape (batch, 1, 28, 28), scaled to ``pixel / 255 - 0.5``, here and in all others.
    """
    return Sequential(
        conv=Conv2d(1, 8, 3, bias=False, rng=rng, dtype=dtype),
        pool=MaxPool2d(2),
        flatten=Flatten(),
        linear=Linear(8 * 13 * 13, 10, rng=rng, dtype=dtype),
    )


def keras_mnist_cnn(rng: np.random.Generator, dtype: npt.DTypeLike = np.float64) -> Sequential:
    """Return the network of Keras' MNIST example, which reaches 99.25 % in 12 epochs by its authors' account: two convolutions, two dropouts."""
    weights, masks = rng.spawn(2)
    conv = partial(Conv2d, rng=weights, dtype=dtype, init=glorot_uniform)
    dense = partial(Linear, rng=weights, dtype=dtype, init=glorot_uniform)
    return Sequential(
        conv1=conv(1, 32, 3),
        relu1=ReLU(),
        conv2=conv(32, 64, 3),
        relu2=ReLU(),
        pool=MaxPool2d(2),
        dropout1=Dropout(0.25, rng=masks.spawn(1)[0]),
        flatten=Flatten(),
        dense1=dense(64 * 12 * 12, 128),
        relu3=ReLU(),
        dropout2=Dropout(0.5, rng=masks.spawn(1)[0]),
        dense2=dense(128, 10),
    )


def lenet5(rng: np.random.Generator, dtype: npt.DTypeLike = np.float64) -> Sequential:
    """Return LeNet-5 as it is usually simplified: averages as pools, full connections, logits at the end.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition, Proceedings of the IEEE 86(11), 1998.
    """
    conv = partial(Conv2d, rng=rng, dtype=dtype, init=glorot_uniform)
    dense = partial(Linear, rng=rng, dtype=dtype, init=glorot_uniform)
    return Sequential(
        conv1=conv(1, 6, 5, padding=2),
        tanh1=Tanh(),
        pool1=AvgPool2d(2),
        conv2=conv(6, 16, 5),
        tanh2=Tanh(),
        pool2=AvgPool2d(2),
        flatten=Flatten(),
        dense1=dense(16 * 5 * 5, 120),
        tanh3=Tanh(),
        dense2=dense(120, 84),
        tanh4=Tanh(),
        dense3=dense(84, 10),
    )


def batchnorm_cnn(rng: np.random.Generator, dtype: npt.DTypeLike = np.float64) -> Sequential:
    """Return a network of two convolutions, each followed by a batch normalisation, which takes the place of its bias.

    References
    ----------
    Ioffe, Szegedy: Batch normalization, ICML 2015.
    """
    conv = partial(Conv2d, rng=rng, dtype=dtype, init=he_normal)
    dense = partial(Linear, rng=rng, dtype=dtype, init=he_normal)
    return Sequential(
        conv1=conv(1, 16, 3, padding=1, bias=False),
        norm1=BatchNorm2d(16, dtype=dtype),
        relu1=ReLU(),
        pool1=MaxPool2d(2),
        conv2=conv(16, 32, 3, padding=1, bias=False),
        norm2=BatchNorm2d(32, dtype=dtype),
        relu2=ReLU(),
        pool2=MaxPool2d(2),
        flatten=Flatten(),
        dense=dense(32 * 7 * 7, 10),
    )


def resnet_50_layers(rng: np.random.Generator, dtype: npt.DTypeLike = np.float64) -> Sequential:
    """Return a residual network of 50 layers with weights: a convolution, three stages of eight blocks of two convolutions, a linear layer.

    The form with 6n + 2 layers that its authors trained on images of this size, n = 8: 16, 32 and 64 channels, halved height and width at the start
    of the second and third stage, whose shortcuts are convolutions of 1x1, not counted among the 50.

    References
    ----------
    He, Zhang, Ren, Sun: Deep residual learning for image recognition, CVPR 2016, section 4.2.
    """

    def convolution(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> Conv2d:
        return Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False, rng=rng, dtype=dtype, init=he_normal)

    def block(channels_in: int, channels: int, stride: int) -> Sequential:
        body = Sequential(
            conv1=convolution(channels_in, channels, 3, stride),
            norm1=BatchNorm2d(channels, dtype=dtype),
            relu1=ReLU(),
            conv2=convolution(channels, channels, 3),
            norm2=BatchNorm2d(channels, dtype=dtype),
        )
        same = channels_in == channels and stride == 1
        return Sequential(add=Residual(body, None if same else convolution(channels_in, channels, 1, stride)), relu=ReLU())

    def stage(channels_in: int, channels: int, stride: int) -> Sequential:
        first = block(channels_in, channels, stride)
        return Sequential(block1=first, **{f"block{number}": block(channels, channels, 1) for number in range(2, 9)})

    return Sequential(
        conv=convolution(1, 16, 3),
        norm=BatchNorm2d(16, dtype=dtype),
        relu=ReLU(),
        stage1=stage(16, 16, 1),
        stage2=stage(16, 32, 2),
        stage3=stage(32, 64, 2),
        pool=GlobalAveragePool2d(),
        dense=Linear(64, 10, rng=rng, dtype=dtype, init=he_normal),
    )


@dataclass(frozen=True)
class Recipe:
    """A network and how it is usually trained.

    Attributes
    ----------
    make : callable
        Gets the generator of the initial weights and a dtype, returns the network.
    optimizer : callable
        Gets the parameters that train and ``lr``, returns the optimizer.
    lr : float
    batch_size, epochs : int
    """

    make: Callable[[np.random.Generator, npt.DTypeLike], Sequential]
    optimizer: Callable[..., Optimizer]
    lr: float
    batch_size: int
    epochs: int

    def trained_by(self, params: dict[str, Array], lr: float | None = None) -> Optimizer:
        """Return the usual optimizer of these parameters, with its usual learning rate if none is given."""
        return self.optimizer(params, lr=self.lr if lr is None else lr)


NETWORKS: dict[str, Recipe] = {
    "tutorial": Recipe(tutorial, SGD, lr=0.005, batch_size=1, epochs=3),
    "keras-mnist-cnn": Recipe(keras_mnist_cnn, partial(Adadelta, rho=0.95, eps=1e-7), lr=1.0, batch_size=128, epochs=12),
    "lenet5": Recipe(lenet5, partial(SGD, momentum=0.9), lr=0.01, batch_size=32, epochs=10),
    "batchnorm-cnn": Recipe(batchnorm_cnn, Adam, lr=0.001, batch_size=64, epochs=5),
    "resnet-50-layers": Recipe(resnet_50_layers, partial(SGD, momentum=0.9, weight_decay=1e-4), lr=0.1, batch_size=128, epochs=10),
}
