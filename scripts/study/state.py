"""The results of a study so far, in one JSON file that is written atomically.

The file says which run it belongs to: the options, the versions, and a fingerprint of the code. A run does not continue from a file that differs in
any of these, because some figures would then come from code that no longer exists.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from training.checkpoints import Clock, Interval, differing

from crosscheck.core.files import expect_writable
from crosscheck.core.judge import Facts
from crosscheck.report.write import write_json
from crosscheck.run.cli import UsageError

FORMAT_VERSION = 1
ROOT = Path(__file__).resolve().parents[2]
_CODE = ("crosscheck", "scripts", "scratch", "reference", "tests")
_EVERY = Interval(seconds=5.0)


class StateError(UsageError):
    """A run cannot continue from a state file; the message says which file, what was found, what was expected and what to do."""


@dataclass
class State:
    """Results by the key of the task, written to a file every few seconds."""

    path: Path | None = None  # the file; nothing is written if None
    run: Facts = field(default_factory=dict)  # options, versions and code of the run, as data for JSON
    results: dict[str, Facts] = field(default_factory=dict)
    _clock: Clock = field(default_factory=lambda: Clock(_EVERY))

    def add(self, key: str, result: Facts) -> None:
        """Add a result."""
        self.results[key] = result
        if self._clock.due():
            self.save()

    def save(self) -> None:
        """Write the file."""
        if self.path is not None:
            write_json(self.path, {"version": FORMAT_VERSION, "run": self.run, "results": self.results})

    def how_to_go_on(self) -> str:
        """Return what to do after an interruption."""
        if self.path is None:
            return "nothing was kept; with --state FILE a run can be continued"
        return f"{len(self.results):,} results are in {self.path}; continue with the same command and --resume"


def fingerprint() -> str:
    """Return a hash of all code that results depend on."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in _CODE for path in (ROOT / folder).rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def versions(*packages: str, missing: str = "") -> dict[str, str]:
    """Return the versions of Python and of packages; ``missing`` stands for packages that are not installed, which are left out if it is empty."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found |= {package: missing} if missing else {}
    return found


def kept_in_words(kept: bool, checked: bool) -> tuple[int, str, str]:
    """Return the exit status, the verdict and the word for a promise that is kept, not kept, or could not be checked."""
    if not kept:
        return 1, "mismatch", "NOT KEPT"
    return (0, "match", "KEPT") if checked else (2, "undecided", "COULD NOT BE CHECKED")


def opened(path: Path | None, resume: bool, run: Facts, check: Callable[[str, Facts], object] = lambda key, result: None) -> State:
    """Return the state with which a run begins: the file's, if it exists and ``resume`` is set, or else an empty one.

    StateError says why the run cannot continue from the file, NotWritableError why the file cannot be written. ``check`` gets the key and the result
    of each task in the file, and raises a ValueError if the result does not belong to such a task.
    """
    if path is None:
        if resume:
            raise StateError("--resume: from which file? say --state FILE")
        return State(None, run)
    expect_writable(path, [".json"])
    if not path.exists():
        return State(path, run)
    if not resume:
        raise StateError(f"--state {path}: it exists; add --resume to continue from it, or delete it")
    results = _read(path, run)
    try:
        for key, result in results.items():
            check(key, result)
    except ValueError as error:
        raise StateError(f"{path}: damaged ({error}); delete it and start again") from None
    return State(path, run, results)


def _read(path: Path, run: Facts) -> dict[str, Facts]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise StateError(f"{path}: cannot be read as JSON ({error}); delete it and start again") from None
    results = found.get("results") if isinstance(found, dict) and found.get("version") == FORMAT_VERSION else None
    if not isinstance(results, dict) or not all(isinstance(result, dict) for result in results.values()):
        raise StateError(f"{path}: not a state of version {FORMAT_VERSION} of a study; name another file with --state, or delete it")
    theirs = found.get("run")
    others = differing(theirs, json.loads(json.dumps(run))) if isinstance(theirs, dict) else ["it does not say which"]
    if others:
        raise StateError(f"{path}: of another run ({'; '.join(others)}); repeat its options, or delete it and start again")
    return results
