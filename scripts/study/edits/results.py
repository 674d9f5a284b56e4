"""The results of tasks as objects, made from plain data of worker processes or state files."""

from __future__ import annotations

from dataclasses import dataclass, field

from cattrs import BaseValidationError, Converter

from crosscheck.core.judge import Facts


@dataclass(frozen=True)
class Found:
    """What the checks say about a wrong layer; the fields are those of outcome.Outcome. ``failed`` says why there is no result."""

    outcome: str = ""
    check: str = ""
    quantity: str = ""
    causes: list[tuple[str, str, str]] = field(default_factory=list)  # quantity, name and sentence of each cause that is named
    words: str = ""
    worst: str = ""
    seconds: float = 0.0
    search_seconds: float = 0.0
    fault: str = ""  # what is wrong with the layer, if it is no single edit
    failed: str = ""

    @property
    def cause(self) -> str:
        """The names of the causes."""
        return ", ".join(dict.fromkeys(name for _, name, _ in self.causes))

    @property
    def sentence(self) -> str:
        """What the report says about causes: each sentence once, after the quantity of which it is said first."""
        first = dict[str, str]()
        for quantity, _, words in self.causes:
            first.setdefault(words, quantity)
        return "; ".join(f"{quantity}: {words}" for words, quantity in first.items())


_CONVERTER = Converter(forbid_extra_keys=True)


class NoResultError(ValueError):
    """The plain data are not a result of the task."""


def result_of(key: str, facts: Facts) -> Found:
    """Return the result of the task with this key; NoResultError says why the data are not its result."""
    try:
        return _CONVERTER.structure(facts, Found)
    except BaseValidationError as error:
        raise NoResultError(f"not a result of {key!r} ({error})") from error
