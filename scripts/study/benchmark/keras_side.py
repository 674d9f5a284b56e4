"""Keras' side of the benchmark: a compiled model and ``fit``, channels last, as a user of Keras writes it; on JAX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from digits.batches import Labels, scaled

import scratch
from crosscheck.adapters.layout import Layout
from crosscheck.core.precision import Array
from crosscheck.oracles.optimizers import AdadeltaSettings, SgdSettings
from crosscheck.references.keras.oracle import NAME
from study.benchmark.jax_side import IMAGES, layouts_of
from study.benchmark.sides import DTYPE, EachStep, Images, Masks, Workload

import keras  # isort: skip

__all__ = ["NAME", "KerasSide"]

NAMES = {"weight": "kernel", "bias": "bias"}
"""Keras' names of scratch's parameters."""


def counterpart(layer: object, seed: int) -> Any:
    """Return Keras' version of a scratch layer."""
    match layer:
        case scratch.Conv2d():
            return keras.layers.Conv2D(len(layer.params["weight"]), layer.kernel_size, layer.stride, use_bias="bias" in layer.params)
        case scratch.MaxPool2d():
            return keras.layers.MaxPooling2D(layer.kernel_size, layer.stride)
        case scratch.ReLU():
            return keras.layers.ReLU()
        case scratch.Dropout():
            return keras.layers.Dropout(layer.p, seed=seed)
        case scratch.Flatten():
            return keras.layers.Flatten()
        case scratch.Linear():
            return keras.layers.Dense(layer.params["weight"].shape[1])
    raise _missing(type(layer).__name__)


def optimizer(settings: object) -> Any:
    """Return Keras' optimizer with a scratch optimizer's settings."""
    match settings:
        case SgdSettings():
            return keras.optimizers.SGD(settings.lr, settings.momentum)
        case AdadeltaSettings():
            return keras.optimizers.Adadelta(settings.lr, settings.rho, settings.eps)
    raise _missing(f"optimizer for {type(settings).__name__}")


def _missing(what: str) -> TypeError:
    return TypeError(f"the benchmark's side in Keras has no {what}; add an entry to scripts/study/benchmark/keras_side.py")


class KerasSide(EachStep):
    """A compiled Keras model, trained by its own ``fit``."""

    def __init__(self, workload: Workload) -> None:
        training = workload.training()
        self.layers, self.batch = training.model.layers, workload.batch
        own = {name: counterpart(layer, workload.seed + place) for place, (name, layer) in enumerate(self.layers.items())}
        self.model = keras.Sequential([keras.Input((28, 28, 1)), *own.values()])
        self.model.compile(optimizer(workload.settings()), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        self._variables: dict[str, tuple[Any, Layout]] = {}
        for full, layout in layouts_of(self.layers).items():
            name, _, ours = full.rpartition(".")
            variable = getattr(own[name], NAMES[ours])
            variable.assign(layout.to_reference(training.model.params[full]))
            self._variables[full] = variable, layout
        self._drops = {name: layer for name, layer in own.items() if isinstance(layer, keras.layers.Dropout)}

    def step(self, images: Images, labels: Labels) -> float:
        """Do one training step and return its loss."""
        return self._fit(images, labels)

    def run(self, batches: Sequence[tuple[Images, Labels]]) -> None:
        """Do one training step on each batch, all in one call."""
        self._fit(np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches]))

    def _fit(self, images: Images, labels: Labels) -> float:
        x = scaled(images, DTYPE).reshape(*images.shape, 1)
        history = self.model.fit(x, labels, batch_size=self.batch, epochs=1, shuffle=False, verbose=0)
        return float(history.history["loss"][0])

    def observed(self, images: Images, labels: Labels) -> tuple[float, Masks]:
        """Do one training step; return its loss and its dropout masks, which a generator in the same state draws again."""
        states = {name: np.array(layer.seed_generator.state.value) for name, layer in self._drops.items()}
        loss = self._fit(images, labels)
        masks: dict[str, Any] = {}
        for name, layer in self._drops.items():
            generator = keras.random.SeedGenerator(0)
            generator.state.assign(states[name])
            ones = np.ones((len(images), *layer.input.shape[1:]), DTYPE)
            mask = np.asarray(keras.random.dropout(ones, layer.rate, seed=generator)) != 0
            masks[name] = IMAGES.to_reference(mask) if mask.ndim == 4 else mask
        return loss, masks

    def params(self) -> dict[str, Array]:
        """Return copies of the parameters in scratch's layouts."""
        return {name: np.array(layout.to_subject(np.asarray(variable.value))) for name, (variable, layout) in self._variables.items()}
