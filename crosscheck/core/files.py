"""Atomic writing of files: a file is complete or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class NotWritableError(ValueError):
    """A file cannot be written; the message says why, and what to do."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file in the same folder; after the block it replaces the file, or after an error it is deleted."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def expect_writable(path: Path, suffixes: Sequence[str]) -> None:
    """Raise before the work begins if a file cannot be written, or its name has none of the endings.

    Raises
    ------
    NotWritableError
        If the name has another ending, or the folder does not exist or cannot be written to.
    """
    if path.suffix not in suffixes:
        raise NotWritableError(f"{path}: the name has to end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise NotWritableError(f"{path}: is a folder, expected the name of a file")
    if not path.parent.is_dir():
        raise NotWritableError(f"{path}: there is no folder {path.parent}; create it, or name another one")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise NotWritableError(f"{path}: cannot be written ({error.strerror}); name another folder") from None
    os.close(handle)
    Path(name).unlink()


def shown(path: Path) -> str:
    """Return a path as reports show it: relative to the working directory if it is inside it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
