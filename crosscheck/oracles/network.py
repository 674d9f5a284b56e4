"""The network that subject and reference implement: an oracle for each layer, for the loss and for the update, and the layers' connections.

The input of a layer is the sum of the outputs of its sources; a layer after a residual block has several sources. The upstream gradient of a layer is
the sum of the input gradients of its consumers, the layers that use its output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from crosscheck.core.operation import Oracle
from crosscheck.oracles.optimizers import Update

INPUT = ""
"""The name that stands for the input batch among a layer's sources; no layer can have this name."""

LOSS = "loss"


@dataclass(frozen=True)
class Architecture:
    """Named layers with their connections, their loss and their optimizer.

    Attributes
    ----------
    layers : mapping of str to Oracle
        The layers in the order of the forward pass, without the loss.
    params : mapping of str to tuple of str
        The names of each layer's parameters.
    frozen : frozenset of str
        Layers whose parameters do not train.
    sources : mapping of str to tuple of str
        For a layer, the earlier layers whose outputs are summed to form its input; :data:`INPUT` is the batch. A layer without an entry has the
        layer before it as its source.
    buffers : mapping of str to tuple of str
        The names of the state that layers keep from step to step, such as running statistics.
    masked : mapping of str to float
        The dropout layers, each with its probability of dropping an element. Their oracles use the mask that the subject drew.
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
        """The names of the layers, in the order of the forward pass."""
        return list(self.layers)

    @cached_property
    def wiring(self) -> dict[str, tuple[str, ...]]:
        """The sources of every layer and of the loss; the source of the loss is the last layer."""
        return wired(self.names, self.sources)

    @cached_property
    def consumers(self) -> dict[str, tuple[str, ...]]:
        """For each layer, the later layers (or the loss) that use its output, in order."""
        return consumers_in(self.wiring)

    def at_rate(self, lr_factor: float) -> Architecture:
        """Return the network with its learning rate multiplied by ``lr_factor``."""
        settings = self.update.settings
        return self if lr_factor == 1 else replace(self, update=Update(replace(settings, lr=settings.lr * lr_factor)))

    @property
    def first_trained(self) -> int:
        """The index of the first layer that the backward pass must reach: 0 if no layer is frozen, otherwise the first layer that trains."""
        if not self.frozen:
            return 0
        trains = [bool(self.params[name]) and name not in self.frozen for name in self.names]
        return trains.index(True) if any(trains) else len(trains)


def consumers_in(wiring: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return, for each layer, the layers that use its output, in order; a layer that uses the output twice is listed twice."""
    return {name: tuple(other for other, sources in wiring.items() for source in sources if source == name) for name in wiring if name != LOSS}


def wired(names: list[str], sources: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the sources of every layer and the loss, by default the layer before; ``ValueError`` if a source is not earlier or an output unused."""
    wiring: dict[str, tuple[str, ...]] = {}
    before = INPUT
    for name in [*names, LOSS]:
        wiring[name] = sources.get(name, (before,))
        if unknown := [source for source in wiring[name] if source != INPUT and source not in list(wiring)[:-1]]:
            raise ValueError(f"{name} has the source {unknown[0]}, which is not a layer before it")
        before = name
    used = {source for own in wiring.values() for source in own}
    if unused := [name for name in names if name not in used]:
        raise ValueError(f"the output of {unused[0]} is not used")
    return wiring
