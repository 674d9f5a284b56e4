"""Tensors of a trace, whose numbers can change: code may write to a tensor, and to a view of a tensor.

A step of a graph never changes. So a tensor remembers the step that computed its present numbers, and a view reads its numbers from the tensor that
it is a view of. Writing to a view replaces part of this tensor's numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from crosscheck.oracles.graph.graph import At

Read = Callable[[At], At]
"""Returns the numbers of a view from those of the tensor that it is a view of."""

Write = Callable[[At, At], At]
"""Returns a tensor's numbers after a view of it was written to, from its numbers before and the view's new numbers."""


class Tensor(Protocol):
    """A tensor of a trace."""

    def read(self) -> At:
        """Return the step that computed the present numbers."""

    def write(self, at: At) -> None:
        """Replace the numbers by those of a step."""


class Own:
    """A tensor with numbers of its own."""

    def __init__(self, at: At) -> None:
        self.at = at

    def read(self) -> At:
        """Return the step that computed the present numbers."""
        return self.at

    def write(self, at: At) -> None:
        """Replace the numbers by those of a step."""
        self.at = at


class View:
    """A view of another tensor."""

    def __init__(self, base: Tensor, read: Read, write: Write) -> None:
        self.base, self._read, self._write = base, read, write
        self._known: tuple[At, At] | None = None

    def read(self) -> At:
        """Return the step that computed the present numbers."""
        base = self.base.read()
        if self._known is None or self._known[0] != base:
            self._known = base, self._read(base)
        return self._known[1]

    def write(self, at: At) -> None:
        """Replace the numbers by those of a step, and with them a part of the other tensor's numbers."""
        self.base.write(self._write(self.base.read(), at))
