"""The hand-written networks as pairs of models, what a fault is planted with, and how one check of a pair is run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import MethodType
from typing import Any

from torch import nn

from crosscheck.adapters.network import Network, Part
from crosscheck.adapters.objects import Attributes
from crosscheck.adapters.whole_step import WholeStep
from crosscheck.checks import CheckResult, Settings, checks_of
from crosscheck.pairs.model_pair import ModelPair
from crosscheck.run.check import run_check
from tests.support.hand_written import Array, AttributesMLP, DictsCNN, PlainMLP, UpdatingMLP

LR = 0.05
IMAGES = "n h w c -> n c h w"
SETTINGS = Settings(timeout=20)
Plant = Callable[[Any], None]


def unchanged(network: Any) -> None:
    """Plant nothing."""


def dicts_pair(plant: Plant = unchanged, **settings: Any) -> ModelPair:
    """Return the network of layers with dicts, images in its own layout."""
    momentum = settings.pop("momentum", 0.9)

    def make(dtype: str) -> Network:
        network = DictsCNN(dtype, LR, momentum)
        plant(network)
        sizes, rows = {"h": 2, "w": 2, "c": 2}, "n (h w c) -> n (c h w)"
        parts = {
            "conv": Part(network.layers["conv"], {"W": "weight: kh kw i o -> o i kh kw"}, IMAGES, IMAGES),
            "relu": Part(network.layers["relu"], input=IMAGES, output=IMAGES),
            "pool": Part(network.layers["pool"], input=IMAGES, output=IMAGES),
            "flatten": Part(network.layers["flatten"], input=IMAGES, output=rows, sizes=sizes),
            "linear": Part(network.layers["linear"], {"W": "weight: (h w c) o -> o (c h w)"}, rows, sizes=sizes),
        }
        return Network(parts, network.train, network.loss, lambda: network.velocity, network.forward)

    return model_pair(make, cnn(), (4, 1, 6, 6), momentum=momentum, **settings)


def attributes_pair(plant: Plant = unchanged, **settings: Any) -> ModelPair:
    """Return the network of layers with attributes, by their order."""

    def make(dtype: str) -> Network:
        network = AttributesMLP(dtype, LR)
        plant(network)
        return Network(
            [Attributes(network.first, ("W", "b")), network.relu, Part(network.second, {"W": "weight: i o -> o i", "b": "bias"})], network.train
        )

    return model_pair(make, mlp(), (4, 5), **settings)


def updating_pair(plant: Plant = unchanged, shape: tuple[int, ...] = (1, 5), **settings: Any) -> ModelPair:
    """Return the network of layers that update themselves, nothing declared."""

    def make(dtype: str) -> Network:
        network = UpdatingMLP(dtype, LR)
        plant(network)
        return Network([network.first, network.relu, network.second], network.train)

    return model_pair(make, mlp(), shape, **settings)


def whole_pair(plant: Plant = unchanged, **settings: Any) -> ModelPair:
    momentum = settings.get("momentum", 0.0)

    def make(dtype: str) -> WholeStep:
        network = PlainMLP(dtype, LR, momentum)
        plant(network)
        return WholeStep(network.train, network.params, {"W1": "first.weight: i o -> o i"}, predict=network.predict)

    return model_pair(make, settings.pop("reference", mlp()), settings.pop("shape", (4, 5)), **settings)


def whole_cnn_pair(plant: Plant = unchanged, **settings: Any) -> ModelPair:
    """Return the network of layers with dicts as one that shows nothing of them."""

    def make(dtype: str) -> WholeStep:
        network = DictsCNN(dtype, LR, 0.0)
        plant(network)

        def arrays() -> dict[str, Array]:
            return {f"{name}.{key}": value for name, layer in network.layers.items() for key, value in layer.params.items()}

        names = {"conv.W": "conv.weight: kh kw i o -> o i kh kw", "linear.W": "linear.weight: (h w c) o -> o (c h w)"}
        return WholeStep(network.train, arrays, names, {"h": 2, "w": 2, "c": 2})

    return model_pair(make, cnn(), (4, 1, 6, 6), input=IMAGES, **settings)


def mlp() -> nn.Sequential:
    return nn.Sequential(OrderedDict(first=nn.Linear(5, 4), relu=nn.ReLU(), second=nn.Linear(4, 3)))


def cnn() -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 2, 3), relu=nn.ReLU(), pool=nn.MaxPool2d(2), flatten=nn.Flatten(), linear=nn.Linear(8, 3)))


def model_pair(make: Callable[..., Any], reference: Any, shape: tuple[int, ...], **settings: Any) -> ModelPair:
    usual: dict[str, Any] = {"lr": LR, "classes": 3, "steps": 6, "loss": nn.CrossEntropyLoss(), "name": "model"}
    return ModelPair(subject=make, reference=reference, shape=shape, **(usual | settings))


def result_of(pair: ModelPair, check: str) -> CheckResult:
    """Run one check."""
    return run_check(pair, next(c for c in checks_of(pair) if c.name == check), SETTINGS)


PAIRS: dict[str, Callable[..., ModelPair]] = {
    "dicts": dicts_pair,
    "attributes": attributes_pair,
    "updating": updating_pair,
    "whole-step": whole_pair,
    "whole-step-images": whole_cnn_pair,
    "whole-step-momentum": lambda **settings: whole_pair(momentum=0.9, **settings),
    "whole-step-nesterov": lambda **settings: whole_pair(nesterov, momentum=0.9, nesterov=True, **settings),
    "sum": lambda **settings: whole_pair(summed, loss=nn.CrossEntropyLoss(reduction="sum"), **settings),
}


def replaced(name: str, around: Callable[[Any, Any], Any]) -> Plant:
    """Return a plant that replaces a method, found by its dotted path, by a function of the old one and the object that it belongs to."""

    def plant(network: Any) -> None:
        *path, method = name.split(".")
        owner = network
        for step in path:
            owner = owner[step] if isinstance(owner, dict) else getattr(owner, step)
        setattr(owner, method, around(getattr(owner, method), owner))

    return plant


def of_class(name: str, kind: type) -> Plant:
    """Return a plant that turns a layer of the network with dicts into a faulty one."""

    def plant(network: DictsCNN) -> None:
        part: Any = network.loss if name == "loss" else network.layers[name]
        part.__class__ = kind

    return plant


def stepping(change: Callable[[PlainMLP, dict[str, Array]], dict[str, Array]]) -> Plant:
    """Return a plant that changes the gradients which a training step uses."""

    def around(method: Any, owner: PlainMLP) -> Any:
        def gradients(x: Array, labels: Array) -> tuple[Any, dict[str, Array]]:
            loss, grads = method(x, labels)
            return loss, grads | change(owner, grads)

        return gradients

    return replaced("gradients", around)


def summed(network: PlainMLP) -> None:

    def around(method: Any, owner: Any) -> Any:
        def gradients(x: Array, labels: Array) -> tuple[Any, dict[str, Array]]:
            loss, grads = method(x, labels)
            return loss * len(x), {name: grad * len(x) for name, grad in grads.items()}

        return gradients

    replaced("gradients", around)(network)


def nesterov(network: PlainMLP) -> None:
    """Look ahead along the momentum."""

    def train(self: PlainMLP, x: Array, labels: Array) -> Any:
        loss, grads = self.gradients(x, labels)
        for name, grad in grads.items():
            step = self.velocity[name] = self.momentum * self.velocity[name] + grad if name in self.velocity else grad
            self.params[name] -= self.lr * (grad + self.momentum * step)
        return loss

    network.train = MethodType(train, network)  # type: ignore[method-assign]
