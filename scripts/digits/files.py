"""MNIST as four IDX files: checked here, read by the ``mnist`` package, downloaded on request.

The package's own address no longer works, and it answers a damaged file with a traceback. So files are checked here first, and downloaded from
mirrors that work.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mnist
import numpy as np
import numpy.typing as npt
import platformdirs

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "mnist"
MIRRORS = ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/")
TIMEOUT_SECONDS = 30
MEND = "; delete it and run with --download"
ELSEWHERE = "; choose another folder with --data-dir"


@dataclass(frozen=True)
class IdxFile:
    """One of the four files."""

    name: str
    magic: int  # the first four bytes, which stand for unsigned bytes with three axes (images) or one (labels)
    item: tuple[int, ...]  # the shape of one entry
    # count, sha256: entries in the full set, and the hash of its decompressed bytes
    count: int
    sha256: str

    @property
    def header(self) -> int:
        """The number of bytes before the first entry."""
        return 8 + 4 * len(self.item)


TRAIN_IMAGES = IdxFile("train-images-idx3-ubyte.gz", 0x803, (28, 28), 60_000, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db")
TRAIN_LABELS = IdxFile("train-labels-idx1-ubyte.gz", 0x801, (), 60_000, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5")
TEST_IMAGES = IdxFile("t10k-images-idx3-ubyte.gz", 0x803, (28, 28), 10_000, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7")
TEST_LABELS = IdxFile("t10k-labels-idx1-ubyte.gz", 0x801, (), 10_000, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2")
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


class DataError(Exception):
    """The images cannot be used; the message says which file, what was found, what was expected and what to do."""


@dataclass(frozen=True)
class Digits:
    """Images ``(count, 28, 28)`` of bytes and labels ``(count,)`` from 0 to 9, for training and test."""

    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.int64]
    sha256: dict[str, str]


def load(folder: Path) -> Digits:
    """Read the four files of a folder.

    DataError says which file is missing, truncated, corrupt or of the wrong kind, or that the numbers of images and labels differ.
    """
    try:
        found = "" if folder.is_dir() else "no such folder"
    except OSError as error:
        found = f"cannot be looked into ({error.strerror})"
    if found:
        raise DataError(f"{folder}: {found}; name one with the four MNIST files with --data-dir, or run with --download")
    checked = {file.name: check(folder / file.name, file) for file in FILES}
    for images, labels in ((TRAIN_IMAGES, TRAIN_LABELS), (TEST_IMAGES, TEST_LABELS)):
        if checked[images.name][0] != checked[labels.name][0]:
            counts = f"{checked[images.name][0]:,} images, but {labels.name} has {checked[labels.name][0]:,} labels"
            raise DataError(f"{folder / images.name}: {counts}, expected as many; delete both and run with --download")
    mnist.temporary_dir = lambda: str(folder)
    arrays = [mnist.train_images(), mnist.train_labels(), mnist.test_images(), mnist.test_labels()]
    for file, labels in ((TRAIN_LABELS, arrays[1]), (TEST_LABELS, arrays[3])):
        if labels.size and labels.max() > 9:
            raise DataError(f"{folder / file.name}: a label of {labels.max()}, expected 0 to 9; the file is not MNIST's{MEND}")
    train_images, train_labels, test_images, test_labels = arrays
    hashes = {name: digest for name, (_, digest) in checked.items()}
    return Digits(train_images, train_labels.astype(np.int64), test_images, test_labels.astype(np.int64), hashes)


def check(path: Path, file: IdxFile) -> tuple[int, str]:
    """Return how many entries a file holds and the hash of its decompressed bytes.

    DataError says why the file is not a complete gzip of a complete IDX file with the expected content.
    """
    try:
        with gzip.open(path, "rb") as stream:
            header = stream.read(file.header)
            if len(header) < file.header:
                raise DataError(f"{path}: {len(header)} bytes inside, expected a header of {file.header}{MEND}")
            sizes = [int.from_bytes(header[at : at + 4], "big") for at in range(0, file.header, 4)]
            magic, count, item = sizes[0], sizes[1], tuple(sizes[2:])
            if magic != file.magic:
                raise DataError(f"{path}: the magic number is {magic:#010x}, expected {file.magic:#010x}; this is another kind of file{MEND}")
            if item != file.item:
                raise DataError(f"{path}: images of {item[0]}x{item[1]}, expected 28x28; this is another data set{MEND}")
            expected = file.header + count * int(np.prod(file.item, dtype=np.int64))
            digest, found = hashlib.sha256(header), len(header)
            while found <= expected and (block := stream.read(min(1 << 20, expected + 1 - found))):
                digest.update(block)
                found += len(block)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; name the right folder with --data-dir, or run with --download") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        size = path.stat().st_size
        raise DataError(f"{path}: {size:,} bytes that are not a whole gzip file ({error}){MEND}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), expected a gzip file{ELSEWHERE}") from None
    if found != expected:
        more = "more than " if found > expected else ""
        raise DataError(f"{path}: {more}{min(found, expected):,} bytes inside, expected {expected:,} for {count:,} entries{MEND}")
    return count, digest.hexdigest()


def cache_folder() -> Path:
    """Return the folder that downloads go to."""
    return Path(platformdirs.user_cache_dir("nn-crosscheck")) / "mnist"


Arrived = Callable[[str, int, int | None], Any]
"""Reports a download: the name of the file, the bytes that have arrived, and their total number if that is known."""


def download(folder: Path, mirrors: Sequence[str] = MIRRORS, arrived: Arrived = lambda name, done, size: None) -> None:
    """Download the missing files of the full set into a folder; a file appears there only once it is whole and verified.

    The folder is created if it does not exist. The mirrors are addresses of folders with the four files, tried one after the other. DataError says
    why no mirror delivers a file with the expected hash.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = {file.name for file in FILES if (folder / file.name).exists()}
    except OSError as error:
        raise DataError(f"{folder}: cannot be made or looked into ({error.strerror}){ELSEWHERE}") from None
    for file in FILES:
        path = folder / file.name
        if file.name not in there:
            _fetch(path, file, mirrors, arrived)
        elif check(path, file)[1] != file.sha256:
            raise DataError(f"{path}: not the full set's file, which --download would replace{ELSEWHERE}")


def _fetch(path: Path, file: IdxFile, mirrors: Sequence[str], arrived: Arrived) -> None:
    failures = []
    for mirror in mirrors:
        try:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{file.name}.")
        except OSError as error:
            raise DataError(f"{path.parent}: files cannot be written there ({error.strerror}){ELSEWHERE}") from None
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as target, urllib.request.urlopen(mirror + file.name, timeout=TIMEOUT_SECONDS) as source:  # noqa: S310 - https
                size = source.headers.get("Content-Length")
                for block in _blocks(source, limit=64 << 20):
                    target.write(block)
                    arrived(file.name, target.tell(), int(size) if size and size.isdigit() else None)
            found = check(temporary, file)[1]
            if found != file.sha256:
                raise DataError(f"its content has the SHA-256 {found}, expected {file.sha256}")
            temporary.chmod(0o644)
            os.replace(temporary, path)
            return
        except (DataError, OSError, ValueError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            said = " ".join(str(reason).split())
            failures.append(f"{mirror}: {said.replace(str(temporary), 'the download').removesuffix(MEND)}")
        finally:
            temporary.unlink(missing_ok=True)
    raise DataError(f"{file.name}: no mirror delivered it ({'; '.join(failures)}); check the network, or name a folder that has it with --data-dir")


def _blocks(source: Any, limit: int) -> Iterator[bytes]:
    """Yield the content of a stream, and raise an error if it is far larger than any of the files."""
    total = 0
    while block := source.read(1 << 20):
        total += len(block)
        if total > limit:
            raise DataError(f"more than {limit:,} bytes arrived")
        yield block
