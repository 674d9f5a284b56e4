"""Augmentation: each image is shifted, rotated and scaled a little at random, so that a network never sees the same image twice."""

from __future__ import annotations

import numpy as np

from scratch.layer import Array


def augmented(
    images: Array, rng: np.random.Generator, *, shift: float = 2.0, rotate: float = 10.0, scale: float = 0.1, background: float = 0.0
) -> Array:
    r"""Return a batch of images, each transformed by its own random affine map.

    The map takes a point p to :math:`s R (p - c) + c + t`, with c the centre of the image. Pixel q of the output therefore comes from
    :math:`p = R^T (q - c - t) / s + c`, and is interpolated bilinearly between the four pixels around p.

    Parameters
    ----------
    images : array of shape (batch, channels, height, width)
        Not changed.
    rng : numpy.random.Generator
        The only source of randomness: the same state gives the same images. It always draws four numbers for each image.
    shift : float
        The largest shift, in pixels, down and to the right: t is uniform on ±shift.
    rotate : float
        The largest angle, in degrees, counterclockwise: uniform on ±rotate.
    scale : float
        The largest relative change of size: s is uniform on 1 ± scale, the same in both directions.
    background : float
        The value of pixels outside the image.
    """
    if images.ndim != 4 or not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"augmented: the images are {images.dtype} of shape {images.shape}, expected floats of (batch, channels, height, width)")
    for name, value in (("shift", shift), ("rotate", rotate)):
        if not (value >= 0 and np.isfinite(value)):
            raise ValueError(f"augmented: {name}={value!r}, expected a number of at least 0")
    if not 0 <= scale < 1:
        raise ValueError(f"augmented: scale={scale!r}, expected a number of at least 0 and below 1; at 1 an image could vanish")
    down, right, angle, size = rng.uniform(-1, 1, (4, len(images), 1, 1))
    rows, columns = _origins(images.shape[2:], down * shift, right * shift, np.deg2rad(angle * rotate), 1 + size * scale)
    return _interpolated(images, rows, columns, background)


def _origins(shape: tuple[int, ...], down: Array, right: Array, angle: Array, scale: Array) -> tuple[Array, Array]:
    """Return the row and the column that each pixel of each image comes from, each of shape (batch, height, width)."""
    height, width = shape
    centre_row, centre_column = (height - 1) / 2, (width - 1) / 2
    row = np.arange(height)[:, None] - centre_row - down
    column = np.arange(width) - centre_column - right
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    # Rows count downwards: a counterclockwise rotation of the picture is clockwise in (row, column).
    return cosine * row + sine * column + centre_row, cosine * column - sine * row + centre_column


def _interpolated(images: Array, rows: Array, columns: Array, background: float) -> Array:
    """Return the images at these places, interpolated between the four pixels around each place."""
    batch, _, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=background)
    # Beyond the padding there is only background, so a place further out can move to the padding.
    rows, columns = np.clip(rows + 1, 0, height + 1), np.clip(columns + 1, 0, width + 1)
    top, left = np.minimum(rows.astype(int), height), np.minimum(columns.astype(int), width)
    below, beside = (rows - top).astype(images.dtype)[:, None], (columns - left).astype(images.dtype)[:, None]
    image = np.arange(batch)[:, None, None]
    # Indexing with arrays on both sides of the slice puts the channels last.
    corners = [np.moveaxis(padded[image, :, top + u, left + v], -1, 1) for u in (0, 1) for v in (0, 1)]
    upper = (1 - beside) * corners[0] + beside * corners[1]
    lower = (1 - beside) * corners[2] + beside * corners[3]
    result: Array = (1 - below) * upper + below * lower
    return result
