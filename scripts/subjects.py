"""The networks under test, each with its PyTorch twin: where scratch, reference and harness are tied together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scratch_state import restore, snapshot

import scratch
from crosscheck.adapters.listening import ListenedNetwork
from crosscheck.adapters.objects import Dicts, Updating
from crosscheck.architecture import Architecture
from crosscheck.arithmetic import Array
from crosscheck.frameworks.pytorch_training import architecture, make_training
from crosscheck.freerun import MakeTraining
from crosscheck.layout import LayerLayout
from crosscheck.snapshot import Snapshot
from crosscheck.subject import Labels, Subject
from crosscheck.update import SgdSettings
from reference import pytorch as reference
from scratch.article import ArticleCNN
from scratch.networks import tutorial

SUBJECTS = ("scratch", "article")


class SettingsError(ValueError):
    """Settings that do not go together; the message says which and what to do."""


class Resumable(Subject, Protocol):
    """A subject that can go on where another process left it."""

    def snapshot(self) -> Snapshot:
        """Return all that it remembers between two steps."""

    def restore(self, snapshot: Snapshot) -> None:
        """Take over a snapshot of a subject that was made in the same way."""


@dataclass(frozen=True)
class Twins:
    """A subject, the architecture that it claims to have, and how to make references of it."""

    subject: Resumable
    architecture: Architecture
    make: MakeTraining


class ScratchNetwork(ListenedNetwork):
    """A network of scratch layers, with its loss and optimizer.

    Parameters
    ----------
    model, loss, optimizer
        Trained in place.
    layouts : mapping of str to LayerLayout
        For each layer of the model.
    """

    def __init__(
        self, model: scratch.Sequential, loss: scratch.SoftmaxCrossEntropy, optimizer: scratch.SGD, layouts: Mapping[str, LayerLayout]
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        parts = {name: Dicts(layer) for name, layer in model.layers.items()}
        super().__init__(parts, layouts, self._train, Dicts(loss), lambda: self.optimizer.buffers, self.model.forward)

    def snapshot(self) -> Snapshot:
        """Return weights, the optimizer's state and the layers' generators."""
        return snapshot(self.model, self.optimizer)

    def restore(self, snapshot: Snapshot) -> None:
        """Take over a snapshot of a network of the same layers."""
        restore(self.model, self.optimizer, snapshot)

    def _train(self, x: Array, labels: Labels) -> Array:
        output = self.model.forward(x)
        loss = self.loss.forward(output, labels)
        self.model.backward(self.loss.backward())
        self.optimizer.step(self.model.grads)
        return loss


class ArticleNetwork(ListenedNetwork):
    """The tutorial's own network, which remembers nothing but its parameters."""

    def snapshot(self) -> Snapshot:
        """Return the parameters, in the reference's layout."""
        return Snapshot(self.params, {})

    def restore(self, snapshot: Snapshot) -> None:
        """Take over the parameters."""
        self.load(snapshot.arrays)


def layered(model: scratch.Sequential, settings: SgdSettings) -> Twins:
    """Return a scratch network, trained with these settings, and its PyTorch twin."""
    loss = scratch.SoftmaxCrossEntropy()
    optimizer = scratch.SGD(model.trainable_params, settings.lr, settings.momentum, settings.dampening, settings.nesterov, settings.weight_decay)
    modules, torch_loss, layouts = reference.network(model.layers, loss)
    frozen = frozenset(model.frozen)
    return Twins(
        ScratchNetwork(model, loss, optimizer, layouts),
        architecture(modules, torch_loss, settings, frozen),
        make_training(modules, torch_loss, settings, frozen),
    )


def article(model: ArticleCNN, settings: SgdSettings) -> Twins:
    """Return the tutorial's own network and its PyTorch twin."""
    layers = {"conv": model.conv, "pool": model.pool, "softmax": model.softmax}
    modules, torch_loss, layouts = reference.network(layers)
    parts = {name: Updating(layer, tuple(layouts[name].params)) for name, layer in layers.items()}
    frozen = frozenset({"conv"} if model.frozen else ())
    return Twins(
        ArticleNetwork(parts, layouts, lambda image, label: model.train(image, label, settings.lr), forward=model.forward),
        architecture(modules, torch_loss, settings, frozen),
        make_training(modules, torch_loss, settings, frozen),
    )


def _scratch_tutorial(rng: np.random.Generator, dtype: npt.DTypeLike, settings: SgdSettings, freeze: tuple[str, ...]) -> Twins:
    model = tutorial(rng, dtype)
    trainable = [name for name, layer in model.layers.items() if layer.params]
    _check_freeze(freeze, trainable)
    model.freeze(*freeze)
    return layered(model, settings)


def _article_tutorial(rng: np.random.Generator, dtype: npt.DTypeLike, settings: SgdSettings, freeze: tuple[str, ...]) -> Twins:
    if settings.momentum:
        raise SettingsError("--momentum: the article's layers update themselves with the learning rate alone; leave it at 0 or use --subject scratch")
    _check_freeze(freeze, ["conv"])
    model = ArticleCNN(rng, dtype)
    model.frozen = bool(freeze)
    return article(model, settings)


def _check_freeze(freeze: tuple[str, ...], known: list[str]) -> None:
    for name in freeze:
        if name not in known:
            raise SettingsError(f"--freeze {name}: no layer of that name can be frozen in this subject; expected {' or '.join(known)}")


_TUTORIAL: dict[str, Callable[[np.random.Generator, npt.DTypeLike, SgdSettings, tuple[str, ...]], Twins]] = {
    "scratch": _scratch_tutorial,
    "article": _article_tutorial,
}


def tutorial_twins(
    subject: str, rng: np.random.Generator, dtype: npt.DTypeLike, settings: SgdSettings, batch_size: int, freeze: tuple[str, ...] = ()
) -> Twins:
    """Return the tutorial's network as one of the two subjects.

    Raises
    ------
    SettingsError
        If the subject cannot train with these settings.
    """
    if subject == "article" and batch_size != 1:
        raise SettingsError(f"--batch-size {batch_size}: the article's code trains on one image at a time; use 1, or --subject scratch")
    return _TUTORIAL[subject](rng, dtype, settings, freeze)
