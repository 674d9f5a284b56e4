"""The networks under test, each with its twins in the reference frameworks. This module connects scratch, reference and harness."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

import scratch
from crosscheck.adapters.layout import LayerLayout
from crosscheck.adapters.network_listened import TracedNetwork
from crosscheck.adapters.objects import Dicts, Updating
from crosscheck.core.operation import Labels
from crosscheck.core.precision import Array
from crosscheck.core.subject import Subject
from crosscheck.core.training import MakeTraining, Snapshot
from crosscheck.oracles.network import Architecture
from crosscheck.oracles.optimizers import SgdSettings
from crosscheck.references.networks import NetworkReference
from crosscheck.training.jury import Juror
from reference.copying import layouts_of, settings_of, sources_of
from scratch.article import ArticleCNN
from scratch.networks import NETWORKS, Kernels
from scratch.optimizer import Optimizer
from training.scratch_state import evaluation, restore, snapshot

REFERENCES = {"torch": "pytorch", "jax": "jax", "keras": "keras"}
"""The reference frameworks, each with its module of :mod:`reference`."""


class SettingsError(ValueError):
    """Settings cannot be combined; the message says which ones, and what to do."""


class Resumable(Subject, Protocol):
    """A subject that can continue from the state of another process, and whose learning rate can change from step to step."""

    def follow(self, lr_factor: float) -> None:
        """Do the next steps with ``lr_factor`` times the initial learning rate."""

    def snapshot(self) -> Snapshot:
        """Return all state that the subject keeps between two steps."""

    def restore(self, snapshot: Snapshot) -> None:
        """Restore a snapshot of a subject that was made in the same way."""


@dataclass(frozen=True)
class Twins:
    """A subject, its architecture, a function that makes its first reference, all references, and the device on which they compute."""

    subject: Resumable
    architecture: Architecture
    make: MakeTraining
    jurors: tuple[Juror, ...] = ()
    place: str = "cpu"


class ScratchNetwork(TracedNetwork):
    """A network of scratch layers, with its loss and optimizer; training changes all three in place."""

    def __init__(
        self, model: scratch.Sequential, loss: scratch.SoftmaxCrossEntropy, optimizer: Optimizer, layouts: Mapping[str, LayerLayout]
    ) -> None:
        self.model, self.loss, self.optimizer, self._lr = model, loss, optimizer, optimizer.lr
        parts = {name: adapted(layer) for name, layer in model.layers.items()}
        super().__init__(parts, layouts, self._train, Dicts(loss), lambda: self.optimizer.state, self._evaluate)

    def follow(self, lr_factor: float) -> None:
        """Do the next steps with ``lr_factor`` times the initial learning rate."""
        self.optimizer.lr = self._lr * lr_factor

    def snapshot(self) -> Snapshot:
        """Return weights, the optimizer's state and the layers' generators."""
        return snapshot(self.model, self.optimizer)

    def restore(self, snapshot: Snapshot) -> None:
        """Restore a snapshot of a network with the same layers."""
        restore(self.model, self.optimizer, snapshot)

    def _train(self, x: Array, labels: Labels) -> Array:
        output = self.model.forward(x)
        loss = self.loss.forward(output, labels)
        self.model.backward(self.loss.backward())
        self.optimizer.step(self.model.grads)
        return loss

    def _evaluate(self, x: Array) -> Array:
        with evaluation(self.model):
            return self.model.forward(x)


def adapted(layer: scratch.Layer) -> Dicts:
    """Return a scratch layer adapted for the harness, which has to see the masks that a dropout draws."""
    return Dicts(layer, mask="mask" if isinstance(layer, scratch.Dropout) else "")


class ArticleNetwork(TracedNetwork):
    """The tutorial's own network; training changes its parameters in place, and it has no other state."""

    def __init__(self, model: ArticleCNN, layouts: Mapping[str, LayerLayout], lr: float) -> None:
        self.model, self._lr, self._lr_factor = model, lr, 1.0
        layers = {"conv": model.conv, "pool": model.pool, "softmax": model.softmax}
        parts = {name: Updating(layer, tuple(layouts[name].params)) for name, layer in layers.items()}
        super().__init__(parts, layouts, self._train, forward=model.forward)

    def follow(self, lr_factor: float) -> None:
        """Do the next steps with ``lr_factor`` times the initial learning rate."""
        self._lr_factor = lr_factor

    def _train(self, image: Array, label: int) -> Any:
        return self.model.train(image, label, self._lr * self._lr_factor)

    def snapshot(self) -> Snapshot:
        """Return the parameters, in the reference's layout."""
        return Snapshot(self.params, {})

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the parameters."""
        self.load(snapshot.arrays)


def layered(
    model: scratch.Sequential, optimizer: Optimizer, references: Sequence[str] = ("torch",), device: str = "cpu", tf32: bool = False
) -> Twins:
    """Return a scratch network with its optimizer, and its twin in each reference framework on a device."""
    loss, settings, frozen, sources = scratch.SoftmaxCrossEntropy(), settings_of(optimizer), frozenset(model.frozen), sources_of(model)
    found = [imported(name).network(model.layers, loss, settings, frozen, sources, device, tf32) for name in references]
    return twins(ScratchNetwork(model, loss, optimizer, layouts_of(model.layers)), found)


def article(model: ArticleCNN, settings: SgdSettings, device: str = "cpu", tf32: bool = False) -> Twins:
    """Return the tutorial's own network, and its PyTorch twin on a device."""
    layers = {"conv": model.conv, "pool": model.pool, "softmax": model.softmax}
    found = imported("torch").network(layers, None, settings, frozenset({"conv"} if model.frozen else ()), None, device, tf32)
    return twins(ArticleNetwork(model, layouts_of(layers), settings.lr), [found])


def imported(name: str) -> Any:
    """Import and return the module of a reference framework; raise SettingsError if the framework is not installed."""
    try:
        return importlib.import_module(f"reference.{REFERENCES[name]}")
    except ImportError as error:
        raise SettingsError(f"--reference {name}: it cannot be imported ({error}); pip install -c constraints.txt '.[{name}]'") from error


def twins(subject: Resumable, references: Sequence[NetworkReference[Any]]) -> Twins:
    """Return a subject with its references, which all use the same parameter names and axis order."""
    jurors = [Juror(network.name, network.architecture, network.training, network.converted) for network in references]
    return Twins(subject, jurors[0].architecture, jurors[0].make, tuple(jurors), references[0].place)


@dataclass(frozen=True)
class Choice:
    """The network to train, its settings, and the references to compare it with."""

    subject: str
    network: str  # one of NETWORKS
    reference: Sequence[str]  # some of REFERENCES
    dtype: npt.DTypeLike
    lr: float
    momentum: float | None  # None for the network's usual momentum
    batch_size: int
    freeze: Sequence[str] = ()  # layers that do not train
    device: str = "cpu"  # where the references compute
    tf32: bool = False  # whether float32 references may multiply in TF32 on a GPU
    kernels: Kernels = "fast"  # of the layers of scratch


def chosen(choice: Choice, rng: np.random.Generator) -> Twins:
    """Return the subject that was chosen, with fresh weights, and its references.

    SettingsError says why the subject cannot train with these settings, DeviceError why a reference cannot compute on the device.
    """
    return _chosen_article(choice, rng) if choice.subject == "article" else _chosen_network(choice, rng)


def _chosen_network(choice: Choice, rng: np.random.Generator) -> Twins:
    recipe = NETWORKS[choice.network]
    model = recipe.make(rng, choice.dtype, choice.kernels)
    _check_freeze(choice.freeze, [name for name, part in model.parts.items() if part.params])
    model.freeze(*choice.freeze)
    optimizer = recipe.trained_by(model.trainable_params, choice.kernels, lr=choice.lr)
    if choice.momentum is not None:
        if not isinstance(optimizer, scratch.SGD):
            kind = type(optimizer).__name__
            raise SettingsError(f"--momentum {choice.momentum:g}: {choice.network} is trained by {kind}, which has none; leave it out")
        optimizer.momentum = choice.momentum
    return layered(model, optimizer, choice.reference, choice.device, choice.tf32)


def _chosen_article(choice: Choice, rng: np.random.Generator) -> Twins:
    if choice.network != "tutorial":
        raise SettingsError(
            f"--network {choice.network}: the article's code is that of the tutorial's network; leave it out or use --subject scratch"
        )
    if choice.kernels != "fast":
        raise SettingsError(f"--kernels {choice.kernels}: the article's code has loops of its own; leave it out or use --subject scratch")
    if choice.batch_size != 1:
        raise SettingsError(f"--batch-size {choice.batch_size}: the article's code trains on one image at a time; use 1, or --subject scratch")
    if choice.momentum:
        raise SettingsError("--momentum: the article's layers update themselves with the learning rate alone; leave it at 0 or use --subject scratch")
    if list(choice.reference) != ["torch"]:
        raise SettingsError(
            f"--reference {','.join(choice.reference)}: the article's layers have twins in torch alone; use that, or --subject scratch"
        )
    _check_freeze(choice.freeze, ["conv"])
    model = ArticleCNN(rng, choice.dtype)
    model.frozen = bool(choice.freeze)
    return article(model, SgdSettings(choice.lr), choice.device, choice.tf32)


def _check_freeze(freeze: Sequence[str], known: list[str]) -> None:
    for name in freeze:
        if name not in known:
            raise SettingsError(f"--freeze {name}: no layer of that name can be frozen in this subject; expected {' or '.join(known)}")
