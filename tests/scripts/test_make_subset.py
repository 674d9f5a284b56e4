"""The shipped images are the first ones of a full set, and the same bytes whenever they are made."""

from __future__ import annotations

import gzip
from pathlib import Path

import make_subset
import pytest
from digits.files import FILES, SHIPPED


def test_subset_of_the_shipped_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped files stand for the full set: a subset of the same size is the same bytes, and a smaller one is its beginning."""
    monkeypatch.setattr("sys.argv", ["make_subset.py", str(SHIPPED)])
    for count, folder in ((1_000, tmp_path / "whole"), (10, tmp_path / "ten")):
        monkeypatch.setattr(make_subset, "SHIPPED", folder)
        monkeypatch.setattr(make_subset, "COUNT", count)
        make_subset.main()
    for file in FILES:
        assert (tmp_path / "whole" / file.name).read_bytes() == (SHIPPED / file.name).read_bytes()
        ten, whole = (gzip.decompress((tmp_path / part / file.name).read_bytes()) for part in ("ten", "whole"))
        assert whole[file.header :].startswith(ten[file.header :])
        assert int.from_bytes(ten[4:8], "big") == 10


def test_folder_without_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["make_subset.py", str(tmp_path)])
    monkeypatch.setattr(make_subset, "SHIPPED", tmp_path / "out")
    with pytest.raises(SystemExit, match="2"):
        make_subset.main()
    assert "train-images" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
