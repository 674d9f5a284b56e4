"""Select the checks to run by patterns of names and by precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from crosscheck.checks import Check, checks_of
from crosscheck.pairs.declaration import Declaration
from crosscheck.run.cli import UsageError


@dataclass(frozen=True)
class Selection:
    """The selected checks of one pair, and how many of its checks are left out."""

    pair: Declaration
    checks: list[Check]
    left_out: int


def full_name(pair: Declaration, check: Check) -> str:
    """Return the name that a check is selected by: ``pair/check``."""
    return f"{pair.title}/{check.name}"


def selected(pairs: Sequence[Declaration], patterns: Sequence[str], dtypes: Sequence[str]) -> list[Selection]:
    """Return the checks that match any of the patterns and have one of the precisions; an empty sequence means all.

    A pattern matches the name of a pair, the name of a check, or both names joined by a slash.

    Raises
    ------
    UsageError
        If a pattern matches nothing, or no check is left.
    """
    for pattern in patterns:
        if not any(_is_wrong(pair, [pattern]) or any(_matches(pair, check, pattern) for check in checks_of(pair)) for pair in pairs):
            raise UsageError(f"{pattern!r} matches no pair and no check;{_nearest(pairs, pattern)} {_what_there_is(pairs)}")
    selections = []
    for pair in pairs:
        every = checks_of(pair)
        wanted = [check for check in every if not patterns or any(_matches(pair, check, pattern) for pattern in patterns)]
        chosen = [check for check in wanted if not dtypes or not check.dtype or check.dtype in dtypes]
        if chosen or _is_wrong(pair, patterns):
            selections.append(Selection(pair, chosen, len(every) - len(chosen)))
    if not selections:
        raise UsageError(f"no check is left to run; {_what_there_is(pairs)}")
    return selections


def _is_wrong(pair: Declaration, patterns: Sequence[str]) -> bool:
    """Return whether a pair has no checks because its declaration is wrong, and is asked for: by its name, or as all are without patterns."""
    return pair.wrong is not None and (not patterns or any(fnmatchcase(pair.title, pattern) for pattern in patterns))


def _matches(pair: Declaration, check: Check, pattern: str) -> bool:
    # A pair's name may contain pattern characters such as ``*``, and a line copied from a terminal may contain other white space.
    pattern, *names = (" ".join(text.split()) for text in (pattern, pair.title, check.name, full_name(pair, check)))
    return any(name == pattern or fnmatchcase(name, pattern) for name in names)


def _nearest(pairs: Sequence[Declaration], pattern: str) -> str:
    """Return a suggestion of the most similar name; empty if no name is similar."""
    names = [name for pair in pairs for name in (pair.title, *(check.name for check in checks_of(pair)))]
    # A name in other capitals is near, too.
    by_small = {name.lower(): name for name in reversed(names)}
    near = get_close_matches(pattern.rpartition("/")[2].lower(), by_small, 1, 0.5)
    return f" did you mean {by_small[near[0]]!r}?" if near else ""


def _what_there_is(pairs: Sequence[Declaration]) -> str:
    titles = ", ".join(pair.title for pair in pairs[:10]) + (", ..." if len(pairs) > 10 else "")
    names = next((found for pair in pairs if (found := [check.name for check in checks_of(pair)])), [])
    return f"the pairs are {titles}" + (f"; the checks are {names[0]}, ..., {names[-1]} (--list shows all)" if names else "")
