"""The residual connection: a block learns what to add to its input, and gradients have a way past it."""

from __future__ import annotations

from scratch.composite import Composite, Graph, Part, wired
from scratch.layer import Array
from scratch.sequential import Sequential


class Residual(Composite):
    """``body(x) + shortcut(x)``.

    The names of a chain follow that of the block at once (``block1.conv1``), those of the shortcut its own (``block1.shortcut``).

    Parameters
    ----------
    body : Layer, Sequential or Residual
    shortcut : Layer, Sequential or Residual, optional
        The identity if left out. Where the body changes the shape, the shortcut has to change it alike.

    References
    ----------
    He, Zhang, Ren, Sun: Deep residual learning for image recognition, CVPR 2016.
    """

    def __init__(self, body: Part, shortcut: Part | None = None) -> None:
        self.body = body
        self.shortcut = shortcut
        self.wire({}, "", ())  # refuses what cannot be named

    def forward(self, x: Array) -> Array:
        """Return the sum of both ways."""
        output = self.body.forward(x)
        passed = x if self.shortcut is None else self.shortcut.forward(x)
        # NumPy would stretch a single channel, row or column over all of them without a word.
        if output.shape != passed.shape:
            raise ValueError(
                f"Residual: the body turns {x.shape} into {output.shape}, the shortcut into {passed.shape}, expected the same shape; "
                "a shortcut with the strides of the body and a 1x1 convolution to its channels makes them fit"
            )
        return output + passed

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient, the sum over both ways: with y = f(x) + s(x) and Jacobians f' and s', dL/dx = f'^T g + s'^T g.

        For the identity the second term is g itself, however small f' is: that is why residual networks can be deep.
        """
        grad_input = self.body.backward(grad_output)
        return grad_input + (grad_output if self.shortcut is None else self.shortcut.backward(grad_output))

    def wire(self, graph: Graph, prefix: str, sources: tuple[str, ...]) -> tuple[str, ...]:
        """Add the body, then the shortcut; the output is the sum of what both end in."""
        body = self.body.wire(graph, prefix, sources) if isinstance(self.body, Sequential) else wired(self.body, graph, f"{prefix}body", sources)
        return body + (sources if self.shortcut is None else wired(self.shortcut, graph, f"{prefix}shortcut", sources))
