"""What is made of layers: chains of them, and blocks within chains.

From outside it is used like a layer. Inside it is a graph: each layer has a name, dotted where blocks are nested (``block1.conv1``), and gets the
*sum* of the outputs of some layers before it. A chain has one such source everywhere; the sum of two is what a residual connection is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TypeAlias

from scratch.layer import Array, Layer

INPUT = "input"
"""The name by which a graph calls what the network is given."""

Graph: TypeAlias = dict[str, tuple[Layer, tuple[str, ...]]]
"""For each layer, in the order of the forward pass: the layer, and the names of those whose outputs add up to its input."""


class Composite(ABC):
    """Several layers with one input and one output."""

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """Return the output for a batch ``x``; each layer remembers what its backward pass needs."""

    @abstractmethod
    def backward(self, grad_output: Array) -> Array:
        """Return the gradient for the input of the last :meth:`forward`, given the gradient for its output."""

    def backward_params(self, grad_output: Array) -> None:
        """Leave the gradients of the parameters in ``grads``, as :meth:`backward` does, and that of the input aside."""
        self.backward(grad_output)

    @abstractmethod
    def wire(self, graph: Graph, prefix: str, sources: tuple[str, ...]) -> tuple[str, ...]:
        """Add the layers to a graph.

        Parameters
        ----------
        graph : dict
            Everything that comes before.
        prefix : str
            What the names of the layers start with: empty, or the name of the block with a dot.
        sources : tuple of str
            What is summed to make the input.

        Returns
        -------
        tuple of str
            What is summed to make the output.
        """

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """The layers by name, those of blocks within included, in the order of the forward pass; which they are is settled when it is first asked."""
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
        """Put every layer into training mode, in which a new layer is."""
        for layer in self.layers.values():
            layer.training = True

    def eval(self) -> None:
        """Put every layer into evaluation mode: nothing is dropped, and running statistics take the place of the batch's."""
        for layer in self.layers.values():
            layer.training = False


Part: TypeAlias = Layer | Composite


def wired(part: Part, graph: Graph, name: str, sources: tuple[str, ...]) -> tuple[str, ...]:
    """Add a part under its name to a graph, and return what is summed to make its output.

    Raises
    ------
    ValueError
        If the name is taken, or the same layer is there already: its second forward pass would overwrite what the first one's backward needs.
    """
    if isinstance(part, Composite):
        return part.wire(graph, f"{name}.", sources)
    if name in graph:
        raise ValueError(f"two layers are called {name!r}; give one of them another name")
    for other, (layer, _) in graph.items():
        if layer is part:
            raise ValueError(f"the same {type(part).__name__} stands at {other!r} and at {name!r}; a layer remembers one forward pass: make two")
    graph[name] = (part, sources)
    return (name,)
