r"""Batch normalisation: each channel minus its mean, divided by its standard deviation.

.. math:: y = \gamma \hat x + \beta, \quad \hat x = \frac{x - \mu}{\sqrt{v + \epsilon}}, \qquad
    \frac{\partial L}{\partial x} = \frac{\gamma}{\sqrt{v + \epsilon}} \Big(g - \bar g - \hat x \, \overline{g \hat x}\Big)

with means over batch and positions (Ioffe and Szegedy, 2015). The formulas are written for tracked numbers. An error that all elements of a channel
have in common is tracked separately, because it cancels in every implementation: to first order, an error of the mean does not change the variance,
because the differences from the mean add up to zero. An error of the standard deviation scales a whole sum, not each term separately.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from crosscheck.core.operation import Arrays, Call
from crosscheck.core.precision import Array
from crosscheck.oracles.running_error import Operand, Tracked, max_error, running_mean
from crosscheck.oracles.theories.formulas import FormulaTheory


@dataclass(frozen=True)
class Normalization(FormulaTheory):
    """The error theory of batch normalisation of ``(batch, channels, ...)`` arrays, with the buffers ``running_mean`` and ``running_var``."""

    eps: float = 1e-5
    momentum: float = 0.1  # the weight of a batch's statistics in the running statistics, as in PyTorch
    training: bool = True  # whether the statistics of the batch normalise the input; if not, the running statistics do
    buffers: Arrays = field(default_factory=dict)  # the running statistics for a call without buffers
    biased: bool = False  # whether the running variance is updated with the biased variance, as in Keras; if not, with the unbiased one
    expanded: bool = False  # whether the reference computes gamma's gradient as a difference of two sums, of g * x and of g * mean, as Keras does

    def results(self, call: Call, x: Tracked, g: Tracked | None) -> dict[str, Tracked]:
        """Return every result of a call, except running statistics that the call only reads."""
        channel = self.channels(call, x)
        scale, bias = (per_channel(call.params[name], x) if name in call.params else None for name in ("weight", "bias"))
        results: dict[str, Tracked] = {"output": channel.output(scale, bias)}
        if self.training:
            moved = self.moved(channel)
            for name in call.buffers.keys() & moved.keys():
                old = Tracked.exact(call.buffers[name], x.precision)
                results[name] = running_mean(1 - self.momentum, old, moved[name].reshape(-1))
        return results if g is None else results | self.gradients(channel, g, scale)

    def channels(self, call: Call, x: Tracked) -> Channels:
        """Return the input and the statistics that normalise it: those of the batch in training, else the running statistics."""
        if self.training:
            return self.of_batch(x, batch_axes(x))
        buffers = {**self.buffers, **call.buffers}
        mean, variance = (per_channel(buffers[name], x) for name in ("running_mean", "running_var"))
        return Channels(x, batch_axes(x), mean, variance, self.root(variance))

    def of_batch(self, x: Tracked, axes: tuple[int, ...]) -> Channels:
        """Return the input and the batch statistics over the given axes."""
        mean = x.mean(axes, keepdims=True)
        # An error d of the mean, which is the same for all differences, adds d^2.
        variance = np.square(x - mean.exactly).mean(axes, keepdims=True) + np.square(mean.deviation)
        return Channels(x, axes, mean, variance, self.root(variance))

    def root(self, variance: Operand) -> Operand:
        """Return the divisor, sqrt(variance + eps)."""
        return np.sqrt(variance + self.eps)

    def moved(self, channel: Channels) -> dict[str, Operand]:
        """Return the batch statistics that update the running statistics."""
        unbiased = channel.variance * (channel.count / max(channel.count - 1, 1))
        return {"running_mean": channel.mean, "running_var": channel.variance if self.biased else unbiased}

    def gradients(self, channel: Channels, g: Tracked, scale: Tracked | None) -> dict[str, Operand]:
        """Return the gradients. In training, the input gradient includes the terms through the mean and the variance."""
        total, projection = g.sum(channel.axes, keepdims=True), channel.projection(g, self.expanded)
        grad_input = channel.grad_input(g, scale, (total, projection) if self.training else None)
        return {"grad_input": grad_input, "weight.grad": projection.reshape(-1), "bias.grad": total.reshape(-1)}


@dataclass(frozen=True)
class Channels:
    """An input and the statistics that normalise it, computed over ``axes``; ``root`` is sqrt(variance + eps)."""

    x: Tracked
    axes: tuple[int, ...]
    mean: Tracked
    variance: Tracked
    root: Tracked

    @property
    def count(self) -> int:
        """The number of elements over which each statistic is computed."""
        return math.prod(self.x.value.shape[axis] for axis in self.axes)

    @cached_property
    def inverse(self) -> Operand:
        """1 / root."""
        return 1 / self.root

    @cached_property
    def normalised(self) -> Operand:
        """(x - mean) / root."""
        return (self.x - self.mean) * self.inverse

    def output(self, scale: Tracked | None, bias: Tracked | None) -> Operand:
        """Return gamma * normalised + beta. Code may also compute x * s + (beta - mean * s) with s = gamma / root."""
        slope = self.inverse if scale is None else scale * self.inverse
        whole, shift = self.normalised if scale is None else self.normalised * scale, -(self.mean * slope.exactly)
        # An error of the slope is multiplied by x - mean, not by x and by the mean separately.
        by_parts = self.x * slope.exactly + (shift if bias is None else bias + shift) + (self.x - self.mean).exactly * slope.deviation
        return max_error(whole if bias is None else whole + bias, by_parts)

    def projection(self, g: Tracked, expanded: bool = False) -> Operand:
        """Return the sum of g * normalised, which is the gradient of gamma, or the sum of g * x minus that of g * mean, ``expanded``."""
        inverse, centred = self.inverse, self.x - self.mean.exactly
        # If the sum is divided only at the end, products of small numbers may underflow and products of large numbers may overflow.
        at_the_end = (g * centred).sum(self.axes, keepdims=True) * inverse.exactly
        own = max_error((g * (centred * inverse.exactly)).sum(self.axes, keepdims=True), at_the_end)
        # An error of the mean changes all terms equally; an error of the root scales all terms equally.
        total = g.sum(self.axes, keepdims=True)
        if expanded:
            slope = inverse.exactly
            own = max_error(own, (g * (self.x * slope)).sum(self.axes, keepdims=True) - self.mean.exactly * slope * total)
        return own + self.mean.deviation * inverse.exactly * total + own.exactly * (self.root.exactly * inverse.deviation)

    def grad_input(self, g: Tracked, scale: Tracked | None, sums: tuple[Tracked, Tracked] | None) -> Operand:
        """Return the input gradient. ``sums`` are the sums of g and of g * normalised; None leaves out the terms through mean and variance."""
        slope = self.inverse if scale is None else scale * self.inverse
        if sums is None:
            return g * slope
        share = 1 / self.count
        at_once = (g - sums[0] * share - self.normalised * (sums[1] * share)) * slope
        return max_error(
            at_once, self._through_statistics(g if scale is None else g * scale, at_once.exactly * (self.root.exactly * self.inverse.deviation))
        )

    def _through_statistics(self, g: Tracked, by_root: Tracked) -> Operand:
        """Return the input gradient as a sum of three parts: the direct part, the part through the variance and the part through the mean.

        The rounding error of each part is relative to the size of this part, and each part may be out of range. ``by_root`` is the effect of an error
        of the root, which is common to all parts.
        """
        root, own = self.root.exactly, self.x - self.mean.exactly
        cube = np.square(root) * root
        direct = g / root
        grad_variance = (g * own * -0.5 / cube).sum(self.axes, keepdims=True)
        grad_variance = grad_variance + self.mean.deviation * g.sum(self.axes, keepdims=True) * -0.5 / cube
        centre = (-2 * own).mean(self.axes, keepdims=True) + 2 * self.mean.deviation
        grad_mean = grad_variance * centre - direct.sum(self.axes, keepdims=True)
        return direct + grad_variance * 2 * (self.x - self.mean) / self.count + grad_mean / self.count + by_root


def batch_axes(x: Tracked) -> tuple[int, ...]:
    """Return the axes over which ``(batch, channels, ...)`` arrays are summed: all except the channels."""
    return (0, *range(2, x.value.ndim))


def per_channel(value: Array, x: Tracked) -> Tracked:
    """Return an array with one number for each channel, reshaped so that it broadcasts over the input."""
    return Tracked.exact(value, x.precision).reshape(1, -1, *[1] * (x.value.ndim - 2))
