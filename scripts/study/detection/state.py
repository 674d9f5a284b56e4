"""What a run of the study has found out so far, in one JSON file that is there whole or not at all.

The file says which run it is of: its options, the versions that it computes with, and a fingerprint of the code. Results of another run, or of code
that has changed since, are not gone on from: they would be evidence about something that nobody has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.checkpoints import Clock, Interval

from crosscheck.core.files import expect_writable
from crosscheck.core.judge import Facts
from crosscheck.report.write import write_json
from study.detection.results import NoResultError, result_of

FORMAT_VERSION = 1
ROOT = Path(__file__).resolve().parents[3]
_CODE = ("crosscheck", "scripts", "scratch", "reference", "tests")
_EVERY = Interval(seconds=5.0)


class StateError(ValueError):
    """A state file cannot be gone on from; the message says which file, what was found, what was expected and what to do."""


@dataclass
class State:
    """Results as they come, kept every few seconds.

    Attributes
    ----------
    path : Path or None
        Where they are kept; nowhere if None.
    run : dict
        What makes the run what it is, as JSON can say it.
    results : dict of str to dict
        By the key of the task.
    """

    path: Path | None
    run: Facts
    results: dict[str, Facts] = field(default_factory=dict)
    _clock: Clock = field(default_factory=lambda: Clock(_EVERY))

    def add(self, key: str, result: Facts) -> None:
        """Take in a result."""
        self.results[key] = result
        if self._clock.due():
            self.save()

    def save(self) -> None:
        """Write everything that there is."""
        if self.path is not None:
            write_json(self.path, {"version": FORMAT_VERSION, "run": self.run, "results": self.results})

    def how_to_go_on(self) -> str:
        """Return what to do after an interruption."""
        if self.path is None:
            return "nothing was kept; with --state FILE a run can be gone on with"
        return f"{len(self.results):,} results are in {self.path}; go on with the same command and --resume"


def fingerprint() -> str:
    """Return a number that is another one once any of the code has changed that results depend on."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in _CODE for path in (ROOT / folder).rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def opened(path: Path | None, resume: bool, run: Facts) -> State:
    """Return the state to begin with.

    Parameters
    ----------
    path : Path, optional
    resume : bool
        Whether to go on from the file where it is there.
    run : dict
        What makes the run what it is.

    Raises
    ------
    StateError
        If a file is there that is not to be gone on from, or cannot be; if there is nothing to go on from.
    NotWritableError
        If it cannot be written.
    """
    if path is None:
        if resume:
            raise StateError("--resume: from which file? say --state FILE")
        return State(None, run)
    expect_writable(path, [".json"])
    if not path.exists():
        return State(path, run)
    if not resume:
        raise StateError(f"--state {path}: there is one already; add --resume to go on from it, or delete it")
    return State(path, run, _read(path, run))


def _read(path: Path, run: Facts) -> dict[str, Facts]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise StateError(f"{path}: cannot be read as JSON ({error}); delete it and start again") from None
    if not isinstance(found, dict) or found.get("version") != FORMAT_VERSION or not _is_results(found.get("results")):
        raise StateError(f"{path}: no state of version {FORMAT_VERSION} of this study; name another file with --state, or delete it")
    if differing := _differing(found.get("run"), run):
        raise StateError(f"{path}: of another run ({'; '.join(differing)}); repeat its options, or delete it and start again")
    results: dict[str, Facts] = found["results"]
    try:
        for key, result in results.items():
            result_of(key, result)
    except NoResultError as error:
        raise StateError(f"{path}: damaged ({error}); delete it and start again") from None
    return results


def _is_results(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(result, dict) for result in value.values())


def _differing(theirs: Any, ours: Facts) -> Iterable[str]:
    if not isinstance(theirs, dict):
        return ["it does not say which"]
    return [f"{name}: {theirs.get(name)!r} there, {value!r} here" for name, value in ours.items() if theirs.get(name) != value]
