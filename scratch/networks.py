"""Networks by name, with random initial weights, and how each is usually trained.

All take digits, ``(batch, 1, 28, 28)``, and return the logits of 10 classes. Each is made of the layers of :mod:`scratch.fast` or of the plain layers
of :mod:`scratch`: the same seed gives the same weights and masks in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

import scratch
from scratch import SGD, Adadelta, Adam, AvgPool2d, BatchNorm2d, Flatten, GlobalAveragePool2d, Optimizer, Residual, Sequential, Tanh, fast
from scratch.composite import Part
from scratch.initialisers import glorot_uniform, he_normal
from scratch.layer import Array, Layer

CLASSES = 10

Kernels = Literal["plain", "fast"]
KERNELS: Mapping[str, ModuleType] = {"plain": scratch, "fast": fast}
"""Where layers come from; a layer that is not in ``fast`` is always the plain one."""


def package(kernels: Kernels) -> ModuleType:
    """Return the package with these kernels; raise a ValueError for other names."""
    if kernels not in KERNELS:
        raise ValueError(f"kernels={kernels!r}: expected one of {', '.join(KERNELS)}")
    return KERNELS[kernels]


def tutorial(rng: np.random.Generator, dtype: npt.DTypeLike = np.float64, kernels: Kernels = "fast") -> Sequential:
    """Return the tutorial's network for MNIST: 8 filters of 3x3 without bias, max pooling 2x2, one linear layer to the logits of 10 classes.

    The input is a batch of shape (batch, 1, 28, 28), scaled to ``pixel / 255 - 0.5``.
    """
    nn = package(kernels)
    return Sequential(
        conv=nn.Conv2d(1, 8, 3, bias=False, rng=rng, dtype=dtype),
        pool=nn.MaxPool2d(2),
        flatten=Flatten(),
        linear=nn.Linear(8 * 13 * 13, CLASSES, rng=rng, dtype=dtype),
    )


def keras_mnist_cnn(rng: np.random.Generator, dtype: npt.DTypeLike = np.float64, kernels: Kernels = "fast") -> Sequential:
    """Return the network of Keras's MNIST example, with two convolutions and two dropouts; its authors report 99.25 % after 12 epochs."""
    nn = package(kernels)
    weights, masks = rng.spawn(2)
    conv = partial(nn.Conv2d, rng=weights, dtype=dtype, init=glorot_uniform)
    dense = partial(nn.Linear, rng=weights, dtype=dtype, init=glorot_uniform)
    return Sequential(
        conv1=conv(1, 32, 3),
        relu1=nn.ReLU(),
        conv2=conv(32, 64, 3),
        relu2=nn.ReLU(),
        pool=nn.MaxPool2d(2),
        dropout1=nn.Dropout(0.25, rng=masks.spawn(1)[0]),
        flatten=Flatten(),
        dense1=dense(64 * 12 * 12, 128),
        relu3=nn.ReLU(),
        dropout2=nn.Dropout(0.5, rng=masks.spawn(1)[0]),
        dense2=dense(128, 10),
    )


def lenet5(rng: np.random.Generator, dtype: npt.DTypeLike = np.float64, kernels: Kernels = "fast") -> Sequential:
    """Return LeNet-5 in today's usual form: average pooling without parameters, every map connected to all maps before, logits instead of distances.

    It has 61,706 parameters. The 28x28 pixels are padded to the paper's 32x32 in the first layer.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition, Proceedings of the IEEE 86(11), 1998.
    """
    nn = package(kernels)
    return Sequential(
        conv1=nn.Conv2d(1, 6, 5, padding=2, rng=rng, dtype=dtype, init=glorot_uniform),
        tanh1=Tanh(),
        pool1=AvgPool2d(2),
        conv2=nn.Conv2d(6, 16, 5, rng=rng, dtype=dtype, init=glorot_uniform),
        tanh2=Tanh(),
        pool2=AvgPool2d(2),
        flatten=Flatten(),
        dense1=nn.Linear(16 * 5 * 5, 120, rng=rng, dtype=dtype, init=glorot_uniform),
        tanh3=Tanh(),
        dense2=nn.Linear(120, 84, rng=rng, dtype=dtype, init=glorot_uniform),
        tanh4=Tanh(),
        dense3=nn.Linear(84, CLASSES, rng=rng, dtype=dtype, init=glorot_uniform),
    )


def batchnorm_cnn(rng: np.random.Generator, dtype: npt.DTypeLike = np.float64, kernels: Kernels = "fast") -> Sequential:
    """Return two convolutions, each followed by batch normalisation, ReLU and a pool, and one linear layer; He's normal weights.

    The convolutions have no bias: the normalisation would subtract it with the mean.
    """
    nn = package(kernels)
    return Sequential(
        conv1=nn.Conv2d(1, 16, 3, padding=1, bias=False, rng=rng, dtype=dtype, init=he_normal),
        norm1=BatchNorm2d(16, dtype=dtype),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(16, 32, 3, padding=1, bias=False, rng=rng, dtype=dtype, init=he_normal),
        norm2=BatchNorm2d(32, dtype=dtype),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=Flatten(),
        linear=nn.Linear(32 * 7 * 7, CLASSES, rng=rng, dtype=dtype, init=he_normal),
    )


def resnet_50_layers(rng: np.random.Generator, dtype: npt.DTypeLike = np.float64, kernels: Kernels = "fast") -> Sequential:
    """Return the residual network of 6 n + 2 layers for small images, with n = 8: 50 layers with weights, not counting the two projections.

    Three stages of 8 basic blocks with 16, 32 and 64 channels; the first block of the second and third stage halves the image. Weights are He's
    normal; only the last layer has a bias. 151 arrays, 758,074 parameters. It is not ImageNet's ResNet-50, which consists of bottleneck blocks.

    References
    ----------
    He, Zhang, Ren, Sun: Deep residual learning for image recognition, CVPR 2016, section 4.2.
    """
    nn = package(kernels)
    return Sequential(
        conv=_conv(1, 16, 1, rng, dtype, nn),
        norm=BatchNorm2d(16, dtype=dtype),
        relu=nn.ReLU(),
        stage1=_stage(16, 16, 8, rng, dtype, nn),
        stage2=_stage(16, 32, 8, rng, dtype, nn),
        stage3=_stage(32, 64, 8, rng, dtype, nn),
        pool=GlobalAveragePool2d(),
        linear=nn.Linear(64, CLASSES, rng=rng, dtype=dtype, init=he_normal),
    )


def _stage(channels_in: int, channels_out: int, blocks: int, rng: np.random.Generator, dtype: npt.DTypeLike, nn: ModuleType) -> Sequential:
    """Return basic blocks, each followed by a ReLU; where the number of channels changes, the first block halves the image."""
    parts: dict[str, Part] = {}
    for number in range(1, blocks + 1):
        parts[f"block{number}"] = _basic_block(channels_in if number == 1 else channels_out, channels_out, rng, dtype, nn)
        parts[f"relu{number}"] = nn.ReLU()
    return Sequential(**parts)


def _basic_block(channels_in: int, channels_out: int, rng: np.random.Generator, dtype: npt.DTypeLike, nn: ModuleType) -> Residual:
    """Return two normalised convolutions with a shortcut: the identity or, if the shape changes, a 1x1 convolution with the same stride."""
    stride = 1 if channels_in == channels_out else 2
    body = Sequential(
        conv1=_conv(channels_in, channels_out, stride, rng, dtype, nn),
        norm1=BatchNorm2d(channels_out, dtype=dtype),
        relu1=nn.ReLU(),
        conv2=_conv(channels_out, channels_out, 1, rng, dtype, nn),
        norm2=BatchNorm2d(channels_out, dtype=dtype),
    )
    if stride == 1:
        return Residual(body)
    return Residual(body, nn.Conv2d(channels_in, channels_out, 1, stride, bias=False, rng=rng, dtype=dtype, init=he_normal))


def _conv(channels_in: int, channels_out: int, stride: int, rng: np.random.Generator, dtype: npt.DTypeLike, nn: ModuleType) -> Layer:
    layer: Layer = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False, rng=rng, dtype=dtype, init=he_normal)
    return layer


class Make(Protocol):
    """A function that builds a network with random initial weights."""

    def __call__(self, rng: np.random.Generator, dtype: npt.DTypeLike = np.float64, kernels: Kernels = "fast") -> Sequential:
        """Return the network."""


@dataclass(frozen=True)
class Recipe:
    """A network and how it is usually trained: ``optimizer`` is the plain class, and ``lr`` is among its settings."""

    make: Make
    optimizer: type[Optimizer]
    settings: Mapping[str, float]
    batch_size: int
    epochs: int

    @property
    def lr(self) -> float:
        """The usual learning rate."""
        return self.settings["lr"]

    def trained_by(self, params: Mapping[str, Array], kernels: Kernels = "fast", **other: float) -> Optimizer:
        """Return the usual optimizer of these parameters; ``other`` settings replace the usual ones."""
        kind: Callable[..., Optimizer] = getattr(package(kernels), self.optimizer.__name__, self.optimizer)
        return kind(params, **{**self.settings, **other})


NETWORKS: Mapping[str, Recipe] = {
    "tutorial": Recipe(tutorial, SGD, {"lr": 0.005}, 1, 3),
    "keras-mnist-cnn": Recipe(keras_mnist_cnn, Adadelta, {"lr": 1.0, "rho": 0.95, "eps": 1e-7}, 128, 12),
    "lenet5": Recipe(lenet5, SGD, {"lr": 0.01, "momentum": 0.9}, 32, 20),
    "batchnorm-cnn": Recipe(batchnorm_cnn, Adam, {"lr": 0.001}, 64, 5),
    # The paper's settings, except that digits need fewer than its 164 epochs and a constant learning rate.
    "resnet-50-layers": Recipe(resnet_50_layers, SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}, 128, 10),
}
