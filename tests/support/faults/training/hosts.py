"""The networks that faults are planted in, beside their references."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

from crosscheck.adapters.network import Network, Part
from crosscheck.adapters.whole_step import WholeStep
from crosscheck.pairs.model_pair import ModelPair
from tests.support.faults.fault import Host, Kind
from tests.textbook.linear import Linear
from tests.textbook.network import Network as Trained
from tests.textbook.network import ReLU

LR = 0.1
NAMES = ("first", "relu", "second", "last")


def _reference() -> nn.Sequential:
    return nn.Sequential(OrderedDict(first=nn.Linear(5, 4), relu=nn.ReLU(), second=nn.Linear(4, 4), last=nn.Linear(4, 4)))


def _network(kind: Kind, dtype: str, momentum: float, lr: float) -> Trained:
    network = kind({"first": Linear(5, 4), "relu": ReLU(), "second": Linear(4, 4), "last": Linear(4, 4)}, dtype, lr, momentum)
    assert isinstance(network, Trained)
    return network


def _listened(kind: Kind, momentum: float = 0.0, lr: float = LR, **settings: Any) -> ModelPair:

    def make(dtype: str) -> Network:
        network = _network(kind, dtype, momentum, lr)
        parts = {name: Part(network.layers[name], {key: key for key in network.layers[name].params}) for name in NAMES}
        return Network(parts, network.train_step, network.loss, lambda: network.velocity)

    return _pair(make, momentum=momentum, lr=lr, **settings)


def _seen_from_outside(kind: Kind, momentum: float = 0.0, lr: float = LR, **settings: Any) -> ModelPair:
    """Return a network that shows its loss and its parameters alone."""

    def make(dtype: str) -> WholeStep:
        network = _network(kind, dtype, momentum, lr)
        arrays = {f"{name}.{key}": value for name, layer in network.layers.items() for key, value in layer.params.items()}
        return WholeStep(network.train_step, arrays, {name: name for name in arrays}, predict=network.forward)

    return _pair(make, momentum=momentum, lr=lr, **settings)


def _pair(make: Any, **settings: Any) -> ModelPair:
    usual: dict[str, Any] = {"shape": (4, 5), "classes": 4, "steps": 6, "loss": nn.CrossEntropyLoss(), "name": "training"}
    return ModelPair(make, _reference(), **(usual | settings))


NETWORK = Host("network", Trained, _listened)
MOMENTUM = Host("network with momentum", Trained, lambda kind: _listened(kind, momentum=0.9))
SLOWLY = Host("network in single precision", Trained, lambda kind: _listened(kind, dtypes=("float32",), lr=0.001))
WHOLE = Host("whole step", Trained, _seen_from_outside)
WHOLE_MOMENTUM = Host("whole step with momentum", Trained, lambda kind: _seen_from_outside(kind, momentum=0.9))
