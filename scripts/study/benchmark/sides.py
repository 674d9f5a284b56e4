"""The sides of the benchmark: programs that train the same network from the same weights, each in its usual way.

A step begins with images as bytes and ends with new weights and the loss as a number. A side also shows its weights and dropout masks, with
scratch's names and layouts, so that one judge can judge all. To add a side, write a class and add an entry to :data:`SIDES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from digits.batches import Batch, Labels, scaled
from digits.files import SHIPPED, load
from training.scratch_training import Training

import scratch
from crosscheck.adapters.layout import Layout
from crosscheck.core.precision import Array
from reference.copying import settings_of
from scratch import article
from scratch.networks import NETWORKS

Images = npt.NDArray[np.uint8]
Masks = Mapping[str, npt.NDArray[np.bool_]]
DTYPE = np.dtype(np.float32)


class MissingError(Exception):
    """A side cannot be measured on this machine; the message says why, and what to do."""


@dataclass(frozen=True)
class Workload:
    """A network, its usual optimizer, a batch size and initial weights."""

    network: str  # one of NETWORKS
    batch: int  # images in a step
    seed: int = 0  # of the initial weights

    def training(self) -> Training:
        """Return a new training by scratch; the initial weights are the same each time."""
        recipe = NETWORKS[self.network]
        model = recipe.make(np.random.default_rng(self.seed), DTYPE)
        return Training(model, recipe.trained_by(model.trainable_params))

    def settings(self) -> Any:
        """Return the optimizer's settings in the form that the references take."""
        return settings_of(self.training().optimizer)


class Side(Protocol):
    """A program that trains a network."""

    @property
    def layers(self) -> Mapping[str, object]:
        """The network's layers as layers of scratch, for the judge."""

    @property
    def tie_rule(self) -> str:
        """The side's rule for ties in max pooling, if it is known to differ from the frameworks' rule; otherwise empty."""

    def run(self, batches: Sequence[tuple[Images, Labels]]) -> None:
        """Do one training step on each batch, in the fastest usual way; this is timed."""

    def observed(self, images: Images, labels: Labels) -> tuple[float, Masks]:
        """Do one training step; return its loss and its dropout masks, by layer."""

    def params(self) -> dict[str, Array]:
        """Return copies of the parameters, with the names and layouts of ``layers``."""


class EachStep:
    """A side that trains step by step. Unless a subclass says otherwise, it has the frameworks' tie rule and no dropout."""

    tie_rule = ""

    def step(self, images: Images, labels: Labels) -> float:
        """Do one training step and return its loss."""
        raise NotImplementedError

    def run(self, batches: Sequence[tuple[Images, Labels]]) -> None:
        """Do one training step on each batch."""
        for images, labels in batches:
            self.step(images, labels)

    def observed(self, images: Images, labels: Labels) -> tuple[float, Masks]:
        """Do one training step; return its loss and an empty mapping of masks."""
        return self.step(images, labels), {}


class ScratchSide(EachStep):
    """The layers of ``scratch``, trained by the loop of ``scripts/train.py``."""

    def __init__(self, workload: Workload) -> None:
        self.training = workload.training()
        self.layers = self.training.model.layers

    def step(self, images: Images, labels: Labels) -> float:
        """Do one training step and return its loss."""
        return self.training.step(Batch(1, scaled(images, DTYPE), labels))[0]

    def params(self) -> dict[str, Array]:
        """Return copies of the parameters."""
        return {name: value.copy() for name, value in self.training.model.params.items()}

    def observed(self, images: Images, labels: Labels) -> tuple[float, Masks]:
        """Do one training step; return its loss and its dropout masks."""
        loss = self.step(images, labels)
        return loss, {name: layer.mask for name, layer in self.layers.items() if isinstance(layer, scratch.Dropout) and layer.mask is not None}


POOLED = Layout("(c h w) k -> (h w c) k", dict(zip("hwc", article.POOLED_SHAPE, strict=True)))
"""The layout that leads from the order in which scratch flattens images to the order of the tutorial."""


class ArticleSide(EachStep):
    """The tutorial's own loops, which train on one image at a time.

    Their max pooling gives the gradient to every pixel that ties. The judge applies the same rule; otherwise this known difference would hide others.
    """

    tie_rule = "all"

    def __init__(self, workload: Workload) -> None:
        training = workload.training()
        self.model, self.lr = article.ArticleCNN(np.random.default_rng(0), DTYPE), training.optimizer.lr
        params = training.model.params
        self.model.conv.filters[...] = params["conv.weight"][:, 0]
        self.model.softmax.weights[...] = POOLED.to_reference(params["linear.weight"])
        self.model.softmax.biases[...] = params["linear.bias"]
        self.layers: Mapping[str, object] = {"conv": self.model.conv, "pool": self.model.pool, "softmax": self.model.softmax}

    def step(self, images: Images, labels: Labels) -> float:
        """Do one training step and return its loss."""
        return self.model.train(article.scale(images[0], DTYPE), int(labels[0]), self.lr)

    def params(self) -> dict[str, Array]:
        """Return copies of the parameters by the article's names."""
        softmax = self.model.softmax
        arrays = {"conv.filters": self.model.conv.filters, "softmax.weights": softmax.weights, "softmax.biases": softmax.biases}
        return {name: value.copy() for name, value in arrays.items()}


SIDES: dict[str, tuple[str, str, str]] = {
    "scratch": ("study.benchmark.sides", "ScratchSide", "scratch"),
    "article": ("study.benchmark.sides", "ArticleSide", "the article's loops"),
    "torch": ("study.benchmark.torch_side", "TorchSide", "PyTorch"),
    "torch.compile": ("study.benchmark.torch_side", "CompiledSide", "PyTorch, compiled"),
    "jax": ("study.benchmark.jax_side", "JaxSide", "JAX, jitted"),
    "keras": ("study.benchmark.keras_side", "KerasSide", "Keras' fit, on JAX"),
}
"""For each side, its module, its class, and its name in tables."""

OPTIONAL = ("torch.compile",)
"""Sides that may be missing: if they cannot be measured, the report says so, and the benchmark does not fail."""


def applicable(name: str, workload: Workload) -> bool:
    """Return whether a side can train a workload: the article's loops train only the tutorial's network, one image at a time."""
    return name != "article" or (workload.network, workload.batch) == ("tutorial", 1)


def made(name: str, workload: Workload) -> Side:
    """Return a side, ready for its first step; raise MissingError if it cannot be measured on this machine."""
    module, kind, _ = SIDES[name]
    try:
        side: Side = getattr(importlib.import_module(module), kind)(workload)
    except ImportError as error:
        raise MissingError(f"it cannot be imported ({error}); pip install -c constraints.txt -e '.[all]'") from error
    return side


def digits(batch: int, count: int) -> list[tuple[Images, Labels]]:
    """Return batches of the digits that ship, in order; after the last digit they start again."""
    shipped = load(SHIPPED)
    picked = [np.arange(number * batch, (number + 1) * batch) % len(shipped.train_labels) for number in range(count)]
    return [(shipped.train_images[own], shipped.train_labels[own]) for own in picked]
