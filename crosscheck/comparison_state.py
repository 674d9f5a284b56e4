"""What a comparison in progress has found out so far, as typed plain data: with the states of both sides it is all that it takes to go on."""

from __future__ import annotations

from dataclasses import dataclass

from crosscheck.comparison import Consequence
from crosscheck.decisions import Decision
from crosscheck.divergence import Divergence
from crosscheck.freerun import Look
from crosscheck.jury import Tally
from crosscheck.masks import MaskCount
from crosscheck.record import Key, Series

Quantity = tuple[str, str]
"""A layer and the name of one of its quantities."""


@dataclass(frozen=True)
class ComparisonState:
    """Everything about a :class:`~crosscheck.training.TrainingComparison` but the arrays of its two sides.

    Mappings are lists of pairs, in their order.

    Attributes
    ----------
    steps, steps_checked : int
    series : list of (key, Series)
        The record.
    first : Divergence or None
    divergences, consequences, decisions, reference_fractions, broken
        As in the comparison.
    noise : list of ((layer, quantity), float)
        Of the perturbed references.
    looks : list of Look
        The history of the free run.
    left : list of (layer, quantity), or None
        The names of the arrays that the last step left behind for the next one; None where it was not traced.
    masks : list of (layer, MaskCount)
        What each dropout drew so far.
    tallies : list of Tally
        Of a jury.
    jury_looks : list of ((reference, parameter), Look)
        The last looks at the further references of a jury.
    """

    steps: int
    steps_checked: int
    series: list[tuple[Key, Series]]
    first: Divergence | None
    divergences: list[tuple[Quantity, Divergence]]
    consequences: list[tuple[Quantity, Consequence]]
    decisions: list[tuple[str, Decision]]
    reference_fractions: list[tuple[Quantity, float]]
    broken: list[Quantity]
    noise: list[tuple[Quantity, float]]
    looks: list[Look]
    left: list[Quantity] | None
    masks: list[tuple[str, MaskCount]]
    tallies: list[Tally]
    jury_looks: list[tuple[Quantity, Look]]
