"""The base of layers that treat each channel by itself, by its statistics over the batch and all positions."""

from __future__ import annotations

from typing import ClassVar

from scratch.layer import Array, Layer


class PerChannel(Layer):
    """The base of layers with statistics for each of ``num_features`` channels."""

    axes: ClassVar[str]
    """The names of the input's axes; the second axis is the channels."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(f"{type(self).__name__}: num_features={num_features!r}, expected at least 1")
        self.num_features = num_features

    @property
    def over(self) -> tuple[int, ...]:
        """The axes that statistics are taken over: all except the channels."""
        return (0, *range(2, len(self.axes.split())))

    def by_channel(self, values: Array) -> Array:
        """Return an array with one number per channel in a shape that broadcasts over the input."""
        return values.reshape(1, -1, *(1,) * (len(self.axes.split()) - 2))

    def check_channels(self, x: Array) -> None:
        """Raise an error if the axes, channels or dtype are wrong or, in training, if a channel has too few values for a variance."""
        self.check_input(x, self.axes)
        kind = type(self).__name__
        if x.shape[1] != self.num_features:
            raise ValueError(f"{kind}: the input has {x.shape[1]} channels (shape {x.shape}), expected num_features={self.num_features}")
        count = x.size // self.num_features
        if self.training and count < 2:
            raise ValueError(
                f"{kind}: the input has shape {x.shape}, {count} value a channel, expected more than one in training: "
                "a single value has no variance; use a larger batch or evaluation mode"
            )
        for name, value in self.buffers.items():
            if not self.training and value.dtype != x.dtype:
                raise TypeError(f"{kind}: the input is {x.dtype}, {name} is {value.dtype}; build the layer with dtype={x.dtype.name!r}")
