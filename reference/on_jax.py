"""The common part of JAX's and Keras's versions of the layers: both compute by functions of JAX's arrays, because Keras runs on JAX.

An entry is the function, or a Keras layer that becomes one. Everything else in an oracle follows from the scratch layer, in this module.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from functools import singledispatch
from typing import Any, TypeVar

import numpy as np
from jax import lax

import scratch
from crosscheck.adapters.layout import Parameter
from crosscheck.core.operation import Rounding
from crosscheck.oracles import theories
from crosscheck.references.jax.oracle import JaxOracle, Kinks, sign_kinks, window_kinks
from crosscheck.references.jax.training import JaxNetwork
from reference.copying import layout_of
from reference.framework import Entries, Framework
from scratch.normalisation import BatchNorm

Network = TypeVar("Network", bound=JaxNetwork)

LOSSES = (scratch.SoftmaxCrossEntropy, scratch.NLLLoss, scratch.MSELoss)


class OnJax(Framework[JaxOracle, Network]):
    """A framework in which ``oracle``, a function of :mod:`crosscheck.references`, turns entries into oracles.

    ``theory`` returns the error theory of a scratch layer, if the framework's formula is another than that of :func:`theory_of`. The other parameters
    are those of :class:`~reference.framework.Framework`.
    """

    def __init__(
        self,
        entry: Entries,
        optimizer_entry: Entries,
        kind: type[Network],
        oracle: Callable[[Any], JaxOracle],
        theory: Callable[[Any], Rounding] | None = None,
    ) -> None:
        super().__init__(entry, optimizer_entry, kind)
        self.oracle, self.theory = oracle, theory or theory_of

    def twin(self, layer: Any) -> JaxOracle:
        """Return the oracle of a scratch layer or loss; raise a TypeError if it has no entry."""
        own, layout, modes = self.oracle(self.entry(layer)), layout_of(layer), isinstance(layer, BatchNorm | scratch.Dropout)
        return replace(
            own,
            theory=self.theory(layer),
            settings=_windows_of(layer),
            kinks=_kinks_of(layer),
            shapes=_shapes(layout.params, layer, "params"),
            buffers=_shapes(layout.buffers, layer, "buffers"),
            labels=isinstance(layer, LOSSES),
            modes=modes,
            evaluation=self.oracle(self.entry(_in_evaluation(layer))).function if modes else None,
            masked=isinstance(layer, scratch.Dropout) and layer.training,
        )

    def twins(self, layers: Mapping[str, Any]) -> dict[str, JaxOracle]:
        """Return the oracles of the layers of a network. Equal layers share one, because XLA compiles several programs for each."""
        keys = {name: _function_of(layer) or name for name, layer in layers.items()}
        known = {key: self.twin(layers[name]) for name, key in reversed(keys.items())}
        return {name: known[key] for name, key in keys.items()}


def _function_of(layer: Any) -> Hashable:
    """Return all that the function of a layer's input and parameters depends on; None if that is not known."""
    if not isinstance(layer, scratch.Layer):
        return None
    settings = [(name, value) for name, value in vars(layer).items() if not name.startswith("_") and name not in ("params", "grads", "buffers")]
    if not all(isinstance(value, Hashable) for _, value in settings):
        return None
    shapes = [(name, value.shape) for name, value in layer.params.items()]
    # A call without running statistics uses those that the layer has now.
    buffers = [(name, value.tobytes()) for name, value in layer.buffers.items()]
    return type(layer), *settings, *shapes, *buffers


def _shapes(parameters: Mapping[str, Parameter], layer: Any, kind: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a layer's parameters or buffers with the references' order of axes."""
    return {parameter.name: parameter.layout.to_reference(getattr(layer, kind)[name]).shape for name, parameter in parameters.items()}


def _in_evaluation(layer: scratch.Layer) -> scratch.Layer:
    layer = copy.copy(layer)
    layer.training = False
    return layer


def _windows_of(layer: Any) -> dict[str, tuple[int, int]]:
    """Return kernel, stride and padding of a layer's windows; empty if the fault models for windows do not cover them."""
    if not hasattr(layer, "kernel_size") or layer.padding == "same" or getattr(layer, "dilation", (1, 1)) != (1, 1):
        return {}
    return {"kernel": layer.kernel_size, "stride": layer.stride, "padding": layer.padding}


def _kinks_of(layer: Any) -> Kinks | None:
    if isinstance(layer, scratch.MaxPool2d):
        return window_kinks(**_windows_of(layer))
    return sign_kinks() if isinstance(layer, scratch.ReLU) else None


def sides_of(layer: Any) -> list[tuple[int, int]]:
    """Return the padding of a layer before and after each axis of its input."""
    return [(0, 0), (0, 0), *((size, size) for size in layer.padding)]


def summed(layer: scratch.AvgPool2d, x: Any) -> Any:
    """Return the sum of each window of an average pooling."""
    return lax.reduce_window(x, 0.0, lax.add, (1, 1, *layer.kernel_size), (1, 1, *layer.stride), sides_of(layer))


@singledispatch
def theory_of(layer: object) -> Rounding:
    """Return the error theory of a scratch layer; without an entry its rounding is measured."""
    return theories.Measured()


theory_of.register(scratch.Conv2d, lambda layer: theories.Multilinear())
theory_of.register(scratch.Linear, lambda layer: theories.Multilinear())
theory_of.register(scratch.AvgPool2d, lambda layer: theories.Average(JaxOracle(lambda x: summed(layer, x))))
theory_of.register(scratch.GlobalAveragePool2d, lambda layer: theories.Average(JaxOracle(lambda x: x.sum((2, 3)))))
theory_of.register(scratch.ZeroPad2d, lambda layer: theories.Selection())
theory_of.register(scratch.Flatten, lambda layer: theories.Selection())
theory_of.register(scratch.ReLU, lambda layer: theories.Selection())
theory_of.register(scratch.LeakyReLU, lambda layer: theories.LeakyReLU(layer.negative_slope))
theory_of.register(scratch.Sigmoid, lambda layer: theories.Elementwise(theories.sigmoid))
theory_of.register(scratch.Tanh, lambda layer: theories.Elementwise(theories.tanh))
theory_of.register(scratch.GELU, lambda layer: theories.GELU[layer.approximate])
theory_of.register(scratch.LogSoftmax, lambda layer: theories.LogSoftmax())
theory_of.register(scratch.Dropout, lambda layer: theories.Scaling(layer.p) if layer.training else theories.Selection())
theory_of.register(scratch.SoftmaxCrossEntropy, lambda loss: theories.CrossEntropy())
theory_of.register(scratch.NLLLoss, lambda loss: theories.NegativeLogLikelihood())
theory_of.register(scratch.MSELoss, lambda loss: theories.SquaredError())


@theory_of.register
def _(layer: scratch.MaxPool2d) -> Rounding:
    return theories.Selection(overlapping=any(size > step for size, step in zip(layer.kernel_size, layer.stride, strict=True)))


@theory_of.register
def _(layer: BatchNorm) -> Rounding:
    buffers = {name: value.astype(np.float64) for name, value in layer.buffers.items()}
    return theories.Normalization(layer.eps, layer.momentum, layer.training, buffers, biased=layer.running_variance == "biased")
