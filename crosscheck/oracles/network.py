"""The network that both sides claim to be: an oracle for each layer, for the loss and for the update, in execution order, and how they are wired.

A layer has one input: the sum of the outputs of its sources, of which there are several at the end of a residual block. The cotangent of a layer is
the sum of the gradients that its consumers return.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from crosscheck.core.operation import Oracle
from crosscheck.oracles.optimizers import Update, update_of

INPUT = ""
"""What stands for the batch among a layer's sources: no layer can be called so."""

LOSS = "loss"


@dataclass(frozen=True)
class Architecture:
    """Named layers with their wiring, their loss and their optimizer.

    Attributes
    ----------
    layers : mapping of str to Oracle
        In the order of the forward pass, without the loss.
    params : mapping of str to tuple of str
        The names of each layer's parameters.
    frozen : frozenset of str
        Layers whose parameters do not train.
    sources : mapping of str to tuple of str
        The layers whose outputs are added up to a layer's input, each of which comes before it; :data:`INPUT` is the batch. A layer that is left out
        continues the one before it.
    buffers : mapping of str to tuple of str
        The names of the state that layers keep from step to step, such as running statistics.
    masked : mapping of str to float
        Dropouts, which get the mask that the subject drew, each with the probability of being dropped.
    """

    layers: Mapping[str, Oracle]
    loss: Oracle
    update: Update
    params: Mapping[str, tuple[str, ...]]
    frozen: frozenset[str] = frozenset()
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buffers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    masked: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def names(self) -> list[str]:
        """The layers in order."""
        return list(self.layers)

    @cached_property
    def wiring(self) -> dict[str, tuple[str, ...]]:
        """The sources of every layer and of the loss, which gets the last layer's output."""
        return wired(self.names, self.sources)

    @cached_property
    def consumers(self) -> dict[str, tuple[str, ...]]:
        """The layers, or the loss, that each layer's output goes to, in order."""
        return consumers_in(self.wiring)

    def at_rate(self, lr_factor: float) -> Architecture:
        """Return the same network, updated at so many times the learning rate of its settings."""
        settings = self.update.settings
        return self if lr_factor == 1 else replace(self, update=update_of(replace(settings, lr=settings.lr * lr_factor)))

    @property
    def first_trained(self) -> int:
        """The index of the first layer that the backward pass must reach: the first one that trains, or the first one of all if none is frozen."""
        if not self.frozen:
            return 0
        trains = [bool(self.params[name]) and name not in self.frozen for name in self.names]
        return trains.index(True) if any(trains) else len(trains)


def consumers_in(wiring: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return where each layer's output goes to, in order; a layer that gets it twice is named twice."""
    return {name: tuple(other for other, sources in wiring.items() for source in sources if source == name) for name in wiring if name != LOSS}


def wired(names: list[str], sources: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the sources of every layer and of the loss: those given, or the layer before.

    Raises
    ------
    ValueError
        If a source is no layer that comes before, or a layer's output goes nowhere.
    """
    wiring: dict[str, tuple[str, ...]] = {}
    before = INPUT
    for name in [*names, LOSS]:
        wiring[name] = sources.get(name, (before,))
        if unknown := [source for source in wiring[name] if source != INPUT and source not in list(wiring)[:-1]]:
            raise ValueError(f"{name} gets the output of {unknown[0]}, which is no layer before it")
        before = name
    used = {source for own in wiring.values() for source in own}
    if unused := [name for name in names if name not in used]:
        raise ValueError(f"the output of {unused[0]} goes nowhere")
    return wiring
