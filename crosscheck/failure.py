"""A mismatch with everything that it was judged from: what a diagnosis begins with."""

from __future__ import annotations

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
