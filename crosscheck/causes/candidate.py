"""What a hypothesis about a fault answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crosscheck.arithmetic import Array, Bound
from crosscheck.failure import Failure


@dataclass(frozen=True)
class Candidate:
    """What the layer would have computed with one fault.

    Attributes
    ----------
    name : str
        A stable key, such as ``"tie rule"``.
    words : str
        The fault as a sentence for the person who made it.
    expected : array
    bound : Bound, optional
        Where it differs from that of the right result.
    fitted : bool
        Whether a number in it was chosen to come as close as possible to what was found.
    """

    name: str
    words: str
    expected: Array
    bound: Bound | None = None
    fitted: bool = False


Hypothesis = Callable[[Failure], Iterator[Candidate]]
"""Yields what a right layer with one fault would have computed; nothing where the fault cannot be."""
