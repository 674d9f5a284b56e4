"""Checkpoints: everything that is needed to continue a run, in one file that is written atomically.

A checkpoint is a safetensors file: arrays by name, and one JSON text with the version of the format, the options that affect the results, and the
other state of the run. It contains no code, so any file can be opened safely. It is first written to a temporary file, which replaces the old
checkpoint once it is on the disk. So if the process dies, either the old or the new checkpoint exists.
"""

from __future__ import annotations

import glob
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from crosscheck.core.files import atomic_write, expect_writable

FORMAT_VERSION = 2
KEY = "crosscheck.checkpoint"
"""The key of the JSON text in the file's metadata."""

Arrays = Mapping[str, npt.NDArray[Any]]
AnyArrays = dict[str, npt.NDArray[Any]]
Facts = dict[str, Any]
"""Data that JSON can hold, including NaN and infinity as Python writes and reads them."""


class CheckpointError(Exception):
    """A checkpoint cannot be written or continued from; the message says which file, what was found, what was expected and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to continue."""

    options: Facts  # the options that affect the results: with other options it is another run
    arrays: Arrays
    facts: Facts  # the rest of the state, as data for JSON


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the old checkpoint by a new one; after a CheckpointError, such as for a full disk, the old one still exists."""
    text = json.dumps({"version": FORMAT_VERSION, "options": checkpoint.options, "facts": checkpoint.facts})
    write_arrays(path, checkpoint.arrays, {KEY: text})


def write_arrays(path: Path, arrays: Arrays, metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically, and wait until it is on the disk; CheckpointError says why it cannot be written."""
    try:
        with atomic_write(path) as temporary:
            save_file({name: np.ascontiguousarray(value).reshape(value.shape) for name, value in arrays.items()}, temporary, metadata)
            _flush(temporary)
        if os.name == "posix":  # other systems cannot open a folder
            _flush(path.parent)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written ({error}); name a file in a folder that exists and has room") from None


def _flush(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: Path, options: Facts) -> Checkpoint:
    """Return a checkpoint of a run with these options.

    CheckpointError says that the file is damaged, is not a checkpoint, or belongs to another version or to a run with other options.
    """
    arrays, metadata = read_arrays(path, "a checkpoint")
    if KEY not in metadata:
        raise CheckpointError(f"{path}: a safetensors file, but no checkpoint of a run; name another file with --checkpoint")
    try:
        found = json.loads(metadata[KEY])
        version, theirs, facts = found["version"], found["options"], found["facts"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: the description inside cannot be read ({error!r}); delete it and start again") from None
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{path}: a checkpoint of version {version}, expected {FORMAT_VERSION}; use the release that wrote it, or delete it")
    if others := differing(theirs, json.loads(json.dumps(options))):
        raise CheckpointError(f"{path}: of another run ({'; '.join(others)}); repeat its options, or name another file with --checkpoint")
    return Checkpoint(theirs, arrays, facts)


def read_arrays(path: Path, kind: str) -> tuple[AnyArrays, dict[str, str]]:
    """Return the arrays and the metadata of a safetensors file; CheckpointError says why it is not a complete safetensors file."""
    try:
        size = path.stat().st_size
        with safe_open(path, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118 - the file is not a mapping
    except SafetensorError as error:
        raise CheckpointError(f"{path}: {size:,} bytes that are not a whole safetensors file ({error}), expected {kind}; name another file") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error}), expected {kind}; name another file") from None


def differing(theirs: Facts, ours: Facts) -> list[str]:
    """Return the options in which two runs differ, in words."""
    names = [name for name in [*theirs, *(name for name in ours if name not in theirs)] if theirs.get(name) != ours.get(name)]
    return [f"{name}: {theirs.get(name)!r} there, {ours.get(name)!r} here" for name in names]


def expect_fresh(path: Path, resume: bool) -> None:
    """Make sure, before the work begins, that a checkpoint can be written (else NotWritableError) and overwrites none (else CheckpointError).

    Temporary files left by a process that was killed while writing are removed.
    """
    expect_writable(path, [".safetensors"])
    if path.exists() and not resume:
        raise CheckpointError(f"--checkpoint {path}: it exists; add --resume to continue from it, or delete it")
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        left.unlink(missing_ok=True)


@dataclass(frozen=True)
class Interval:
    """How often a checkpoint is written: after a number of steps or of seconds; the other one is None."""

    steps: int | None = None
    seconds: float | None = None


@dataclass
class Clock:
    """Says when the next checkpoint is due."""

    interval: Interval
    steps: int = 0
    started: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        """Count one step and return whether a checkpoint is due after it."""
        self.steps += 1
        if self.interval.steps is not None:
            reached = self.steps >= self.interval.steps
        else:
            assert self.interval.seconds is not None
            reached = time.monotonic() - self.started >= self.interval.seconds
        if reached:
            self.steps, self.started = 0, time.monotonic()
        return reached
