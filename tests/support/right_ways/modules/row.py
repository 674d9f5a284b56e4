"""A row of the table of modules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from crosscheck.core.operation import Shape


@dataclass(frozen=True)
class Row:
    """A module and the shape of its input.

    Attributes
    ----------
    of : str
        The module's name in ``torch.nn``.
    make : callable
        Makes the module, or one that calls it with a single tensor.
    shape : tuple of int
        Of the input, the batch first.
    how : str
        Distinguishes the rows of one module.
    labels : bool
        Whether it is a loss whose labels are an argument.
    fixed_batch : bool
        Whether its fixed tensors fit a single batch size.
    """

    of: str
    make: Callable[[], nn.Module]
    shape: Shape
    how: str = ""
    labels: bool = False
    fixed_batch: bool = False

    @property
    def name(self) -> str:
        """The module and what distinguishes its rows."""
        return f"{self.of}, {self.how}" if self.how else self.of
