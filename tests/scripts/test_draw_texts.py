"""The texts that a reader is given: docstrings and messages, each once, none of them a name; the same seed draws the same ones."""

from __future__ import annotations

from pathlib import Path

import draw_texts
import pytest
from source.texts import texts

SOURCE = '''"""Module text, however short."""
KEY = "just a name"
MESSAGE = "a message with five words"


def shown(count: int) -> str:
    """Say it."""
    return f"there are {count:,} of them in all"
'''


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a project of one module."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "module.py").write_text(SOURCE, encoding="utf-8")
    return tmp_path


def test_docstrings_and_messages_are_found(checkout: Path) -> None:
    assert sorted(texts(checkout / "scripts" / "module.py")) == [
        (1, "Module text, however short."),
        (3, "a message with five words"),
        (7, "Say it."),
        (8, "there are {count} of them in all"),
    ]


def test_drawn_texts_are_shown_with_their_place(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No more than there are; the seed decides which ones, and their order."""
    shown = []
    for seed in ("1", "1", "2"):
        assert draw_texts.main(["--root", str(checkout), "--seed", seed]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != shown[2]
    assert shown[0].count("scripts/module.py:") == 4
    assert "scripts/module.py:3\n    a message with five words\n\n" in shown[0]
    draw_texts.main(["--root", str(checkout), "--count", "1"])
    assert capsys.readouterr().out.count("scripts/module.py:") == 1


def test_folder_without_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        draw_texts.main(["--root", str(tmp_path)])
    assert "name a checkout of this project with --root" in capsys.readouterr().err
