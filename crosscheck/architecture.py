"""The network that both sides claim to be: an oracle for each layer, for the loss and for the update, in execution order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crosscheck.operation import Oracle
from crosscheck.update import SgdUpdate


@dataclass(frozen=True)
class Architecture:
    """A chain of named layers with its loss and optimizer.

    Attributes
    ----------
    layers : mapping of str to Oracle
        In the order of the forward pass, without the loss.
    loss : Oracle
    update : SgdUpdate
    params : mapping of str to tuple of str
        The names of each layer's parameters.
    frozen : frozenset of str
        Layers whose parameters do not train.
    """

    layers: Mapping[str, Oracle]
    loss: Oracle
    update: SgdUpdate
    params: Mapping[str, tuple[str, ...]]
    frozen: frozenset[str] = frozenset()

    @property
    def names(self) -> list[str]:
        """The layers in order."""
        return list(self.layers)

    @property
    def first_trained(self) -> int:
        """The index of the first layer that the backward pass must reach: the first one that trains, or the first one of all if none is frozen."""
        if not self.frozen:
            return 0
        trains = [bool(self.params[name]) and name not in self.frozen for name in self.names]
        return trains.index(True) if any(trains) else len(trains)
