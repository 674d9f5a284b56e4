"""What JAX's versions of the layers and Keras's, which run on JAX, have in common: they compute by functions of JAX's arrays.

An entry is the function alone, or what Keras makes one of. What else an oracle has to know follows from the scratch layer, here, once for both.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import singledispatch
from typing import Any, TypeVar

import numpy as np
from jax import lax

import scratch
from crosscheck.adapters.layout import Parameter
from crosscheck.core.operation import Rounding
from crosscheck.oracles.theories import (
    GELU,
    Average,
    CrossEntropy,
    Elementwise,
    LeakyReLU,
    LogSoftmax,
    Measured,
    Multilinear,
    NegativeLogLikelihood,
    Normalization,
    Scaling,
    Selection,
    SquaredError,
    sigmoid,
    tanh,
)
from crosscheck.references.jax.oracle import JaxOracle, Kinks, sign_kinks, window_kinks
from crosscheck.references.jax.training import JaxNetwork
from reference.copying import layout_of
from reference.framework import Entries, Framework
from scratch.normalisation import BatchNorm

Network = TypeVar("Network", bound=JaxNetwork)

LOSSES = (scratch.SoftmaxCrossEntropy, scratch.NLLLoss, scratch.MSELoss)


class OnJax(Framework[JaxOracle, Network]):
    """A framework whose entries are made into oracles by one function, ``oracle``.

    Parameters
    ----------
    entry, optimizer_entry, kind
        As for :class:`~reference.framework.Framework`.
    oracle : callable
        That of :mod:`crosscheck.references.jax.oracle` or :mod:`crosscheck.references.keras.oracle`.
    measured : tuple of type
        Layers whose rounding is measured, because the framework's own is larger than their theory says.
    """

    def __init__(
        self, entry: Entries, optimizer_entry: Entries, kind: type[Network], oracle: Callable[[Any], JaxOracle], measured: tuple[type, ...] = ()
    ) -> None:
        super().__init__(entry, optimizer_entry, kind)
        self.oracle, self.measured = oracle, measured

    def twin(self, layer: Any) -> JaxOracle:
        """Return the oracle of a scratch layer or loss.

        Raises
        ------
        TypeError
            If there is no entry for it.
        """
        own, layout, modes = self.oracle(self.entry(layer)), layout_of(layer), isinstance(layer, BatchNorm | scratch.Dropout)
        return replace(
            own,
            theory=Measured() if isinstance(layer, self.measured) else theory_of(layer),
            settings=_windows_of(layer),
            kinks=_kinks_of(layer),
            shapes=_shapes(layout.params, layer, "params"),
            buffers=_shapes(layout.buffers, layer, "buffers"),
            labels=isinstance(layer, LOSSES),
            modes=modes,
            evaluation=self.oracle(self.entry(_in_evaluation(layer))).function if modes else None,
            masked=isinstance(layer, scratch.Dropout) and layer.training,
        )


def _shapes(parameters: Mapping[str, Parameter], layer: Any, kind: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a layer's parameters or buffers as every reference orders them."""
    return {parameter.name: parameter.layout.to_reference(getattr(layer, kind)[name]).shape for name, parameter in parameters.items()}


def _in_evaluation(layer: scratch.Layer) -> scratch.Layer:
    layer = copy.copy(layer)
    layer.training = False
    return layer


def _windows_of(layer: Any) -> dict[str, tuple[int, int]]:
    """Return the settings of windows of the kind that hypotheses about them know."""
    if not hasattr(layer, "kernel_size") or layer.padding == "same" or getattr(layer, "dilation", (1, 1)) != (1, 1):
        return {}
    return {"kernel": layer.kernel_size, "stride": layer.stride, "padding": layer.padding}


def _kinks_of(layer: Any) -> Kinks | None:
    if isinstance(layer, scratch.MaxPool2d):
        return window_kinks(**_windows_of(layer))
    return sign_kinks() if isinstance(layer, scratch.ReLU) else None


def sides_of(layer: Any) -> list[tuple[int, int]]:
    """Return how much a layer of windows adds before and behind each axis of its input."""
    return [(0, 0), (0, 0), *((size, size) for size in layer.padding)]


def summed(layer: scratch.AvgPool2d, x: Any) -> Any:
    """Return the sums that a layer divides by their counts."""
    return lax.reduce_window(x, 0.0, lax.add, (1, 1, *layer.kernel_size), (1, 1, *layer.stride), sides_of(layer))


@singledispatch
def theory_of(layer: object) -> Rounding:
    """Return the error theory of a scratch layer; the rounding of one without an entry is measured."""
    return Measured()


theory_of.register(scratch.Conv2d, lambda layer: Multilinear())
theory_of.register(scratch.Linear, lambda layer: Multilinear())
theory_of.register(scratch.AvgPool2d, lambda layer: Average(JaxOracle(lambda x: summed(layer, x))))
theory_of.register(scratch.GlobalAveragePool2d, lambda layer: Average(JaxOracle(lambda x: x.sum((2, 3)))))
theory_of.register(scratch.ZeroPad2d, lambda layer: Selection())
theory_of.register(scratch.Flatten, lambda layer: Selection())
theory_of.register(scratch.ReLU, lambda layer: Selection())
theory_of.register(scratch.LeakyReLU, lambda layer: LeakyReLU(layer.negative_slope))
theory_of.register(scratch.Sigmoid, lambda layer: Elementwise(sigmoid))
theory_of.register(scratch.Tanh, lambda layer: Elementwise(tanh))
theory_of.register(scratch.GELU, lambda layer: GELU[layer.approximate])
theory_of.register(scratch.LogSoftmax, lambda layer: LogSoftmax())
theory_of.register(scratch.Dropout, lambda layer: Scaling(layer.p) if layer.training else Selection())
theory_of.register(scratch.SoftmaxCrossEntropy, lambda loss: CrossEntropy())
theory_of.register(scratch.NLLLoss, lambda loss: NegativeLogLikelihood())
theory_of.register(scratch.MSELoss, lambda loss: SquaredError())


@theory_of.register
def _(layer: scratch.MaxPool2d) -> Rounding:
    return Selection(overlapping=any(size > step for size, step in zip(layer.kernel_size, layer.stride, strict=True)))


@theory_of.register
def _(layer: BatchNorm) -> Rounding:
    return Normalization(layer.eps, layer.momentum, layer.training, {name: value.astype(np.float64) for name, value in layer.buffers.items()})
