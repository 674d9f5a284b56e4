"""The results of tasks as they are counted, made from the plain data that processes and state files hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cattrs import BaseValidationError, Converter

from crosscheck.core.judge import Facts, Verdict
from study.operations.results import Named, Tried

FAILED = "failed"
"""The key of a result that stands for none: why there is none."""


@dataclass(frozen=True)
class Checked:
    """What the harness says about a fault: the outcome of ``tests/support/faults/outcome.py``, or why there is none."""

    verdict: str = ""
    place: str = ""
    cause: str = ""
    checks: dict[str, str] = field(default_factory=dict)
    words: str = ""
    failed: str = ""

    @property
    def seen_by(self) -> list[str]:
        """The checks that see it."""
        return [check for check, verdict in self.checks.items() if verdict == Verdict.MISMATCH]

    @property
    def warned_by(self) -> list[str]:
        """The checks that warn of it."""
        return [check for check, verdict in self.checks.items() if verdict == "warning"]


@dataclass(frozen=True)
class RightOnes:
    """What the harness says about one right implementation, or a batch of them.

    Attributes
    ----------
    quantities : int
        That were compared.
    measured : int
        Those of them in a batch whose tolerance comes from measured rounding.
    reasons : dict of str to int
        Why others of a batch were not compared, and how often.
    alarms : list of str
        Everything that it takes for wrong.
    verdict : str
        Empty for a batch.
    elements : int
        The numbers in those of a batch.
    ways : list of str
        The right implementations of a batch.
    largest : float, optional
        How near to its tolerance a quantity of a batch came, as a fraction of it; None where beyond all measure.
    rules : dict
        For each rule of :mod:`study.detection.rivals`, how many quantities of a batch it was asked about, and how many of them it takes for wrong.
    """

    quantities: int = 0
    alarms: list[str] = field(default_factory=list)
    verdict: str = ""
    words: str = ""
    elements: int = 0
    ways: list[str] = field(default_factory=list)
    largest: float | None = 0.0
    rules: dict[str, tuple[int, int]] = field(default_factory=dict)
    measured: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    failed: str = ""


@dataclass(frozen=True)
class Ablated:
    """Whether a fault is seen without each part of the checks; None where its pair has no such part."""

    seen: dict[str, bool | None] = field(default_factory=dict)
    failed: str = ""


Counts = dict[str, dict[str, dict[str, tuple[int, int]]]]


@dataclass(frozen=True)
class Rivals:
    """By rule, cotangent and family, how many answers a rule gave, and how many of them say that something is wrong."""

    counts: Counts = field(default_factory=dict)
    failed: str = ""

    def rejected(self, rule: str, cotangent: str) -> list[str]:
        """Return the families on which a rule says that something is wrong."""
        return [family for family, (_, wrong) in self.counts.get(rule, {}).get(cotangent, {}).items() if wrong]

    def total(self, rule: str, cotangent: str) -> tuple[int, int]:
        """Return the answers of a rule, and how many of them say that something is wrong."""
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
"""By the kind of the task."""

_CONVERTER = Converter(forbid_extra_keys=True)


class NoResultError(ValueError):
    """Something is not the result of a task."""


def result_of(key: str, facts: Facts) -> Any:
    """Return a result.

    Parameters
    ----------
    key : str
        Of the task.
    facts : dict

    Raises
    ------
    NoResultError
    """
    kind = KINDS.get(key.partition(":")[0])
    if kind is None:
        raise NoResultError(f"{key!r} is no task of this study")
    try:
        return _CONVERTER.structure(facts, kind)
    except BaseValidationError as error:
        raise NoResultError(f"what is said to be the result of {key!r} is none ({error})") from error
