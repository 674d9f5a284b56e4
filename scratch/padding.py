"""A layer that puts zeros around images."""

from __future__ import annotations

from scratch.arguments import Pair, whole
from scratch.layer import Array, Layer
from scratch.windows import Sides, cropped, padded


class ZeroPad2d(Layer):
    """Put rows and columns of zeros around each image.

    Parameters
    ----------
    padding : int, (int, int) or (int, int, int, int)
        All four sides; (top and bottom, left and right); or (top, bottom, left, right). PyTorch's module of the same name takes
        (left, right, top, bottom).
    """

    def __init__(self, padding: int | Pair | tuple[int, int, int, int]) -> None:
        super().__init__()
        values = tuple(padding) if isinstance(padding, tuple | list) else (padding,)
        if len(values) not in (1, 2, 4):
            raise ValueError(f"padding={padding!r}: expected one whole number, a pair (vertical, horizontal), or (top, bottom, left, right)")
        vertical_and_horizontal = values if len(values) == 4 else (values[0], values[0], values[-1], values[-1])
        top, bottom, left, right = (whole(value, "padding", least=0) for value in vertical_and_horizontal)
        self.sides: Sides = ((top, bottom), (left, right))

    def forward(self, x: Array) -> Array:
        """Return padded images: (batch, channels, height, width) to (batch, channels, top + height + bottom, left + width + right)."""
        self.check_input(x, "batch channels height width")
        output = padded(x, self.sides)
        self._output_shape = output.shape
        return output

    def backward(self, grad_output: Array) -> Array:
        """Return the input's gradient: ``grad_output`` without the padding, whose zeros are constants."""
        self.check_grad_output(grad_output)
        return cropped(grad_output, self.sides).copy()
