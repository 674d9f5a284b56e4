"""The base of everything that is made of layers: chains, and blocks within chains.

It is used like a layer. Inside it is a graph: each layer has a name, dotted where blocks are nested (``block1.conv1``), and its input is the *sum* of
the outputs of some layers before it. In a chain that is a single output; a residual connection is a sum of two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TypeAlias

from scratch.layer import Array, Layer

INPUT = "input"
"""The name of the network's input in a graph."""

Graph: TypeAlias = dict[str, tuple[Layer, tuple[str, ...]]]
"""For each name, in the order of the forward pass: the layer, and the names of the layers whose outputs add up to its input."""


class Composite(ABC):
    """Several layers with one input and one output."""

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """Return the output for a batch ``x``; each layer stores what its backward pass needs."""

    @abstractmethod
    def backward(self, grad_output: Array) -> Array:
        """Return the gradient with respect to the input of the last :meth:`forward`, given that with respect to its output."""

    def backward_params(self, grad_output: Array) -> None:
        """Store the gradients of the parameters in ``grads``, as :meth:`backward` does, and return nothing."""
        self.backward(grad_output)

    @abstractmethod
    def wire(self, graph: Graph, prefix: str, sources: tuple[str, ...]) -> tuple[str, ...]:
        """Add the layers to a graph, and return the names of the layers whose outputs add up to the output.

        Parameters
        ----------
        graph : dict
            The layers before; changed in place.
        prefix : str
            What the names of the layers start with: empty, or the name of the block with a dot.
        sources : tuple of str
            The names of the layers whose outputs add up to the input.
        """

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """All layers by name, also those of nested blocks, in the order of the forward pass; computed at the first use."""
        graph: Graph = {}
        self.wire(graph, "", (INPUT,))
        return {name: layer for name, (layer, _) in graph.items()}

    @property
    def params(self) -> dict[str, Array]:
        """All parameters, named ``layer.parameter``; the arrays themselves, not copies."""
        return {f"{name}.{parameter}": value for name, layer in self.layers.items() for parameter, value in layer.params.items()}

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients of the last :meth:`backward`, named like :attr:`params`."""
        return {f"{name}.{parameter}": value for name, layer in self.layers.items() for parameter, value in layer.grads.items()}

    @property
    def buffers(self) -> dict[str, Array]:
        """All buffers, named ``layer.buffer``; the arrays themselves, not copies."""
        return {f"{name}.{buffer}": value for name, layer in self.layers.items() for buffer, value in layer.buffers.items()}

    def train(self) -> None:
        """Put every layer into training mode, the mode of a new layer."""
        for layer in self.layers.values():
            layer.training = True

    def eval(self) -> None:
        """Put every layer into evaluation mode: dropouts drop nothing, and normalisations use their running statistics."""
        for layer in self.layers.values():
            layer.training = False


Part: TypeAlias = Layer | Composite


def wired(part: Part, graph: Graph, name: str, sources: tuple[str, ...]) -> tuple[str, ...]:
    """Add a part under a name to a graph, and return the names of the layers whose outputs add up to its output.

    Raises
    ------
    ValueError
        If the name is taken, or the layer is already in the graph: its second forward pass would overwrite what the backward pass of the first needs.
    """
    if isinstance(part, Composite):
        return part.wire(graph, f"{name}.", sources)
    if name in graph:
        raise ValueError(f"two layers are called {name!r}; give one of them another name")
    for other, (layer, _) in graph.items():
        if layer is part:
            raise ValueError(f"the same {type(part).__name__} is at {other!r} and at {name!r}; a layer stores one forward pass: make two layers")
    graph[name] = (part, sources)
    return (name,)
