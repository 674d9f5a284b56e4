"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class NotWritableError(ValueError):
    """A file cannot be written where it was asked for; the message says why, and what to do."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give the path of a temporary neighbour to write to, which takes the file's place once the block has ended well and vanishes otherwise."""
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
    """Make sure before the work begins that a file can be written.

    Parameters
    ----------
    suffixes : sequence of str
        How its name may end.

    Raises
    ------
    NotWritableError
        If the name ends otherwise, or the folder is not there or cannot be written to.
    """
    if path.suffix not in suffixes:
        raise NotWritableError(f"{path}: the name has to end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise NotWritableError(f"{path}: is a folder, expected the name of a file")
    if not path.parent.is_dir():
        raise NotWritableError(f"{path}: there is no folder {path.parent}; make it, or name another one")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise NotWritableError(f"{path}: cannot be written ({error.strerror}); name another folder") from None
    os.close(handle)
    Path(name).unlink()


def shown(path: Path) -> str:
    """Return a path as reports show it: relative to the working directory where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
