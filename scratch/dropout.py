"""Dropout: in training, each number is set to 0 at random, so that no unit can rely on another one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scratch.layer import Array, Layer

Mask = npt.NDArray[np.bool_]


class Dropout(Layer):
    r"""Set each number to 0 with probability p in training, and divide the others by 1 - p ("inverted" dropout).

    .. math:: y = \frac{m \, x}{1 - p}, \qquad m \in \{0, 1\}, \quad P(m = 1) = 1 - p

    The division keeps the expected value, :math:`E[y] = x`, so that evaluation is the identity.

    Parameters
    ----------
    p : float
        Probability that a number is dropped, at least 0 and below 1.
    rng : numpy.random.Generator
        Source of the masks. If nothing else draws from it, the masks do not depend on the rest of the program.

    Attributes
    ----------
    mask : array of bool, or None
        True where the last :meth:`forward` kept a number, in the shape of its input; None in evaluation.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov: Dropout: a simple way to prevent neural networks from overfitting, JMLR 15, 2014.
    """

    def __init__(self, p: float, *, rng: np.random.Generator) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p={p!r}, expected a probability of at least 0 and below 1; at 1 nothing would be left")
        self.p = p
        self.rng = rng
        self.mask: Mask | None = None

    def forward(self, x: Array, mask: Mask | None = None) -> Array:
        """Return ``m * x / (1 - p)``, in the shape of ``x``; in evaluation, ``x``.

        The layer draws the mask m, unless ``mask`` is given: an array of bool in the shape of ``x``, true where a number is kept. With the same mask
        two implementations can be compared.
        """
        self.check_floats(x)
        if mask is not None:
            self._check_mask(mask, x)
        self._output_shape = x.shape
        if not self.training:
            self.mask = None
            return x.copy()
        self.mask = self._drawn(x.shape) if mask is None else mask.copy()
        return self._kept(x, self.mask)

    def _drawn(self, shape: tuple[int, ...]) -> Mask:
        """Return a mask, true with probability 1 - p."""
        return self.rng.random(shape) >= self.p

    def _kept(self, x: Array, mask: Mask) -> Array:
        """Return ``x / (1 - p)`` where the mask is true and 0 elsewhere, even where x is not finite."""
        return np.where(mask, x / (1 - self.p), 0)

    def _check_mask(self, mask: Mask, x: Array) -> None:
        if not self.training:
            raise ValueError("Dropout: a mask was given in evaluation, where nothing is dropped; set training=True or leave it out")
        if mask.dtype != np.bool_ or mask.shape != x.shape:
            raise ValueError(f"Dropout: the mask is {mask.dtype} of shape {mask.shape}, expected bool of shape {x.shape}, the input's")

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: y is linear in x, with the derivative m / (1 - p), or 1 in evaluation."""
        self.check_grad_output(grad_output)
        return grad_output.copy() if self.mask is None else self._kept(grad_output, self.mask)
