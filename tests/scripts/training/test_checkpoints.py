"""Checkpoints as files: whole or not at all, exact, and refused with one clear sentence where they are not what they should be."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from safetensors.numpy import save_file
from training import checkpoints
from training.checkpoints import Checkpoint, CheckpointError, Clock, Interval, read, write

OPTIONS: dict[str, Any] = {"lr": 0.005, "freeze": ["conv"], "weights": None}
ARRAYS = {
    "weight": np.arange(6.0).reshape(2, 3).T,
    "scalar": np.array(1 / 3, np.float32),
    "bytes": np.arange(5, dtype=np.uint8),
    "mask": np.array([True, False]),
    "empty": np.zeros((0, 3)),
    "special": np.array([math.nan, math.inf, -0.0, 5e-324]),
}
FACTS: dict[str, Any] = {"loss": 0.1 + 0.2, "worst": math.inf, "least": -math.inf, "smallest": 5e-324, "state": 2**128 - 1, "name": "é\x00\n"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a checkpoint."""
    write(tmp_path / "run.safetensors", Checkpoint(OPTIONS, ARRAYS, FACTS))
    return tmp_path / "run.safetensors"


@pytest.mark.parametrize("name", list(ARRAYS))
def test_arrays_survive_to_the_last_bit(path: Path, name: str) -> None:
    found = read(path, OPTIONS).arrays[name]
    assert (found.dtype, found.shape, found.tobytes()) == (ARRAYS[name].dtype, ARRAYS[name].shape, ARRAYS[name].tobytes())


def test_facts_survive_exactly(path: Path) -> None:
    assert read(path, OPTIONS).facts == FACTS


def test_nan_survives(path: Path) -> None:
    write(path, Checkpoint(OPTIONS, {}, {"loss": math.nan}))
    assert math.isnan(read(path, OPTIONS).facts["loss"])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        pytest.param(OPTIONS | {"lr": 0.01}, "of another run (lr: 0.005 there, 0.01 here)", id="changed"),
        pytest.param({"lr": 0.005, "freeze": ["conv"]}, "", id="left-open-is-none"),
        pytest.param(OPTIONS | {"seed": 1}, "of another run (seed: None there, 1 here)", id="added"),
        pytest.param(OPTIONS | {"lr": 1.0, "freeze": []}, "(lr: 0.005 there, 1.0 here; freeze: ['conv'] there, [] here)", id="two"),
        pytest.param(OPTIONS | {"freeze": ("conv",)}, "", id="a-tuple-is-a-list"),
    ],
)
def test_of_another_run(path: Path, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(CheckpointError, match=re.escape(complaint)) if complaint else nullcontext():
        read(path, options)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def described(text: str | None) -> Callable[[Path], object]:
    return lambda path: save_file({"weight": np.zeros(3)}, path, None if text is None else {checkpoints.KEY: text})


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes that are not a whole safetensors file", id="truncated"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:20]), "20 bytes that are not a whole safetensors file", id="header-alone"),
        pytest.param(lambda path: path.write_bytes(b""), "0 bytes that are not a whole safetensors file", id="empty"),
        pytest.param(lambda path: path.write_bytes(b"a checkpoint, honestly"), "bytes that are not a whole safetensors file", id="text"),
        pytest.param(a_folder, "cannot be read", id="folder"),
        pytest.param(Path.unlink, "cannot be read", id="gone"),
        pytest.param(described(None), "a safetensors file, but no checkpoint of a run", id="weights"),
        pytest.param(described("no JSON"), "the description inside cannot be read", id="no-json"),
        pytest.param(described("[]"), "the description inside cannot be read", id="a-list"),
        pytest.param(described('{"version": 1, "options": {}, "facts": {}}'), "of version 1, expected 2", id="version"),
    ],
)
def test_spoilt_file(path: Path, spoil: Callable[[Path], object], complaint: str) -> None:
    spoil(path)
    with pytest.raises(CheckpointError) as refused:
        read(path, OPTIONS)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert complaint in message
    assert "\n" not in message


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["full", "ctrl-c"])
def test_failed_write_leaves_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Neither half a checkpoint nor a temporary file is left."""

    def refuse(*arguments: Any) -> NoReturn:
        raise error

    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(CheckpointError if isinstance(error, OSError) else KeyboardInterrupt):
        write(path, Checkpoint(OPTIONS, {}, {}))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_is_on_the_disk_before_it_takes_its_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut the name must not lead to a file whose bytes were never written."""
    order: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        order.append("flush")
        fsync(handle)

    def noted_replace(source: Any, target: Any) -> None:
        order.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write(path, Checkpoint(OPTIONS, ARRAYS, FACTS))
    assert order[:2] == ["flush", "replace"]


def test_due_by_steps() -> None:
    clock = Clock(Interval(steps=3))
    assert [clock.due() for _ in range(7)] == [False, False, True, False, False, True, False]


def test_due_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([1.0, 2.5, 2.5, 3.0, 4.5, 4.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    clock = Clock(Interval(seconds=2.0), started=0.0)
    assert [clock.due() for _ in range(4)] == [False, True, False, True]
