"""What a hypothesis about a fault is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crosscheck.arithmetic import Arithmetic, Array, Bound
from crosscheck.judgement import Judgement
from crosscheck.operation import Call, Oracle
from crosscheck.subject import SubjectLayer


@dataclass(frozen=True)
class Failure:
    """A mismatch with everything that it was judged from.

    Attributes
    ----------
    judgement : Judgement
    found : array
        The subject's quantity.
    expected : array
        The oracle's.
    bound : Bound
    call : Call
        What the layer was given, in float64.
    oracle : Oracle
    subject : SubjectLayer
        The layer itself, for experiments.
    arithmetic : Arithmetic
        The subject's.
    """

    judgement: Judgement
    found: Array
    expected: Array
    bound: Bound
    call: Call
    oracle: Oracle
    subject: SubjectLayer
    arithmetic: Arithmetic

    @property
    def quantity(self) -> str:
        """The name of the quantity."""
        return self.judgement.place.quantity


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
    """

    name: str
    words: str
    expected: Array
    bound: Bound | None = None


Hypothesis = Callable[[Failure], Iterator[Candidate]]
"""Yields what a right layer with one fault would have computed; nothing where the fault cannot be."""
