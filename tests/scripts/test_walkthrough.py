"""The page that walks through the tutorial's network is what the code says now."""

from __future__ import annotations

from pathlib import Path

import pytest
import walkthrough


def test_page_is_what_the_code_says() -> None:
    assert walkthrough.main(["--check"]) == 0


def test_another_page_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    assert walkthrough.main(["--page", str(page)]) == 0
    assert walkthrough.main(["--page", str(page), "--check"]) == 0
    monkeypatch.setattr("scratch.MaxPool2d.__doc__", "Keep the smallest value of each window.")
    assert walkthrough.main(["--page", str(page), "--check"]) == 1
    assert "run it without --check" in capsys.readouterr().err


def test_page_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert walkthrough.main(["--page", str(tmp_path / "none" / "page.md")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_docstring_as_markdown() -> None:
    text = """A sum, with ``x`` as in :class:`scratch.Linear`.

    .. math:: y = \\sum_i
        x_i

    For each i::

        y += x

    Parameters
    ----------
    x : array
    """
    assert walkthrough.markdown(text) == "A sum, with `x` as in `scratch.Linear`.\n\n$$ y = \\sum_i x_i $$\n\nFor each i:\n\n```text\ny += x\n```"
