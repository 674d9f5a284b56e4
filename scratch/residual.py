"""The residual connection: a block computes what is added to its input, and gradients also flow past the block."""

from __future__ import annotations

from scratch.composite import Composite, Graph, Part, wired
from scratch.layer import Array
from scratch.sequential import Sequential


class Residual(Composite):
    """``body(x) + shortcut(x)``.

    The layers of a body that is a chain are named ``block1.conv1``, the shortcut ``block1.shortcut``.

    Parameters
    ----------
    body : Layer, Sequential or Residual
    shortcut : Layer, Sequential or Residual, optional
        The default is the identity. If the body changes the shape, the shortcut has to change it in the same way.

    References
    ----------
    He, Zhang, Ren, Sun: Deep residual learning for image recognition, CVPR 2016.
    """

    def __init__(self, body: Part, shortcut: Part | None = None) -> None:
        self.body = body
        self.shortcut = shortcut
        self.wire({}, "", ())  # raises the error for a name or a layer that occurs twice

    def forward(self, x: Array) -> Array:
        """Return the sum of the outputs of body and shortcut."""
        output = self.body.forward(x)
        passed = x if self.shortcut is None else self.shortcut.forward(x)
        # NumPy would broadcast a single channel, row or column silently.
        if output.shape != passed.shape:
            raise ValueError(
                f"Residual: the body turns {x.shape} into {output.shape}, the shortcut into {passed.shape}, expected the same shape; "
                "a shortcut with the strides of the body and a 1x1 convolution to its channels makes them fit"
            )
        return output + passed

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: with y = f(x) + s(x), Jacobians f' and s', and g for grad_output, dL/dx = f'^T g + s'^T g.

        For the identity the second term is g itself, even if f' is small: that is why residual networks can be deep.
        """
        grad_input = self.body.backward(grad_output)
        return grad_input + (grad_output if self.shortcut is None else self.shortcut.backward(grad_output))

    def wire(self, graph: Graph, prefix: str, sources: tuple[str, ...]) -> tuple[str, ...]:
        """Add the body, then the shortcut; the output is the sum of the outputs of both."""
        body = self.body.wire(graph, prefix, sources) if isinstance(self.body, Sequential) else wired(self.body, graph, f"{prefix}body", sources)
        return body + (sources if self.shortcut is None else wired(self.shortcut, graph, f"{prefix}shortcut", sources))
