"""Atomic writing of files: after an error, no incomplete file is left."""

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
    """Yield the path of a temporary file in the folder of ``path``. After the block it is renamed to ``path``; after an error it is deleted."""
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
    """Check, before a long computation, that a file can be written and that its name has one of the suffixes.

    Raises
    ------
    NotWritableError
        If the name has none of the suffixes, or the folder does not exist or cannot be written to.
    """
    if path.suffix not in suffixes:
        raise NotWritableError(f"{path}: the name has to end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise NotWritableError(f"{path}: is a folder, expected the name of a file")
    if not path.parent.is_dir():
        raise NotWritableError(f"{path}: there is no folder {path.parent}; create it, or name another folder")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise NotWritableError(f"{path}: cannot be written ({error.strerror}); name another folder") from None
    os.close(handle)
    Path(name).unlink()


def shown(path: Path) -> str:
    """Return a path as reports show it: relative to the working directory if the file is inside."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
