"""What tests of several packages work with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import ROOT, SUPPORT
from tests.support.suites import suite

__all__ = ["folder", "suite"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder to work in that holds the layers of ``plain.py``; also commands that are started in it find the harness."""
    shutil.copy(SUPPORT / "plain.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path
