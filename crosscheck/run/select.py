"""Which checks of which pairs: patterns of names, precisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from crosscheck.checks import Check, checks_of
from crosscheck.pairs.declaration import Declaration


class SelectionError(ValueError):
    """A pattern selects nothing; the message says what there is."""


@dataclass(frozen=True)
class Selection:
    """The checks of one pair that are asked for.

    Attributes
    ----------
    pair : Declaration
    checks : list of Check
    left_out : int
        How many others it has.
    """

    pair: Declaration
    checks: list[Check]
    left_out: int


def full_name(pair: Declaration, check: Check) -> str:
    """Return the name that a check is selected by: ``pair/check``."""
    return f"{pair.title}/{check.name}"


def selected(pairs: Sequence[Declaration], patterns: Sequence[str], dtypes: Sequence[str]) -> list[Selection]:
    """Return the checks that match any of the patterns, or all of them where there are none.

    Parameters
    ----------
    pairs : sequence of Declaration
    patterns : sequence of str
        Of a pair's name, of a check's name, or of both with a slash between them.
    dtypes : sequence of str
        Precisions asked for; all where there are none.

    Raises
    ------
    SelectionError
        If a pattern matches nothing, or nothing at all is left.
    """
    for pattern in patterns:
        if not any(_matches(pair, check, pattern) for pair in pairs for check in checks_of(pair)):
            raise SelectionError(f"{pattern!r} matches no pair and no check; {_what_there_is(pairs)}")
    selections = []
    for pair in pairs:
        every = checks_of(pair)
        chosen = [check for check in every if _asked_for(check, dtypes) and (not patterns or any(_matches(pair, check, p) for p in patterns))]
        if chosen:
            selections.append(Selection(pair, chosen, len(every) - len(chosen)))
    if not selections:
        raise SelectionError(f"no check is left to be run; {_what_there_is(pairs)}")
    return selections


def _asked_for(check: Check, dtypes: Sequence[str]) -> bool:
    return not dtypes or not check.dtype or check.dtype in dtypes


def _matches(pair: Declaration, check: Check, pattern: str) -> bool:
    # A pair's own name may hold the characters of patterns, and a line that was copied from a terminal other white space.
    names = [_spaced(name) for name in (pair.title, check.name, full_name(pair, check))]
    return any(name == _spaced(pattern) or fnmatchcase(name, _spaced(pattern)) for name in names)


def _spaced(text: str) -> str:
    """Return a text with single spaces."""
    return " ".join(text.split())


def _what_there_is(pairs: Sequence[Declaration]) -> str:
    titles = ", ".join(pair.title for pair in pairs[:10]) + (", ..." if len(pairs) > 10 else "")
    names = [check.name for check in checks_of(pairs[0])]
    return f"the pairs are {titles}; checks are called {names[0]}, ..., {names[-1]} (--list shows all)"
