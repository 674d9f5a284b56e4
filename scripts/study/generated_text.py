"""Text made from measured figures, between two lines of a page that people write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from crosscheck.core.files import atomic_write
from crosscheck.core.judge import Facts


class PageError(ValueError):
    """The text cannot be made or put in its place; the message says why, and what to do."""


def facts_in(path: Path, script: str, text: Callable[[Facts], str]) -> Facts:
    """Return the facts that a script has written as JSON.

    Parameters
    ----------
    path : Path
    script : str
        Which one writes them with ``--json``, for the error.
    text : callable
        Makes the text of them, which shows whether they are what it takes.

    Raises
    ------
    PageError
        If they are not.
    """
    try:
        facts: Facts = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise PageError(f"{path}: cannot be read as JSON ({error}); write it with {script} --json {path}") from None
    try:
        text(facts)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise PageError(f"{path}: is not what {script} --json writes ({error!r}); write it anew") from None
    return facts


def between(page: str, begin: str, end: str, text: str) -> str:
    """Return a page with a text between two of its lines, in place of what stood there.

    Raises
    ------
    PageError
        If these lines are not there once each, in this order.
    """
    before, found, rest = page.partition(f"{begin}\n")
    _, ended, after = rest.partition(f"{end}\n")
    if not found or not ended or begin in rest or end in before + after:
        raise PageError(f"the page needs the line {begin} and after it the line {end}, once each; what is generated is put between them")
    return f"{before}{begin}\n{text}\n{end}\n{after}"


def put_between(page: Path, begin: str, end: str, text: str) -> None:
    """Put a text into the file of a page.

    Raises
    ------
    PageError
    """
    try:
        changed = between(page.read_text(encoding="utf-8"), begin, end, text)
        with atomic_write(page) as temporary:
            temporary.write_text(changed, encoding="utf-8")
    except OSError as error:
        raise PageError(f"{page}: cannot be read or written ({error.strerror or error})") from None


def write_page(page: Path, text: str) -> None:
    """Write a page that is generated as a whole.

    Raises
    ------
    PageError
    """
    try:
        with atomic_write(page) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PageError(f"{page}: cannot be written ({error.strerror or error})") from None


def study_of(path: Path) -> str:
    """Return what a JSON file says that it is a study of; empty where it does not say."""
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return ""
    return str(facts.get("study", "")) if isinstance(facts, dict) else ""
