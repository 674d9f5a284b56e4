"""Dropout by a mask that is drawn in the forward pass and used again in the backward pass."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crosscheck.core.precision import Array

Mask = npt.NDArray[np.bool_]


class Dropout:
    r"""Inverted dropout: y = m x / (1 - p), m being 0 with probability p; in evaluation, x.

    Parameters
    ----------
    p : float
        The probability of being dropped.
    seed : int
    """

    def __init__(self, p: float, seed: int = 0) -> None:
        self.p, self.training = p, True
        self.rng = np.random.default_rng(seed)

    def forward(self, x: Array) -> Array:
        """Return the output, in the shape of the input."""
        self._dropping = self.training
        if not self.drops():
            return self.evaluated(x)
        self._mask = self.drawn(x.shape)
        return self.dropped(x)

    def drops(self) -> bool:
        """Return whether anything is dropped in the pass that runs."""
        return self._dropping

    def evaluated(self, x: Array) -> Array:
        """Return the output of evaluation."""
        return x.copy()

    def drawn(self, shape: tuple[int, ...]) -> Mask:
        """Return a mask, true where an element is kept."""
        return self.rng.random(shape) < self.kept()

    def kept(self) -> float:
        """Return the probability of being kept."""
        return 1 - self.p

    def dropped(self, x: Array) -> Array:
        """Return what the mask keeps, scaled so that the expected value stays."""
        return np.asarray(x * self._mask / x.dtype.type(1 - self.p))

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: y is linear in x."""
        return self.dropped(grad_output) if self.drops() else grad_output.copy()
