"""A chain of named layers."""

from __future__ import annotations

from scratch.composite import INPUT, Composite, Graph, Part, wired
from scratch.layer import Array


class Sequential(Composite):
    """Layers applied one after another, each with a name: ``Sequential(conv=Conv2d(...), pool=MaxPool2d(2))``.

    Parameters
    ----------
    **parts : Layer, Sequential or Residual
        In the order of the forward pass.

    Attributes
    ----------
    parts : dict of str to Layer, Sequential or Residual
        As given.
    frozen : set of str
        The names of the layers whose parameters do not train. :meth:`backward` stops at the first part that trains.
    """

    def __init__(self, **parts: Part) -> None:
        if not parts:
            raise ValueError("Sequential: expected at least one layer")
        for name in parts:
            if name == INPUT or "." in name:
                raise ValueError(f"Sequential: a layer is called {name!r}, expected a name without a dot, other than {INPUT!r}, the network's own")
        self.parts = parts
        self.frozen: set[str] = set()
        self.wire({}, "", ())  # raises the error for a name or a layer that occurs twice

    def freeze(self, *names: str) -> None:
        """Exclude the parameters of these parts from training; a block is frozen as a whole."""
        for name in names:
            if name not in self.parts:
                raise ValueError(f"no layer is called {name!r}; the layers are {', '.join(self.parts)}")
            self.frozen.update(layer for layer in self.layers if layer.split(".")[0] == name)

    def forward(self, x: Array) -> Array:
        """Return the output of the last part for a batch ``x``."""
        for part in self.parts.values():
            x = part.forward(x)
        return x

    def backward(self, grad_output: Array) -> Array:
        """Run the backward passes of the parts from the last to the first, and return the gradient with respect to the input of the last one run.

        By the chain rule, each part turns the gradient with respect to its output into that with respect to its input, which is the output of the
        part before. If no part is frozen, the result is the gradient with respect to the input of the network.
        """
        for part in reversed(list(self.parts.values())[self._first_trained() :]):
            grad_output = part.backward(grad_output)
        return grad_output

    def backward_params(self, grad_output: Array) -> None:
        """Store the gradients in ``grads``, as :meth:`backward` does, without the input gradient of the first layer that trains.

        In a convolution of images that gradient costs as much as all others together.
        """
        # Parts without parameters before the first one with parameters have no gradients to store.
        parts = list(self.parts.values())[self._first_trained() :]
        while parts and not parts[0].params:
            parts.pop(0)
        for part in parts[:0:-1]:
            grad_output = part.backward(grad_output)
        if parts:
            parts[0].backward_params(grad_output)

    def _first_trained(self) -> int:
        """Return the index of the first part that trains, where the backward pass can stop; 0 if nothing is frozen."""
        if not self.frozen:
            return 0
        layers = self.layers
        trained = {name.split(".")[0] for name in layers if layers[name].params and name not in self.frozen}
        return next((index for index, name in enumerate(self.parts) if name in trained), len(self.parts))

    def wire(self, graph: Graph, prefix: str, sources: tuple[str, ...]) -> tuple[str, ...]:
        """Add the parts one after another; the output of each is the input of the next."""
        if prefix and self.frozen:
            # Its backward would stop early, but the network needs the gradient with respect to its input.
            raise ValueError(f"{prefix.rstrip('.')}: a chain within a network cannot freeze layers of its own; freeze parts of the whole network")
        for name, part in self.parts.items():
            sources = wired(part, graph, prefix + name, sources)
        return sources

    def graph(self) -> Graph:
        """Return each layer with the names of the layers whose outputs add up to its input, in the order of the forward pass.

        ``"input"`` is the batch. In the backward pass, the gradient with respect to a layer's output is the sum of the input gradients of all layers
        that use it. A ValueError says that the network ends in a sum that is not the input of a layer.
        """
        graph: Graph = {}
        ends = self.wire(graph, "", (INPUT,))
        if len(ends) > 1:
            raise ValueError(
                f"Sequential: the network ends in a sum, of {' and '.join(ends)}; add a layer that takes it, such as Flatten() or ReLU()"
            )
        return graph

    @property
    def trainable_params(self) -> dict[str, Array]:
        """The parameters of the layers that are not frozen."""
        return self._without_frozen(self.params)

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients of the last :meth:`backward`, named like :attr:`trainable_params`."""
        return self._without_frozen(super().grads)

    def _without_frozen(self, arrays: dict[str, Array]) -> dict[str, Array]:
        if not self.frozen:
            return arrays
        return {key: value for key, value in arrays.items() if key.rpartition(".")[0] not in self.frozen}
