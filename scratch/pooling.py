"""Max pooling, with a declared answer to the question that decides its gradient: who wins a tie.

Ties are no rare accident: on MNIST, whose background is constant, most 2x2 windows tie.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from scratch.layer import Array, Layer, Pair, output_size, pair

TieRule = Literal["first", "last", "all", "split"]
TIE_RULES: tuple[TieRule, ...] = ("first", "last", "all", "split")


class MaxPool2d(Layer):
    """Keep the largest value of each window.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height and width of the windows.
    stride : int or (int, int), optional
        Steps between windows; the kernel size if left out. Rows and columns at the end that fill no window are dropped.
    padding : int or (int, int)
        Added on each side as values that never win; at most half of the kernel.
    ties : {"first", "last", "all", "split"}
        Which of several equal maxima gets the window's gradient: the first in row order (as PyTorch does), the last, each of them in full, or each
        an equal part. "all" is not a derivative: it multiplies the gradient by the number of winners.
    """

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0, ties: TieRule = "first") -> None:
        super().__init__()
        self.kernel_size = pair(kernel_size, "kernel_size", least=1)
        self.stride = self.kernel_size if stride is None else pair(stride, "stride", least=1)
        self.padding = pair(padding, "padding", least=0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(f"padding={padding!r}: expected at most half of kernel_size={kernel_size!r}, or a window would hold nothing but padding")
        if ties not in TIE_RULES:
            raise ValueError(f"ties={ties!r}: expected one of {', '.join(TIE_RULES)}")
        self.ties: TieRule = ties
        self._winners: Array | None = None
        self._input_shape: tuple[int, ...] = ()
        self._output_shape: tuple[int, ...] | None = None

    def forward(self, x: Array) -> Array:
        """Return the maximum of each window.

        Parameters
        ----------
        x : array of shape (batch, channels, height, width)

        Returns
        -------
        array of shape (batch, channels, output_height, output_width)
            With ``output = (size + 2 * padding - kernel) // stride + 1`` for height and width.
        """
        self.check_input(x, "batch channels height width")
        (vertical, horizontal), (step_down, step_right) = self.padding, self.stride
        height, width = output_size((x.shape[2], x.shape[3]), self.kernel_size, self.stride, self.padding)
        padding = ((0, 0), (0, 0), (vertical, vertical), (horizontal, horizontal))
        padded = np.pad(x, padding, constant_values=-np.inf) if any(self.padding) else x
        windows = sliding_window_view(padded, self.kernel_size, axis=(2, 3))[:, :, ::step_down, ::step_right]
        candidates = windows.reshape(len(x), x.shape[1], height, width, -1)
        output: Array = candidates.max(axis=-1)
        self._winners = self._shares(candidates, output)
        self._input_shape, self._output_shape = x.shape, output.shape
        return output

    def _shares(self, candidates: Array, output: Array) -> Array:
        """Return the part of its window's gradient that each candidate gets: ``(batch, channels, height, width, kernel elements)``."""
        if self.ties in ("all", "split"):
            shares: Array = (candidates == output[..., None]).astype(output.dtype)
            if self.ties == "split":
                shares /= shares.sum(axis=-1, keepdims=True)
            return shares
        last = candidates.shape[-1] - 1
        winner = candidates.argmax(axis=-1) if self.ties == "first" else last - candidates[..., ::-1].argmax(axis=-1)
        return np.asarray(np.arange(last + 1) == winner[..., None], dtype=output.dtype)

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: every window's gradient goes to its winner, and adds up where windows overlap.

        Parameters
        ----------
        grad_output : array of shape (batch, channels, output_height, output_width)

        Returns
        -------
        array of shape (batch, channels, height, width)
        """
        self.check_grad_output(grad_output, self._output_shape)
        assert self._winners is not None
        batch, channels, height, width = self._input_shape
        (top, left), (step_down, step_right) = self.padding, self.stride
        rows, columns = grad_output.shape[2:]
        grad_padded = np.zeros((batch, channels, height + 2 * top, width + 2 * left), grad_output.dtype)
        for tap, (u, v) in enumerate(np.ndindex(self.kernel_size)):
            share = self._winners[..., tap]
            # where, not a bare product: an infinite gradient must not turn the losers' zeros into NaN.
            part = np.where(share > 0, share * grad_output, 0)
            grad_padded[:, :, u : u + step_down * rows : step_down, v : v + step_right * columns : step_right] += part
        return grad_padded[:, :, top : top + height, left : left + width]
