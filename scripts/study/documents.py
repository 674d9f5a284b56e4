"""Write a study's results into README.md and docs/, as text between two marker lines of a page that is otherwise written by hand.

For each study, the repository keeps a small JSON file in docs/ with the figures in the text, and the day and the command of the measurement.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crosscheck.core.files import atomic_write
from crosscheck.core.judge import Facts
from crosscheck.report.write import write_json
from crosscheck.run.cli import UsageError
from study.state import ROOT

README, DOCS = ROOT / "README.md", ROOT / "docs"


class PageError(UsageError):
    """The text cannot be made or put into its page; the message says why, and what to do."""


@dataclass(frozen=True)
class Block:
    """A piece of generated text in a page."""

    page: Path
    name: str  # of the marker lines ``<!-- name: begin -->`` and ``<!-- name: end -->`` around it
    text: Callable[[Facts], str]  # makes the text from a study's facts; an empty text leaves the page as it is

    def put(self, page: str, facts: Facts) -> str:
        """Return the page with the text between its markers; raise PageError unless each marker is there once, in this order."""
        begin, end = (f"<!-- {self.name}: {word} -->" for word in ("begin", "end"))
        before, found, rest = page.partition(f"{begin}\n")
        _, ended, after = rest.partition(f"{end}\n")
        if not found or not ended or begin in rest or end in before + after:
            raise PageError(f"the page needs the line {begin} and after it the line {end}, once each; the generated text goes between them")
        text = self.text(facts)
        return f"{before}{begin}\n{text}\n{end}\n{after}" if text else page


@dataclass(frozen=True)
class Document:
    """The places where the results of a study appear."""

    command: str  # the command that writes the results with ``--json``, for messages
    kept: Path  # the small JSON file
    blocks: Sequence[Block]
    summary: Callable[[Facts], Facts]  # leaves out the facts that no block needs

    def facts(self, source: Path) -> Facts:
        """Return the facts in a JSON file; raise PageError if the file holds neither all results of the study nor their summary."""
        facts = _read(source, self.command)
        try:
            for block in self.blocks:
                block.text(facts)
            self.summary(facts)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise PageError(f"{source}: is not what {self.command} --json writes ({error!r}); write it again") from None
        return facts

    def write(self, source: Path) -> None:
        """Put the figures of a JSON file into the pages, and write their summary to ``kept``."""
        facts = self.facts(source)
        measured = {"measured": facts.get("measured") or datetime.date.fromtimestamp(source.stat().st_mtime).isoformat()}
        for block in self.blocks:
            path = block.page
            try:
                changed = block.put(path.read_text(encoding="utf-8"), facts)
                with atomic_write(path) as temporary:
                    temporary.write_text(changed, encoding="utf-8")
            except OSError as error:
                raise PageError(f"{path}: cannot be read or written ({error.strerror or error})") from None
        write_json(self.kept, self.summary(facts) | measured)


def study_of(source: Path, command: str) -> str:
    """Return the name of the study that a JSON file belongs to; empty if the file does not say."""
    facts = _read(source, command)
    return str(facts.get("study", "")) if isinstance(facts, dict) else ""


def _read(source: Path, command: str) -> Facts:
    try:
        facts: Facts = json.loads(source.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise PageError(f"{source}: cannot be read as JSON ({error}); write it with {command} --json {source}") from None
    return facts
