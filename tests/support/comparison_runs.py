"""Tiny runs of compare_training.py in this process, and what each says and leaves behind."""

from __future__ import annotations

import contextlib
import html.parser
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from compare_training import main

from crosscheck.report import html as pages

TINY = ("--test-size", "20", "--perturbed", "2")


def strict(text: str) -> Any:
    """Return what a JSON text says; NaN and infinity, which are no JSON, are an error."""

    def unknown(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_constant=unknown)


class Page(html.parser.HTMLParser):
    """What a page says, and all that it points to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headline = ""
        self.title = ""
        self.text = ""
        self.pictures = 0
        self.pointers: list[str] = [found[1] for found in re.finditer(r"(?:url\(|@import)\s*[\"']?([^)\"'\s]+)", text)]
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.pictures += tag == "svg"
        self.pointers += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "srcset", "data", "action", "poster"}]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._inside == "h1":
            self.headline += data
        if self._inside == "title":
            self.title += data


@dataclass(frozen=True)
class Run:
    """What one run of the command left behind."""

    status: int
    text: str
    errors: str
    folder: Path

    @property
    def report(self) -> Any:
        """What report.json says."""
        return strict((self.folder / "report.json").read_text(encoding="utf-8"))

    @property
    def page(self) -> Page:
        """What report.html shows."""
        return Page((self.folder / "report.html").read_text(encoding="utf-8"))


def run(arguments: Sequence[str], folder: Path, drawn: bool = False) -> Run:
    """Call the command and catch all that it says, in lines that are wide enough; the page takes most of the time and is drawn where it is needed."""
    text, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(text), contextlib.redirect_stderr(errors):
        patch.setenv("COLUMNS", "500")
        if not drawn:
            patch.setattr(pages, "render", lambda facts: "")
        status = main([*arguments, *TINY, "--out", str(folder)])
    return Run(status, text.getvalue(), errors.getvalue(), folder)
