"""The results of single operations of the test database, as objects."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Named:
    """The names of all differentiable operations of the database."""

    names: list[str] = field(default_factory=list)
    failed: str = ""


@dataclass(frozen=True)
class Alarm:
    """Right code that crosscheck called wrong, with all information to reproduce it; ``named`` is the reason if the difference is known."""

    operation: str
    place: str
    way: str
    quantity: str
    fraction: float | None
    words: str
    named: str = ""

    def __str__(self) -> str:
        size = "without any tolerance" if self.fraction is None else f"at {self.fraction:.3g} of its tolerance"
        return f"{self.operation}, {self.place}, {self.way}: {self.quantity} {size}{f', {self.words}' if self.words else ''}"


@dataclass(frozen=True)
class Planted:
    """A planted fault, and what detects it."""

    place: str
    extent: str
    size: float
    has_to_be_seen: bool
    times: float | None
    seen: dict[str, bool]
    rules: dict[str, bool]


@dataclass(frozen=True)
class Tried:
    """The findings on one operation; see :class:`study.operations.work.Trial`."""

    refused: str = ""
    samples: int = 0
    families: dict[str, list[str]] = field(default_factory=dict)
    made: dict[str, list[str]] = field(default_factory=dict)
    ways: dict[str, dict[str, int]] = field(default_factory=dict)
    impossible: dict[str, str] = field(default_factory=dict)
    unjudged: dict[str, int] = field(default_factory=dict)
    alarms: list[Alarm] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    rules: dict[str, tuple[int, int]] = field(default_factory=dict)
    faults: list[Planted] = field(default_factory=list)
    failed: str = ""

    @property
    def judged_families(self) -> list[str]:
        """The families in which everything was judged in at least one sample."""
        return [family for family, reasons in self.families.items() if "" in reasons]
