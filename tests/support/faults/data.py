"""Faults on the way of the data into a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from crosscheck import Pair
from crosscheck.core.precision import Array
from tests.support.faults.fault import Host, planted
from tests.textbook.scaling import DEVIATIONS, MEANS, Scaling


def _reference(x: Any) -> Any:
    mean, deviation = (torch.tensor(values, dtype=x.dtype)[:, None, None] for values in (MEANS, DEVIATIONS))
    return (x / 255 - mean) / deviation


SCALING = Host("scaling", Scaling, lambda kind: Pair(kind(), _reference, shapes=[(4, 3, 6, 6)], framework="torch", name="scaling"))


@planted(SCALING, at="output", hidden="pixels in a byte overflow without a word: 200 + 100 is 44")
class BytesOverflow(Scaling):
    """Pixels are doubled and shifted while they are still bytes."""

    def share(self, images: Array) -> Array:
        doubled = images.astype(np.int64).astype(np.uint8) * np.uint8(2)
        return doubled.astype(images.dtype) / 510


@planted(SCALING, at="output", cause="edit: number", hidden="a difference of 0.4 % changes no curve")
class Over256(Scaling):
    """Pixels are divided by 256."""

    def share(self, images: Array) -> Array:
        return images / 256


@planted(SCALING, at="output", cause="edit: left out", hidden="the first layer's bias learns it")
class NotCentred(Scaling):
    """The mean is not subtracted."""

    def mean(self, images: Array) -> Array:
        return 0 * super().mean(images)


@planted(SCALING, at="output", hidden="the means of the three colors are much alike")
class ColorsInAnotherOrder(Scaling):
    """Images are blue, green, red; mean and deviation are those of red, green, blue."""

    def mean(self, images: Array) -> Array:
        return super().mean(images)[::-1]

    def deviation(self, images: Array) -> Array:
        return super().deviation(images)[::-1]


@planted(SCALING, at="output", hidden="zeros after an integer division look like dark images")
class WholeNumbers(Scaling):
    """Pixels are divided as whole numbers."""

    def share(self, images: Array) -> Array:
        return images // 255


@planted(SCALING, at="output", hidden="for images that use the whole range it is the same")
class OverTheLargest(Scaling):
    """Pixels are divided by the largest one of the batch."""

    def share(self, images: Array) -> Array:
        return np.asarray(images / np.abs(images).max())


@planted(SCALING, at="output", cause="transposed", hidden="square images go through, and most digits are still told apart")
class Transposed(Scaling):
    """Rows and columns of the images are exchanged."""

    def share(self, images: Array) -> Array:
        return super().share(images).swapaxes(-1, -2)

    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output.swapaxes(-1, -2))


@planted(SCALING, at="output", cause="mirrored", hidden="an augmentation that is on in training alone is in no test")
class Flipped(Scaling):
    """Every image is mirrored."""

    def share(self, images: Array) -> Array:
        return super().share(images)[..., ::-1]


@planted(SCALING, at="contract-inputs_are_left_alone", hidden="the first epoch is right; the second one scales what is scaled already")
class ScaledInPlace(Scaling):
    """Images are scaled in the caller's array."""

    def share(self, images: Array) -> Array:
        images /= 255
        return images


@planted(SCALING, at="grad_input", cause="edit: left out", hidden="nobody uses the gradient of the pixels until an adversarial example is made")
class ScaleLeftOutBackward(Scaling):
    """The gradient is not divided by 255."""

    def backward(self, grad_output: Array) -> Array:
        return grad_output / self.deviation(grad_output)


@planted(SCALING, at="output", hidden="it is a share of a percent in each color")
class RoundedToBytes(Scaling):
    """Images are stored as bytes between scaling and use."""

    def share(self, images: Array) -> Array:
        return np.round(super().share(images) * 255) / 255
