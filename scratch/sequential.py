"""A chain of named layers."""

from __future__ import annotations

from scratch.layer import Array, Layer


class Sequential:
    """Layers applied one after another, each with a name: ``Sequential(conv=Conv2d(...), pool=MaxPool2d(2))``.

    Parameters
    ----------
    **layers : Layer
        The layers in the order of the forward pass.

    Attributes
    ----------
    layers : dict of str to Layer
        The layers by name, in order.
    frozen : set of str
        The names of layers whose parameters do not train. :meth:`backward` stops where everything further back is frozen.
    """

    def __init__(self, **layers: Layer) -> None:
        if not layers:
            raise ValueError("Sequential: expected at least one layer")
        self.layers = layers
        self.frozen: set[str] = set()

    def freeze(self, *names: str) -> None:
        """Exclude the parameters of these layers from training."""
        for name in names:
            if name not in self.layers:
                raise ValueError(f"no layer is called {name!r}; the layers are {', '.join(self.layers)}")
            self.frozen.add(name)

    def train(self) -> None:
        """Put every layer into training mode, in which a new layer is."""
        self._set_training(True)

    def eval(self) -> None:
        """Put every layer into evaluation mode: no dropout, running statistics instead of the batch's."""
        self._set_training(False)

    def _set_training(self, training: bool) -> None:
        for layer in self.layers.values():
            layer.training = training

    def forward(self, x: Array) -> Array:
        """Return the output of the last layer for a batch ``x``."""
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def backward(self, grad_output: Array) -> Array:
        """Run the layers' backward passes, last to first, and return the gradient for the input of the last one run.

        With nothing frozen that is the gradient for the input of the network.
        """
        for layer in self.backward_layers().values():
            grad_output = layer.backward(grad_output)
        return grad_output

    def backward_layers(self) -> dict[str, Layer]:
        """Return the layers that a backward pass visits, in its order: from the last one to the first that trains.

        Where no layer is frozen that is all of them.
        """
        names = list(self.layers)
        trains = [bool(layer.params) and name not in self.frozen for name, layer in self.layers.items()]
        first = 0 if not self.frozen else trains.index(True) if any(trains) else len(names)
        return {name: self.layers[name] for name in reversed(names[first:])}

    @property
    def params(self) -> dict[str, Array]:
        """All parameters, named ``layer.parameter``; the arrays themselves, not copies."""
        return {f"{name}.{parameter}": value for name, layer in self.layers.items() for parameter, value in layer.params.items()}

    @property
    def trainable_params(self) -> dict[str, Array]:
        """The parameters of the layers that are not frozen."""
        return {key: value for key, value in self.params.items() if key.rpartition(".")[0] not in self.frozen}

    @property
    def grads(self) -> dict[str, Array]:
        """The gradients of the last :meth:`backward`, named like :attr:`trainable_params`."""
        return {
            f"{name}.{parameter}": value for name, layer in self.layers.items() if name not in self.frozen for parameter, value in layer.grads.items()
        }

    @property
    def buffers(self) -> dict[str, Array]:
        """All buffers, named ``layer.buffer``; the arrays themselves, not copies."""
        return {f"{name}.{buffer}": value for name, layer in self.layers.items() for buffer, value in layer.buffers.items()}
