"""Known mistakes in batch normalisation: one of its formulas is changed.

Each mistake is a subclass of the error theory, which evaluates its formulas on numbers with error bounds. So a changed formula gives both the wrong
result and its rounding error bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from crosscheck.causes.candidate import Candidate, formula, theory_of
from crosscheck.core.check_layer import Failure
from crosscheck.core.operation import Call
from crosscheck.core.precision import Bound
from crosscheck.oracles.running_error import Operand, Tracked
from crosscheck.oracles.theories.normalization import Channels, Normalization

_EPSILONS = (0.0, 1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
"""Values of epsilon that are in common use, or close to such a value."""

_CANCELS = 2.0**10
"""If the squared mean is this many times the variance, cancellation is a likely cause: ten binary digits are lost."""

_VARIANCES = {False: ("biased variance", "n (biased)"), True: ("unbiased running variance", "n - 1 (unbiased)")}
"""The name of the fault and what it divides by, for a reference with the unbiased and with the biased running variance."""

_STATISTICS = ("running_mean", "running_var")


class _EpsilonOutside(Normalization):
    """A fault: epsilon is added to the standard deviation."""

    def root(self, variance: Operand) -> Operand:
        return np.sqrt(variance) + self.eps


class _Unbiased(Normalization):
    """A fault: the batch is normalised by its unbiased variance."""

    def channels(self, call: Call, x: Tracked) -> Channels:
        channel = super().channels(call, x)
        return replace(channel, root=self.root(channel.variance * (channel.count / max(channel.count - 1, 1))))


class _RunningDeviation(Normalization):
    """A fault: the running variance is updated with the standard deviation."""

    def moved(self, channel: Channels) -> dict[str, Operand]:
        moved = super().moved(channel)
        return moved | {"running_var": np.sqrt(moved["running_var"])}


class _OnePass(Normalization):
    """A fault: the variance is computed as the mean of squares minus the square of the mean."""

    def of_batch(self, x: Tracked, axes: tuple[int, ...]) -> Channels:
        mean = x.mean(axes, keepdims=True)
        variance = np.square(x).mean(axes, keepdims=True) - np.square(mean)
        return Channels(x, axes, mean, variance, self.root(variance))


@dataclass(frozen=True)
class _Over(Normalization):
    """A fault: the mean and the variance are taken over the wrong axes."""

    axes: tuple[int, ...] = ()

    def channels(self, call: Call, x: Tracked) -> Channels:
        return self.of_batch(x, self.axes)

    def moved(self, channel: Channels) -> dict[str, Operand]:
        return {}


class _ScaleLeftOut(Normalization):
    """A fault: gamma is not applied."""

    def results(self, call: Call, x: Tracked, g: Tracked | None) -> dict[str, Tracked]:
        return super().results(replace(call, params={**call.params, "weight": np.ones_like(call.params["weight"])}), x, g)


Gradients: TypeAlias = Callable[[Channels, Tracked, Tracked | None], dict[str, Operand]]
"""A function that computes some of the gradients from the channels, the upstream gradient and gamma."""


@dataclass(frozen=True)
class _OtherGradients(Normalization):
    """A fault: some of the gradients are computed with a wrong formula."""

    formula: Gradients = field(kw_only=True)

    def gradients(self, channel: Channels, g: Tracked, scale: Tracked | None) -> dict[str, Operand]:
        return super().gradients(channel, g, scale) | self.formula(channel, g, scale)


def _partly(channel: Channels, g: Tracked, scale: Tracked | None, through_mean: float, through_variance: float) -> dict[str, Operand]:
    """Return the input gradient, with its terms through the mean and through the variance multiplied by the given factors."""
    total, projection = (g.sum(channel.axes, keepdims=True) * through_mean, channel.projection(g) * through_variance)
    slope = channel.inverse if scale is None else scale * channel.inverse
    share = 1 / channel.count
    return {"grad_input": (g - total * share - channel.normalised * (projection * share)) * slope}


def _through_statistics(channel: Channels, g: Tracked, scale: Tracked | None) -> dict[str, Operand]:
    return {"grad_input": channel.grad_input(g, scale, (g.sum(channel.axes, keepdims=True), channel.projection(g)))}


def _samples_counted(channel: Channels, g: Tracked, scale: Tracked | None) -> dict[str, Operand]:
    factor = channel.count / len(g.value)
    return {"grad_input": channel.grad_input(g, scale, (g.sum(channel.axes, keepdims=True) * factor, channel.projection(g) * factor))}


def wrong_normalization(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the layer normalises with a wrong epsilon, variance or other statistic."""
    theory = theory_of(failure)
    if not isinstance(theory, Normalization):
        return
    for eps in _EPSILONS:
        if eps != theory.eps:
            words = f"epsilon is {eps:g} instead of {theory.eps:g}" if eps else f"no epsilon is added to the variance; expected {theory.eps:g}"
            yield from _changed(failure, replace(theory, eps=eps), "epsilon", words)
    words = "epsilon is added to the standard deviation instead of the variance under the root"
    yield from _changed(failure, _as(theory, _EpsilonOutside), "epsilon outside the root", words)
    if not theory.training:
        batch = replace(theory, training=True)
        yield from _changed(failure, batch, "batch statistics in evaluation", "evaluation normalises by the statistics of the batch", ("output",))
        return
    words = "the batch is normalised by its unbiased variance (divided by n - 1) instead of the biased one"
    yield from _changed(failure, _as(theory, _Unbiased), "unbiased variance", words)
    if theory.buffers.keys() | failure.call.buffers.keys() >= set(_STATISTICS):
        running = replace(theory, training=False)
        yield from _changed(failure, running, "running statistics in training", "training normalises by the running statistics", ("output",))
    yield from _over_other_axes(failure, theory)
    yield from _cancelled(failure, theory)


def wrong_running_statistics(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: the running statistics are updated wrongly, not at all, or in evaluation."""
    theory, quantity = theory_of(failure), failure.quantity
    if not isinstance(theory, Normalization) or quantity not in _STATISTICS:
        return
    if not theory.training:
        words = "evaluation updates the running statistics"
        yield from _changed(failure, replace(theory, training=True), "running statistics updated in evaluation", words)
        return
    old = failure.call.buffers[quantity]
    yield Candidate("running statistics not updated", "the running statistics are never updated", old, Bound.exact(old))
    words = f"the batch statistics have the weight {1 - theory.momentum:g} instead of {theory.momentum:g}: momentum is defined the other way round"
    yield from _changed(failure, replace(theory, momentum=1 - theory.momentum), "momentum the other way round", words)
    (found, by), (_, expected) = (_VARIANCES[theory.biased], _VARIANCES[not theory.biased])
    words = f"the running variance is updated with the variance of the batch divided by {by} instead of {expected}"
    yield from _changed(failure, replace(theory, biased=not theory.biased), found, words)
    words = "the running variance is updated with the standard deviation of the batch instead of its variance"
    yield from _changed(failure, _as(theory, _RunningDeviation), "standard deviation for variance", words)
    yield from _added_up(failure, theory)


def wrong_normalization_gradient(failure: Failure) -> Iterator[Candidate]:
    """Simulate a fault: a term of the gradient is wrong or left out, or a term is added that does not exist."""
    theory, quantity = theory_of(failure), failure.quantity
    if not isinstance(theory, Normalization):
        return

    def by(gradients: Gradients, name: str, words: str) -> Iterator[Candidate]:
        return _changed(failure, _OtherGradients(**vars(theory), formula=gradients), name, words)

    if quantity == "grad_input" and theory.training:
        words = "the term of the gradient that passes through the {} is left out"
        yield from by(partial(_partly, through_mean=0.0, through_variance=1.0), "mean term left out", words.format("mean"))
        yield from by(partial(_partly, through_mean=1.0, through_variance=0.0), "variance term left out", words.format("variance"))
        words = "mean and variance are treated as constants, as if they did not depend on the input"
        yield from by(lambda channel, g, scale: {"grad_input": channel.grad_input(g, scale, None)}, "statistics treated as constants", words)
        if failure.call.x.ndim > 2:
            words = "the sums are divided by the number of samples instead of the number of all elements of a channel"
            yield from by(_samples_counted, "samples counted, not elements", words)
    elif quantity == "grad_input":
        words = "the gradient passes through mean and variance, which are constants in evaluation"
        yield from by(_through_statistics, "training gradient in evaluation", words)
    if "weight" not in failure.call.params:
        return
    if quantity in ("output", "grad_input"):
        yield from _changed(failure, _as(theory, _ScaleLeftOut), "scale left out", "gamma is left out")
    if quantity == "weight.grad":
        words = "the gradient of gamma is computed from the input instead of the normalised input"
        yield from by(lambda channel, g, scale: {"weight.grad": (g * channel.x).sum(channel.axes)}, "input not normalised", words)
    if quantity in ("weight.grad", "bias.grad"):
        words = "the gradients of gamma and beta are exchanged"
        yield from by(
            lambda channel, g, scale: {"weight.grad": g.sum(channel.axes), "bias.grad": channel.projection(g).reshape(-1)},
            "gradients exchanged",
            words,
        )


def _as(theory: Normalization, kind: type[Normalization]) -> Normalization:
    return kind(**vars(theory))


def _changed(failure: Failure, theory: Normalization, name: str, words: str, only: tuple[str, ...] = ()) -> Iterator[Candidate]:
    """Yield the mismatching quantity as changed formulas compute it; nothing if ``only`` is given and does not contain the quantity."""
    quantity = failure.quantity
    if only and quantity not in only:
        return
    if (found := _tracked(failure, theory)) is not None:
        yield formula(failure, name, words, found)


def _tracked(failure: Failure, theory: Normalization) -> Tracked | None:
    """Return the mismatching quantity as the formulas of ``theory`` compute it; None if they do not compute this quantity."""
    backward = failure.quantity == "grad_input" or failure.quantity.endswith(".grad")
    call = failure.call if backward else failure.call.forward
    with np.errstate(all="ignore"):
        return theory.tracked(call, failure.precision).get(failure.quantity)


def _over_other_axes(failure: Failure, theory: Normalization) -> Iterator[Candidate]:
    """Yield the output if the mean and variance are taken over the batch axis, each sample, each channel of a sample, or the whole array."""
    everything = tuple(range(failure.call.x.ndim))
    for axes in dict.fromkeys(((0,), everything[1:], everything[2:], everything)):
        if axes and axes != (0, *everything[2:]):
            words = f"mean and variance are taken over the axes {axes} instead of {(0, *everything[2:])}"
            yield from _changed(failure, _Over(**vars(theory), axes=axes), "statistics over the wrong axes", words, ("output",))


def _added_up(failure: Failure, theory: Normalization) -> Iterator[Candidate]:
    """Yield the running statistic of a layer that adds momentum * batch statistic but does not decay the old value."""
    quantity = failure.quantity
    batch = theory.moved(theory.channels(failure.call, Tracked.exact(failure.call.x, failure.precision)))[quantity].reshape(-1)
    found = Tracked.exact(failure.call.buffers[quantity], failure.precision) + theory.momentum * batch
    words = "the batch statistics are added to the running statistics, but the running statistics are not multiplied by 1 - momentum first"
    yield formula(failure, "running statistics not decayed", words, found)


def _cancelled(failure: Failure, theory: Normalization) -> Iterator[Candidate]:
    """Yield the correct result with the rounding error bound of a one-pass variance, if this variance subtracts two much larger numbers."""
    x = failure.call.x
    axes = (0, *range(2, x.ndim))
    with np.errstate(all="ignore"):
        cancels = bool((np.square(x.mean(axis=axes)) > _CANCELS * x.var(axis=axes)).any())
    if not cancels:
        return
    if (found := _tracked(failure, _as(theory, _OnePass))) is not None:
        words = "the variance is computed as mean of squares minus square of the mean: on these inputs nearly all of its digits cancel"
        # The correct numbers with a wider tolerance: the cancellation itself is the evidence.
        yield replace(formula(failure, "one-pass variance", words, replace(found, value=failure.expected)), fitted=True, shown=True)
