"""Augmentation, on maps that take whole pixels to whole pixels or half-way between them, and what comes from the generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scratch.augmentation import augmented
from scratch.layer import Array

IMAGE = np.arange(1.0, 26.0).reshape(5, 5)
IMAGES = IMAGE[None, None]


class Drawn:
    """A generator that draws these shares of the largest shifts, angle and change of size."""

    def __init__(self, down: float = 0, right: float = 0, angle: float = 0, size: float = 0) -> None:
        self.values = np.array([down, right, angle, size])

    def uniform(self, low: float, high: float, shape: tuple[int, ...]) -> Array:
        drawn: Array = np.ones(shape) * self.values[:, None, None, None]
        return drawn


def one(generator: Any, **settings: float) -> Array:
    """Return what becomes of one image of one channel."""
    images: Array = augmented(IMAGES, generator, **settings)[0, 0]
    return images


def test_nothing_drawn_changes_nothing() -> None:
    assert np.array_equal(one(Drawn()), IMAGE)


def test_shift_down_and_right() -> None:
    moved = one(Drawn(down=0.5, right=1), shift=2, background=-1)
    assert np.array_equal(moved[1:, 2:], IMAGE[:-1, :-2])
    assert (moved[0] == -1).all()
    assert (moved[:, :2] == -1).all()


def test_half_a_pixel_is_a_mean() -> None:
    assert np.array_equal(one(Drawn(right=1), shift=0.5)[:, 1:], (IMAGE[:, 1:] + IMAGE[:, :-1]) / 2)


def test_half_a_pixel_fades_into_the_background() -> None:
    assert np.array_equal(one(Drawn(right=1), shift=0.5, background=10)[:, 0], (IMAGE[:, 0] + 10) / 2)


def test_far_out_is_background() -> None:
    assert (one(Drawn(right=1), shift=100, background=7) == 7).all()


def test_rotation_is_counterclockwise() -> None:
    """In floating point the cosine of a right angle is not exactly 0, so the numbers are whole up to rounding."""
    assert np.array_equal(np.rint(one(Drawn(angle=1), rotate=90)), np.rot90(IMAGE))


def test_half_the_size_takes_every_other_pixel() -> None:
    small = one(Drawn(size=-1), scale=0.5)
    assert np.array_equal(small[1:4, 1:4], IMAGE[::2, ::2])
    assert small.sum() == IMAGE[::2, ::2].sum()


def test_channels_of_an_image_move_together() -> None:
    both = augmented(np.stack([IMAGE, 2 * IMAGE])[None], np.random.default_rng(0))
    assert np.array_equal(both[0, 1], 2 * both[0, 0])


def test_images_move_apart() -> None:
    both = augmented(np.stack([IMAGES[0], IMAGES[0]]), np.random.default_rng(0))
    assert not np.array_equal(both[0], both[1])


def test_same_seed_same_images() -> None:
    first, second = (augmented(IMAGES, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)


def test_precision_is_kept_and_the_input_left_alone() -> None:
    images = IMAGES.astype(np.float32)
    before = images.copy()
    assert augmented(images, np.random.default_rng(0)).dtype == np.float32
    assert np.array_equal(images, before)


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        pytest.param(IMAGE, {}, r"shape \(5, 5\), expected floats of \(batch, channels, height, width\)", id="axes"),
        pytest.param(IMAGES.astype(np.uint8), {}, "the images are uint8", id="bytes"),
        pytest.param(IMAGES, {"shift": -1}, "shift=-1, expected a number of at least 0", id="shift"),
        pytest.param(IMAGES, {"rotate": np.nan}, "rotate=nan, expected a number of at least 0", id="rotate"),
        pytest.param(IMAGES, {"scale": 1}, "scale=1, expected a number of at least 0 and below 1", id="scale"),
    ],
)
def test_refused(images: Any, settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        augmented(images, np.random.default_rng(0), **settings)
