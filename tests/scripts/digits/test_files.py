"""The loader and the downloader of MNIST: each way in which a file or a server can be wrong, and what the user is told.

Downloads go through a small server on the loopback device; no test leaves the machine.
"""

from __future__ import annotations

import gzip
import hashlib
import http.server
import re
import shutil
import socket
import tempfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from digits import files as mnist_files
from digits.files import SHIPPED, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, DataError, Digits, IdxFile, download, load

TRAINING, TESTING = 3, 2
MEND = "delete it and run with --download"


def packed(file: IdxFile, entries: npt.ArrayLike, magic: int | None = None, count: int | None = None) -> bytes:
    """Return a gzip of an IDX file with these entries, and with a header that may tell something else."""
    array = np.asarray(entries, np.uint8)
    sizes = [file.magic if magic is None else magic, len(array) if count is None else count, *array.shape[1:]]
    return gzip.compress(b"".join(size.to_bytes(4, "big") for size in sizes) + array.tobytes(), mtime=0)


def images(count: int, side: int = 28) -> npt.NDArray[np.uint8]:
    """Return noise, which hardly compresses: half of the file is half of the images."""
    return np.random.default_rng(count).integers(0, 256, (count, side, side), np.uint8)


CONTENT = {
    TRAIN_IMAGES.name: packed(TRAIN_IMAGES, images(TRAINING)),
    TRAIN_LABELS.name: packed(TRAIN_LABELS, [0, 9, 5]),
    TEST_IMAGES.name: packed(TEST_IMAGES, images(TESTING)),
    TEST_LABELS.name: packed(TEST_LABELS, [9, 0]),
}
TRAIN_SIZE = 16 + TRAINING * 28 * 28
WHOLE = CONTENT[TRAIN_IMAGES.name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with four small files that are right."""
    result = tmp_path / "mnist"
    result.mkdir()
    for name, content in CONTENT.items():
        (result / name).write_bytes(content)
    return result


def refused(action: Callable[[], Any]) -> str:
    """Return the message of the error that an action must end in."""
    with pytest.raises(DataError) as caught:
        action()
    return str(caught.value)


def lacking(message: str, *pieces: str) -> list[str]:
    """Return those of the pieces that a message does not have."""
    return [piece for piece in pieces if piece not in message]


# What loads.


@pytest.fixture(scope="module")
def shipped() -> Digits:
    """Return the images that ship with the repository."""
    return load(SHIPPED)


@pytest.mark.parametrize("kind", ["train", "test"])
def test_shipped_arrays(shipped: Digits, kind: str) -> None:
    """Images use the whole range of bytes; labels are all ten digits."""
    found, labels = getattr(shipped, f"{kind}_images"), getattr(shipped, f"{kind}_labels")
    assert (found.shape, str(found.dtype), found.min(), found.max()) == ((1000, 28, 28), "uint8", 0, 255)
    assert (labels.shape, str(labels.dtype), np.unique(labels).tolist()) == ((1000,), "int64", list(range(10)))


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in mnist_files.FILES])
def test_hash_is_that_of_the_decompressed_bytes(shipped: Digits, file: IdxFile) -> None:
    assert shipped.sha256[file.name] == hashlib.sha256(gzip.decompress((SHIPPED / file.name).read_bytes())).hexdigest()


def test_entries_arrive_in_their_order(folder: Path) -> None:
    digits = load(folder)
    assert np.array_equal(digits.train_images, images(TRAINING))
    assert np.array_equal(digits.test_images, images(TESTING))
    assert digits.train_labels.tolist() == [0, 9, 5]
    assert digits.test_labels.tolist() == [9, 0]


def test_each_folder_is_read_anew(folder: Path, shipped: Digits) -> None:
    assert len(load(folder).train_images) == TRAINING
    assert np.array_equal(load(SHIPPED).train_images, shipped.train_images)


# What does not load.


@dataclass(frozen=True)
class Damage:
    """A file whose content is wrong."""

    name: str  # the test's
    file: IdxFile
    content: bytes
    pieces: tuple[str, ...]  # what the message must say: what was found, what was expected, what to do


NO_GZIP = f"{len(WHOLE):,} bytes that are not a whole gzip file"
DAMAGES = [
    Damage("empty", TRAIN_IMAGES, b"", ("0 bytes inside", "expected a header of 16", MEND)),
    Damage("empty-labels", TEST_LABELS, b"", ("0 bytes inside", "expected a header of 8", MEND)),
    Damage("gzip-of-nothing", TRAIN_IMAGES, gzip.compress(b""), ("0 bytes inside", "expected a header of 16", MEND)),
    Damage("header-cut-off", TRAIN_IMAGES, gzip.compress(bytes(9)), ("9 bytes inside", "expected a header of 16", MEND)),
    Damage("truncated-gzip", TRAIN_IMAGES, WHOLE[: len(WHOLE) // 2], (f"{len(WHOLE) // 2:,} bytes", "not a whole gzip file", MEND)),
    Damage("truncated-in-the-gzip-header", TRAIN_IMAGES, WHOLE[:7], ("7 bytes", "not a whole gzip file", MEND)),
    Damage("corrupt-body", TRAIN_IMAGES, WHOLE[:10] + b"\xff" + WHOLE[11:], (NO_GZIP, MEND)),  # a block of a type that deflate does not know
    Damage("corrupt-checksum", TRAIN_IMAGES, WHOLE[:-8] + bytes(4) + WHOLE[-4:], (NO_GZIP, "CRC", MEND)),
    Damage("not-a-gzip", TRAIN_IMAGES, b"<!doctype html><title>Sign in</title>", ("37 bytes", "not a whole gzip file", MEND)),
    Damage("uncompressed", TRAIN_IMAGES, gzip.decompress(WHOLE), (f"{TRAIN_SIZE:,} bytes", "not a whole gzip file", MEND)),
    Damage("labels-named-images", TRAIN_IMAGES, CONTENT[TRAIN_LABELS.name], ("11 bytes inside", "expected a header of 16", MEND)),
    Damage("many-labels-named-images", TRAIN_IMAGES, packed(TRAIN_LABELS, [1] * 50), ("is 0x00000801", "expected 0x00000803", MEND)),
    Damage("images-named-labels", TEST_LABELS, CONTENT[TEST_IMAGES.name], ("is 0x00000803", "expected 0x00000801", MEND)),
    Damage("signed-bytes", TRAIN_IMAGES, packed(TRAIN_IMAGES, images(3), magic=0x903), ("is 0x00000903", "expected 0x00000803", MEND)),
    Damage("images-of-another-size", TRAIN_IMAGES, packed(TRAIN_IMAGES, images(3, side=32)), ("images of 32x32", "expected 28x28", MEND)),
    Damage("one-entry-too-few", TRAIN_IMAGES, packed(TRAIN_IMAGES, images(3), count=4), ("2,368 bytes inside", "expected 3,152 for 4 entries", MEND)),
    Damage(
        "one-entry-too-many", TRAIN_IMAGES, packed(TRAIN_IMAGES, images(3), count=2), ("more than 1,584 bytes", "expected 1,584 for 2 entries", MEND)
    ),
    Damage("one-label-too-few", TEST_LABELS, packed(TEST_LABELS, [1], count=2), ("9 bytes inside", "expected 10 for 2 entries", MEND)),
    Damage("one-label-too-many", TEST_LABELS, packed(TEST_LABELS, [1, 1, 1], count=2), ("more than 10 bytes", "expected 10 for 2 entries", MEND)),
    Damage("count-of-four-billion", TRAIN_IMAGES, packed(TRAIN_IMAGES, images(3), count=2**32 - 1), ("2,368 bytes", "4,294,967,295 entries", MEND)),
    Damage("label-of-ten", TRAIN_LABELS, packed(TRAIN_LABELS, [0, 10, 5]), ("a label of 10", "expected 0 to 9", MEND)),
    Damage("test-label-of-255", TEST_LABELS, packed(TEST_LABELS, [0, 255]), ("a label of 255", "expected 0 to 9", MEND)),
    Damage("fewer-images-than-labels", TRAIN_IMAGES, packed(TRAIN_IMAGES, images(2)), ("2 images, but", TRAIN_LABELS.name, "3 labels", "--download")),
    Damage("more-images-than-labels", TEST_IMAGES, packed(TEST_IMAGES, images(3)), ("3 images, but", TEST_LABELS.name, "2 labels", "--download")),
]


@pytest.mark.parametrize("damage", [pytest.param(damage, id=damage.name) for damage in DAMAGES])
def test_damaged_file(folder: Path, damage: Damage) -> None:
    path = folder / damage.file.name
    path.write_bytes(damage.content)
    message = refused(lambda: load(folder))
    assert message.startswith(f"{path}: ")
    assert lacking(message, *damage.pieces) == []
    assert path.read_bytes() == damage.content
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in mnist_files.FILES])
def test_missing_file(folder: Path, file: IdxFile) -> None:
    (folder / file.name).unlink()
    message = refused(lambda: load(folder))
    assert message.startswith(f"{folder / file.name}: ")
    assert lacking(message, "no such file", "--data-dir", "--download") == []


def test_directory_in_place_of_a_file(folder: Path) -> None:
    path = folder / TEST_LABELS.name
    path.unlink()
    path.mkdir()
    message = refused(lambda: load(folder))
    assert message.startswith(f"{path}: cannot be read (")
    assert lacking(message, "expected a gzip file", "--data-dir") == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("nowhere", id="missing"),
        pytest.param("mnist/" + TRAIN_IMAGES.name, id="a-file"),
        pytest.param("x" * 5000, id="a-name-too-long-to-look-up"),
    ],
)
def test_no_folder(folder: Path, name: str) -> None:
    absent = folder.parent / name
    message = refused(lambda: load(absent))
    assert message.startswith(f"{absent}: ")
    assert lacking(message, "name one with the four MNIST files", "--data-dir", "--download") == []


@pytest.mark.parametrize("file", [TRAIN_IMAGES, TRAIN_LABELS], ids=["images", "labels"])
def test_promised_count_costs_no_memory(folder: Path, file: IdxFile) -> None:
    entries = images(TRAINING) if file.item else [0, 9, 5]
    (folder / file.name).write_bytes(packed(file, entries, count=2**32 - 1))
    tracemalloc.start()
    try:
        refused(lambda: load(folder))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**24


# Downloads.


Answer = Callable[[http.server.BaseHTTPRequestHandler, bytes], object]


def sending(headers: Callable[[bytes], dict[str, str]], body: Callable[[bytes], bytes] = bytes) -> Answer:
    """Return an answer that sends these headers and this part of the content."""

    def answer(handler: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
        handler.send_response(200)
        for name, value in headers(content).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body(content))

    return answer


def length(content: bytes) -> dict[str, str]:
    return {"Content-Length": str(len(content))}


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


served, served_without_length, cut_off = sending(length), sending(lambda content: {}), sending(length, half)
cut_off_in_a_chunk = sending(lambda content: {"Transfer-Encoding": "chunked"}, lambda content: f"{len(content):x}\r\n".encode() + half(content))


def another_page(handler: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
    """Answer with a page, as the login of a public network does."""
    served(handler, b"<!doctype html><title>Sign in</title>")


def other_digits(handler: http.server.BaseHTTPRequestHandler, content: bytes) -> None:
    """Answer with a whole file of the right kind that is not the one asked for."""
    served(handler, packed(TRAIN_IMAGES, images(TRAINING)[::-1]))


@dataclass
class Mirror:
    """A server on the loopback device: where it is, how it answers from one file on, and what it was asked for."""

    url: str
    answer: Answer = served
    good: int = 0
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Mirror]]:
    """Return a function that starts a mirror, which gives good answers at first, and from then on the one named."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = []

    def started(answer: Answer = served, good: int = 0) -> Mirror:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.removeprefix("/mnist/")
                mirror.asked.append(name)
                (served if len(mirror.asked) <= mirror.good else mirror.answer)(self, CONTENT[name])

            def log_message(self, *arguments: Any) -> None:
                """Keep the test's output clean."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        mirror = Mirror(f"http://127.0.0.1:{server.server_address[1]}/mnist/", answer, good)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return mirror

    yield started
    while running:
        server, thread = running.pop()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def small_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the small files pass for the full set."""
    hashes = {name: hashlib.sha256(gzip.decompress(content)).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(mnist_files, "FILES", tuple(replace(file, sha256=hashes[file.name]) for file in mnist_files.FILES))


def contents(folder: Path) -> dict[str, bytes]:
    """Return all that is in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("answer", "length"), [(served, True), (served_without_length, False)], ids=["with-length", "without-length"])
def test_download_fills_the_folder_and_reports_its_progress(start: Callable[..., Mirror], tmp_path: Path, answer: Answer, length: bool) -> None:
    folder, told = tmp_path / "made" / "on the way", dict[str, tuple[int, int | None]]()
    download(folder, [start(answer).url], lambda name, done, size: told.update({name: (done, size)}))
    assert contents(folder) == CONTENT
    assert told == {name: (len(content), len(content) if length else None) for name, content in CONTENT.items()}
    assert np.array_equal(load(folder).train_images, images(TRAINING))


@dataclass(frozen=True)
class BadAnswer:
    """A server that does not deliver: how it answers and a pattern of what the message must say of it."""

    name: str
    answer: Answer
    reason: str


not_found = BadAnswer("not-found", lambda handler, content: handler.send_error(404), "Not Found")
BAD_ANSWERS = [
    not_found,
    BadAnswer("wrong-content", other_digits, "SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}"),
    BadAnswer("another-page", another_page, "the download: 37 bytes that are not a whole gzip file"),
    BadAnswer("cut-off", cut_off, r"not a whole gzip file|IncompleteRead"),
    BadAnswer("cut-off-in-a-chunk", cut_off_in_a_chunk, "IncompleteRead"),
    BadAnswer("silent", lambda handler, content: None, "without response"),
    BadAnswer("another-protocol", lambda handler, content: handler.wfile.write(b"220 mail.example ready\r\n"), "220 mail.example ready"),
]
bad = pytest.mark.parametrize("bad", [pytest.param(bad, id=bad.name) for bad in BAD_ANSWERS])


@bad
def test_failed_download_says_why_and_leaves_nothing(start: Callable[..., Mirror], tmp_path: Path, bad: BadAnswer) -> None:
    mirror = start(bad.answer)
    message = refused(lambda: download(tmp_path, [mirror.url]))
    assert message.startswith(f"{TRAIN_IMAGES.name}: no mirror delivered it (")
    assert lacking(message, mirror.url, "check the network", "--data-dir") == []
    assert re.search(bad.reason, message)
    assert "delete" not in message  # there is nothing of the download to delete
    assert len(message.splitlines()) == 1
    assert contents(tmp_path) == {}


@bad
def test_second_mirror_steps_in(start: Callable[..., Mirror], tmp_path: Path, bad: BadAnswer) -> None:
    first, second = start(bad.answer), start()
    download(tmp_path, [first.url, second.url])
    assert contents(tmp_path) == CONTENT
    assert set(first.asked) == set(second.asked) == set(CONTENT)


def test_second_mirror_is_left_alone_where_the_first_delivers(start: Callable[..., Mirror], tmp_path: Path) -> None:
    first, second = start(), start()
    download(tmp_path, [first.url, second.url])
    assert second.asked == []


def test_each_mirror_is_named_with_its_reason(start: Callable[..., Mirror], tmp_path: Path) -> None:
    first, second = start(not_found.answer), start(another_page)
    message = refused(lambda: download(tmp_path, [first.url, second.url]))
    assert lacking(message, f"{first.url}: Not Found", f"{second.url}: the download: 37 bytes") == []


def test_files_before_the_failure_stay_whole(start: Callable[..., Mirror], tmp_path: Path) -> None:
    mirror = start(cut_off, good=2)
    message = refused(lambda: download(tmp_path, [mirror.url]))
    assert message.startswith(f"{TEST_IMAGES.name}: ")
    assert contents(tmp_path) == {file.name: CONTENT[file.name] for file in (TRAIN_IMAGES, TRAIN_LABELS)}


def test_download_goes_on_where_it_failed(start: Callable[..., Mirror], tmp_path: Path) -> None:
    refused(lambda: download(tmp_path, [start(cut_off, good=2).url]))
    second = start()
    download(tmp_path, [second.url])
    assert contents(tmp_path) == CONTENT
    assert second.asked == [TEST_IMAGES.name, TEST_LABELS.name]


def test_no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # never listens: whoever connects is refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/mnist/"
        message = refused(lambda: download(tmp_path, [url]))
    assert message.startswith(f"{TRAIN_IMAGES.name}: no mirror delivered it ({url}: ")
    assert lacking(message, "refused", "check the network", "--data-dir") == []
    assert contents(tmp_path) == {}


def test_interrupted_download_leaves_nothing(start: Callable[..., Mirror], tmp_path: Path) -> None:
    def interrupt(name: str, done: int, size: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(tmp_path, [start().url], interrupt)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("below", ["", "mnist"], ids=["in-its-place", "above-it"])
def test_file_where_the_folder_should_be(start: Callable[..., Mirror], tmp_path: Path, below: str) -> None:
    (tmp_path / "taken").write_bytes(b"mine")
    mirror, wanted = start(), tmp_path / "taken" / below
    message = refused(lambda: download(wanted, [mirror.url]))
    assert message.startswith(f"{wanted}: cannot be made")
    assert "--data-dir" in message
    assert contents(tmp_path) == {"taken": b"mine"}
    assert mirror.asked == []


def test_folder_that_cannot_be_written_to(start: Callable[..., Mirror], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(**options: Any) -> tuple[int, str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", denied)  # no mode of a folder keeps a superuser out
    mirror = start()
    message = refused(lambda: download(tmp_path, [mirror.url]))
    assert message.startswith(f"{tmp_path}: files cannot be written there (Permission denied)")
    assert "--data-dir" in message
    assert mirror.asked == []


def test_foreign_file_is_not_overwritten(start: Callable[..., Mirror], tmp_path: Path) -> None:
    path, mirror = tmp_path / TRAIN_IMAGES.name, start()
    shutil.copy(SHIPPED / TRAIN_IMAGES.name, path)
    message = refused(lambda: download(tmp_path, [mirror.url]))
    assert message.startswith(f"{path}: not the full set's file")
    assert "--data-dir" in message
    assert contents(tmp_path) == {path.name: (SHIPPED / TRAIN_IMAGES.name).read_bytes()}
    assert mirror.asked == []


def test_broken_file_is_not_overwritten(start: Callable[..., Mirror], tmp_path: Path) -> None:
    path = tmp_path / TRAIN_IMAGES.name
    path.write_bytes(WHOLE[:100])
    message = refused(lambda: download(tmp_path, [start().url]))
    assert message.startswith(f"{path}: 100 bytes that are not a whole gzip file")
    assert MEND in message
    assert contents(tmp_path) == {path.name: WHOLE[:100]}


def test_right_files_are_not_fetched_again(start: Callable[..., Mirror], folder: Path) -> None:
    mirror = start()
    download(folder, [mirror.url])
    assert mirror.asked == []
    assert contents(folder) == CONTENT


@pytest.mark.parametrize("file", [pytest.param(file, id=file.name) for file in mnist_files.FILES])
def test_only_the_missing_file_is_fetched(start: Callable[..., Mirror], folder: Path, file: IdxFile) -> None:
    (folder / file.name).unlink()
    mirror = start()
    download(folder, [mirror.url])
    assert mirror.asked == [file.name]
    assert contents(folder) == CONTENT
