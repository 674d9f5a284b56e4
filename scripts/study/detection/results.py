"""The results of tasks as objects, made from plain data of worker processes or state files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cattrs import BaseValidationError, Converter

from crosscheck.core.judge import Facts, Verdict
from study.operations.results import Named, Tried


@dataclass(frozen=True)
class Checked:
    """crosscheck's verdict on a fault, as ``tests/support/faults/outcome.py`` returns it; ``failed`` says why there is none."""

    verdict: str = ""
    place: str = ""
    cause: str = ""
    checks: dict[str, str] = field(default_factory=dict)
    words: str = ""
    failed: str = ""

    @property
    def seen_by(self) -> list[str]:
        """The checks that detect the fault."""
        return [check for check, verdict in self.checks.items() if verdict == Verdict.MISMATCH]

    @property
    def warned_by(self) -> list[str]:
        """The checks that warn of the fault."""
        return [check for check, verdict in self.checks.items() if verdict == "warning"]


@dataclass(frozen=True)
class RightOnes:
    """crosscheck's verdict on one right implementation, or its findings on a batch of right implementations."""

    quantities: int = 0  # how many quantities were compared
    alarms: list[str] = field(default_factory=list)  # everything that crosscheck called wrong
    verdict: str = ""  # empty for a batch
    words: str = ""
    elements: int = 0  # in a batch: how many numbers the quantities have
    ways: list[str] = field(default_factory=list)  # the right implementations of a batch
    largest: float | None = 0.0  # in a batch: the largest error as a fraction of its tolerance; None if it is not finite
    # for each rule of rivals.py, how many quantities of a batch it judged, and how many of them it rejected
    rules: dict[str, tuple[int, int]] = field(default_factory=dict)
    measured: int = 0  # in a batch: how many of the quantities have a tolerance from measured rounding
    reasons: dict[str, int] = field(default_factory=dict)  # in a batch: why other quantities were not compared, and how often
    failed: str = ""


@dataclass(frozen=True)
class Ablated:
    """For each part of the checks, whether a fault is detected without it; None if the fault's pair does not have this part."""

    seen: dict[str, bool | None] = field(default_factory=dict)
    failed: str = ""


Counts = dict[str, dict[str, dict[str, tuple[int, int]]]]


@dataclass(frozen=True)
class Rivals:
    """How many quantities a rule judged and how many of them it rejected, by rule, upstream gradient and family."""

    counts: Counts = field(default_factory=dict)
    failed: str = ""

    def rejected(self, rule: str, cotangent: str) -> list[str]:
        """Return the families on which a rule rejects at least one quantity."""
        return [family for family, (_, wrong) in self.counts.get(rule, {}).get(cotangent, {}).items() if wrong]

    def total(self, rule: str, cotangent: str) -> tuple[int, int]:
        """Return how many quantities a rule judged, and how many of them it rejected."""
        families = self.counts.get(rule, {}).get(cotangent, {}).values()
        return sum(answers for answers, _ in families), sum(wrong for _, wrong in families)


KINDS: Mapping[str, type[Any]] = {
    "fault": Checked,
    "host": RightOnes,
    "alarms": RightOnes,
    "ablation": Ablated,
    "fault-rivals": Rivals,
    "host-rivals": Rivals,
    "operation": Tried,
    "operations": Named,
}
"""The class of the result for each kind of task."""

_CONVERTER = Converter(forbid_extra_keys=True)


class NoResultError(ValueError):
    """The plain data are not a result of the task."""


def result_of(key: str, facts: Facts) -> Any:
    """Return the result of the task with this key; NoResultError says why the data are not its result."""
    kind = KINDS.get(key.partition(":")[0])
    if kind is None:
        raise NoResultError(f"{key!r} is not a task of this study")
    try:
        return _CONVERTER.structure(facts, kind)
    except BaseValidationError as error:
        raise NoResultError(f"not a result of {key!r} ({error})") from error
