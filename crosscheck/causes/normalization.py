"""The known mistakes in batch normalisation: its formulas with one of them changed, and what rounding makes of those.

Each is a subclass of the error theory, which holds the formulas on tracked numbers: the changed ones give the candidate together with its bound.
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
"""In use somewhere, or nearly."""

_CANCELS = 2.0**10
"""How many times the variance the square of the mean has to be for their difference to be the likely cause: ten of the digits are lost."""

_STATISTICS = ("running_mean", "running_var")


class _EpsilonOutside(Normalization):
    """Epsilon is added to the deviation."""

    def root(self, variance: Operand) -> Operand:
        return np.sqrt(variance) + self.eps


class _Unbiased(Normalization):
    """The batch is normalised by its unbiased variance."""

    def channels(self, call: Call, x: Tracked) -> Channels:
        channel = super().channels(call, x)
        return replace(channel, root=self.root(channel.variance * (channel.count / max(channel.count - 1, 1))))


class _RunningBiased(Normalization):
    """The biased variance of the batch enters the running one."""

    def moved(self, channel: Channels) -> dict[str, Operand]:
        return super().moved(channel) | {"running_var": channel.variance}


class _RunningDeviation(Normalization):
    """The standard deviation enters the running variance."""

    def moved(self, channel: Channels) -> dict[str, Operand]:
        moved = super().moved(channel)
        return moved | {"running_var": np.sqrt(moved["running_var"])}


class _OnePass(Normalization):
    """The variance is the mean of squares less the square of the mean."""

    def of_batch(self, x: Tracked, axes: tuple[int, ...]) -> Channels:
        mean = x.mean(axes, keepdims=True)
        variance = np.square(x).mean(axes, keepdims=True) - np.square(mean)
        return Channels(x, axes, mean, variance, self.root(variance))


@dataclass(frozen=True)
class _Over(Normalization):
    """Mean and variance are taken over other axes."""

    axes: tuple[int, ...] = ()

    def channels(self, call: Call, x: Tracked) -> Channels:
        return self.of_batch(x, self.axes)

    def moved(self, channel: Channels) -> dict[str, Operand]:
        return {}


class _ScaleLeftOut(Normalization):
    """Gamma is applied nowhere but in its own gradient."""

    def tracked(self, call: Call, *others: object) -> dict[str, Tracked]:
        ones = {**call.params, "weight": np.ones_like(call.params["weight"])}
        return super().tracked(replace(call, params=ones), *others)  # type: ignore[arg-type]


Gradients: TypeAlias = Callable[[Channels, Tracked, Tracked | None], dict[str, Operand]]
"""Forms some gradients of the channels, the cotangent and gamma."""


@dataclass(frozen=True)
class _OtherGradients(Normalization):
    """Some gradients have another formula."""

    formula: Gradients = field(kw_only=True)

    def gradients(self, channel: Channels, g: Tracked, scale: Tracked | None) -> dict[str, Operand]:
        return super().gradients(channel, g, scale) | self.formula(channel, g, scale)


def _partly(channel: Channels, g: Tracked, scale: Tracked | None, through_mean: float, through_variance: float) -> dict[str, Operand]:
    """Return the input's gradient with so much of what reaches it through the mean and through the variance."""
    total, projection = (g.sum(channel.axes, keepdims=True) * through_mean, channel.projection(g) * through_variance)
    slope = channel.inverse if scale is None else scale * channel.inverse
    share = 1 / channel.count
    return {"grad_input": (g - total * share - channel.normalised * (projection * share)) * slope}


def _through_statistics(channel: Channels, g: Tracked, scale: Tracked | None) -> dict[str, Operand]:
    return {"grad_input": channel.grad_input(g, scale, (g.sum(channel.axes, keepdims=True), channel.projection(g)))}


def _samples_counted(channel: Channels, g: Tracked, scale: Tracked | None) -> dict[str, Operand]:
    factor = channel.count / len(g.value)
    return {"grad_input": channel.grad_input(g, scale, (g.sum(channel.axes, keepdims=True) * factor, channel.projection(g) * factor))}


def normalised_otherwise(failure: Failure) -> Iterator[Candidate]:
    """Normalise with another epsilon, another variance, or other statistics."""
    theory = theory_of(failure)
    if not isinstance(theory, Normalization):
        return
    for eps in _EPSILONS:
        if eps != theory.eps:
            other = f"epsilon is {eps:g}, where it has to be {theory.eps:g}"
            words = other if eps else f"no epsilon is added to the variance, where {theory.eps:g} is"
            yield from _changed(failure, replace(theory, eps=eps), "epsilon", words)
    yield from _changed(failure, _as(theory, _EpsilonOutside), "epsilon outside the root", "epsilon is added to the deviation, not under the root")
    if not theory.training:
        batch = replace(theory, training=True)
        yield from _changed(failure, batch, "batch statistics in evaluation", "evaluation normalises by the statistics of the batch", ("output",))
        return
    words = "the batch is normalised by its unbiased variance (divided by n - 1), where the biased one is due"
    yield from _changed(failure, _as(theory, _Unbiased), "unbiased variance", words)
    if theory.buffers.keys() | failure.call.buffers.keys() >= set(_STATISTICS):
        running = replace(theory, training=False)
        yield from _changed(failure, running, "running statistics in training", "training normalises by the running statistics", ("output",))
    yield from _over_other_axes(failure, theory)
    yield from _cancelled(failure, theory)


def kept_otherwise(failure: Failure) -> Iterator[Candidate]:
    """Keep other running statistics, or move them where they have to stay."""
    theory, quantity = theory_of(failure), failure.quantity
    if not isinstance(theory, Normalization) or quantity not in _STATISTICS:
        return
    if not theory.training:
        words = "evaluation moves the running statistics"
        yield from _changed(failure, replace(theory, training=True), "running statistics move in evaluation", words)
        return
    old = failure.call.buffers[quantity]
    yield Candidate("running statistics stay", "the running statistics are never moved", old, Bound.exact(old))
    words = f"the share of the batch is {1 - theory.momentum:g}, where it has to be {theory.momentum:g}: the other convention of what momentum is"
    yield from _changed(failure, replace(theory, momentum=1 - theory.momentum), "momentum the other way round", words)
    words = "the running variance is kept from the biased variance of the batch, where the unbiased one is due"
    yield from _changed(failure, _as(theory, _RunningBiased), "biased variance", words)
    words = "the standard deviation of the batch is kept, where its variance is due"
    yield from _changed(failure, _as(theory, _RunningDeviation), "deviation for variance", words)
    yield from _added_up(failure, theory)


def differentiated_otherwise(failure: Failure) -> Iterator[Candidate]:
    """Leave out a part of the gradient, or take one that is not there."""
    theory, quantity = theory_of(failure), failure.quantity
    if not isinstance(theory, Normalization):
        return

    def by(gradients: Gradients, name: str, words: str) -> Iterator[Candidate]:
        return _changed(failure, _OtherGradients(**vars(theory), formula=gradients), name, words)

    if quantity == "grad_input" and theory.training:
        words = "nothing reaches the input through the {}: that term of the gradient is left out"
        yield from by(partial(_partly, through_mean=0.0, through_variance=1.0), "mean term left out", words.format("mean"))
        yield from by(partial(_partly, through_mean=1.0, through_variance=0.0), "variance term left out", words.format("variance"))
        words = "mean and variance are taken for constants, as if they did not depend on the input"
        yield from by(lambda channel, g, scale: {"grad_input": channel.grad_input(g, scale, None)}, "statistics taken for constants", words)
        if failure.call.x.ndim > 2:
            words = "the sums are divided by the number of samples, where it has to be that of all elements of a channel"
            yield from by(_samples_counted, "samples counted, not elements", words)
    elif quantity == "grad_input":
        words = "the gradient passes through mean and variance, which are constants in evaluation"
        yield from by(_through_statistics, "gradient of training", words)
    if "weight" not in failure.call.params:
        return
    if quantity in ("output", "grad_input"):
        yield from _changed(failure, _as(theory, _ScaleLeftOut), "scale left out", "gamma is left out")
    if quantity == "weight.grad":
        words = "gamma's gradient is formed with the input, not with the normalised input"
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
    """Yield what other formulas give for the quantity that is wrong, unless they give the same; ``only`` for some quantities where that is said."""
    quantity = failure.quantity
    if only and quantity not in only:
        return
    if (found := _tracked(failure, theory)) is not None:
        yield formula(failure, name, words, found)


def _tracked(failure: Failure, theory: Normalization) -> Tracked | None:
    """Return what formulas give for the quantity that is wrong; None where they do not form it."""
    backward = failure.quantity == "grad_input" or failure.quantity.endswith(".grad")
    call = failure.call if backward else replace(failure.call, grad_output=None)
    with np.errstate(all="ignore"):
        return theory.tracked(call, failure.precision).get(failure.quantity)


def _over_other_axes(failure: Failure, theory: Normalization) -> Iterator[Candidate]:
    """Yield the output by statistics for each element, each sample, each sample and channel, and of everything."""
    everything = tuple(range(failure.call.x.ndim))
    for axes in dict.fromkeys(((0,), everything[1:], everything[2:], everything)):
        if axes and axes != (0, *everything[2:]):
            words = f"mean and variance are taken over the axes {axes}, where it has to be {(0, *everything[2:])}"
            yield from _changed(failure, _Over(**vars(theory), axes=axes), "statistics over the wrong axes", words, ("output",))


def _added_up(failure: Failure, theory: Normalization) -> Iterator[Candidate]:
    """Yield running statistics to which the batch's share is added, and nothing taken off."""
    quantity = failure.quantity
    batch = theory.moved(theory.channels(failure.call, Tracked.exact(failure.call.x, failure.precision)))[quantity].reshape(-1)
    found = Tracked.exact(failure.call.buffers[quantity], failure.precision) + theory.momentum * batch
    yield formula(failure, "sum of batches", "the batch's share is added to the running statistics, and they are not made smaller before", found)


def _cancelled(failure: Failure, theory: Normalization) -> Iterator[Candidate]:
    """Yield the right result with the rounding of a variance that is the difference of two large numbers, where it explains so much more."""
    x = failure.call.x
    axes = (0, *range(2, x.ndim))
    with np.errstate(all="ignore"):
        cancels = bool((np.square(x.mean(axis=axes)) > _CANCELS * x.var(axis=axes)).any())
    if not cancels:
        return
    if (found := _tracked(failure, _as(theory, _OnePass))) is not None:
        words = "the variance is formed as mean of squares less square of the mean: on these inputs nearly all of its digits cancel"
        # The right numbers with a wider tolerance: that the squares cancel is evidence of its own.
        yield replace(formula(failure, "one-pass variance", words, replace(found, value=failure.expected)), fitted=True, shown=True)
