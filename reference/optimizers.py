"""What a framework's version of a scratch optimizer is: its oracle, and how its state leads back to scratch's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crosscheck.oracles.optimizers.runs import OptimizerOracle

PARAM = "param"
"""The quantity that every optimizer changes, beside its states."""

COUNTER = "a count of steps, no array of the parameter's shape; tests/scratch/test_optimizers.py holds it to the rule"
"""Why ``step`` is not compared with a framework's."""


@dataclass(frozen=True)
class OptimizerTwin:
    """A framework's optimizer with a scratch optimizer's settings, or the nearest that there is.

    Attributes
    ----------
    oracle : OptimizerOracle
    states : mapping of str to str
        What the framework calls each of scratch's states.
    factors : mapping of str to float
        What a state of the framework's is multiplied by to be scratch's, where it is not the same number.
    differs : mapping of str to str
        The quantities that the framework computes by another formula, ``"param"`` among them, and what is different.
    """

    oracle: OptimizerOracle
    states: Mapping[str, str]
    factors: Mapping[str, float] = field(default_factory=dict)
    differs: Mapping[str, str] = field(default_factory=dict)
