"""Code from outside, called so that nothing it does ends the run: what it raises, returns or never finishes becomes a reason.

The subject may do anything: raise, call ``exit``, return None, loop for ever. Each of these is a fact about the subject and ends as a verdict with
the reason; the other checks go on.
"""

from __future__ import annotations

import gc
import inspect
import io
import os
import random
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn

import numpy as np

from crosscheck.core.files import shown
from crosscheck.core.precision import Array

_OWN = Path(__file__).parent.parent
_AGAIN = 0.1
"""Seconds until the signal is sent again."""


class SubjectError(Exception):
    """The subject did not do what was asked of it.

    Parameters
    ----------
    reason : str
        In words, for the report.
    found : mapping of str to array, optional
        The quantities that it had computed before.
    """

    def __init__(self, reason: str, found: Mapping[str, Array] | None = None) -> None:
        self.reason, self.found = printable(reason), dict(found or {})
        super().__init__(self.reason)


_running: ContextVar[bool] = ContextVar("running", default=False)
"""Whether the subject's own code is running."""

_silent: ContextVar[bool] = ContextVar("silent", default=False)
"""Whether floating-point warnings are silenced already."""

_deadline: ContextVar[float] = ContextVar("deadline", default=float("inf"))
"""When the subject has to have ended, by the monotonic clock."""


class TimeLimitError(BaseException):
    """The subject was stopped; no ``Exception``, so that the subject's own handlers do not catch it."""


class Printed(io.StringIO):
    """What the subject wrote to standard output and error; closing it does nothing, for the subject may close what it thinks is the terminal."""

    def close(self) -> None:
        """Do nothing."""

    @property
    def note(self) -> str:
        """What was written in one line, its first words only; empty where nothing was."""
        return self.note_of("the subject")

    def note_of(self, who: str) -> str:
        """Return the note with the name of who has written."""
        lines = [line for line in self.getvalue().splitlines() if line.strip()]
        count = f"{len(lines):,} lines, the first" if len(lines) > 1 else "a line"
        return f"{who} printed {count}: {lines[0].strip()[:120]!r}" if lines else ""


def _refused_exit(status: int) -> NoReturn:
    """Stand in for ``os._exit``, which would end the run with a status of the subject's and no word said."""
    raise SystemExit(status)


@contextmanager
def own_surroundings(seed: int) -> Iterator[Printed]:
    """Give the subject an output, random numbers and floating-point settings of its own, and put back what it finds.

    What it prints is caught, so that it cannot mix with a report; text that compiled code writes past ``sys.stdout`` is not. The global random
    generators start from the seed, so that a subject that uses them does the same in every run. Nor can it leave
    the program or the working directory.
    """
    numpy_state, state = np.random.get_state(), random.getstate()  # noqa: NPY002 - the global generator is what the subject may use
    printed, here, leave = Printed(), Path.cwd(), os._exit
    os._exit = _refused_exit
    try:
        # NumPy's own defaults, whatever the subject's module has set when it was imported.
        with redirect_stdout(printed), redirect_stderr(printed), np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield printed
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(state)
        os._exit = leave
        os.chdir(here)


@contextmanager
def silenced() -> Iterator[None]:
    """Silence the warnings of this block, those of floating-point operations as well.

    Around several blocks in which the subject is called, so that each of them need not do it: they take most of their time for it.
    """
    before = _silent.set(True)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        _silent.reset(before)


class contained:  # noqa: N801 - it reads as what it is
    """Turn whatever the subject raises in this block into a :class:`SubjectError`; its floating-point warnings are silenced.

    Parameters
    ----------
    what : str
        What was called, such as ``"forward"``.
    """

    # No generator: a layer is called in five such blocks, and difference quotients call small ones some ten thousand times.
    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        if time.monotonic() > _deadline.get():
            raise TimeLimitError
        self._silenced = None if _silent.get() else silenced()
        if self._silenced is not None:
            self._silenced.__enter__()
        self._before = _running.set(True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _running.reset(self._before)
        if self._silenced is not None:
            self._silenced.__exit__(None, None, None)
        if error is not None and not isinstance(error, SubjectError | TimeLimitError | KeyboardInterrupt):
            # Whatever else it is, it is the subject's: sys.exit and a test framework's skip, too.
            raise SubjectError(f"{self._what} raised {said(error)}{where(error)}") from error


def said(error: BaseException) -> str:
    """Return an exception in one line: its class and, as far as it can be had, its message."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "its message cannot be had"
    return printable(f"{type(error).__name__}: {text}" if text else type(error).__name__)[:500]


def printable(text: str) -> str:
    """Return a text without anything that no terminal or file should be given: lone surrogates and control characters are shown as escapes."""
    shown = "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
    return shown.encode("utf-8", "backslashreplace").decode()


def where(error: BaseException) -> str:
    """Return the innermost line of the subject's own code that an error passed through, as `` (file:line, function)``; empty where there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if not Path(f.filename).is_relative_to(_OWN) and "site-packages" not in f.filename and not f.filename.startswith("<")]
    if not theirs:
        return ""
    last = theirs[-1]
    return f" ({shown(Path(last.filename))}:{last.lineno}, {last.name})"


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop the block with a :class:`TimeLimitError` when it runs longer; 0 means no limit.

    A timer signal does it, which also ends a sleep; it is sent again and again, for code that swallows it once. It strikes the subject alone: a
    framework that is stopped while it imports a part of itself is broken ever after. Only when twice the time and ten seconds are over is whatever
    runs stopped. It works in the main thread of systems with such signals; elsewhere there is no limit. An alarm that somebody else had set is set
    again for the time that is left of it.
    """
    if not seconds or not can_limit():
        yield
        return

    started, collecting = time.monotonic(), False

    def collects(phase: str, info: dict[str, int]) -> None:
        nonlocal collecting
        collecting = phase == "start"

    def stop(number: int, frame: FrameType | None) -> None:
        # Raised in code that the garbage collector calls it would be swallowed, and said so on stderr; the next signal comes soon.
        callbacks = [getattr(callback, "__code__", None) for callback in gc.callbacks]
        if collecting or (frame is not None and frame.f_code in callbacks):
            return
        if _running.get() or time.monotonic() - started > 2 * seconds + 10:
            raise TimeLimitError

    before, deadline, running = signal.signal(signal.SIGALRM, stop), _deadline.set(started + seconds), _running.get()
    gc.callbacks.append(collects)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        # It may have struck just before the block in which the subject runs was entered, which then was not left.
        _running.set(running)
        gc.callbacks.remove(collects)
        signal.signal(signal.SIGALRM, before)
        _deadline.reset(deadline)
        if left:
            soon = 1e-3  # an alarm that is due already must not be set to 0, which means none
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), soon), interval)


def can_limit() -> bool:
    """Return whether a time limit can be kept here."""
    return hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()


def as_array(value: Any, what: str, dtype: np.dtype[Any]) -> Array:
    """Return what the subject returned as an array.

    Parameters
    ----------
    value : object
        An array, or for a loss a number; a plain Python number is taken to be in the precision asked for.
    what : str
        Its name.
    dtype : numpy.dtype
        The precision asked for.

    Raises
    ------
    SubjectError
        If it is neither.
    """
    if np.ma.is_masked(value):
        raise SubjectError(f"{what} is a masked array with elements left out, expected all of them")
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.kind not in "fiu" and not array.dtype.kind == dtype.kind == "c":
            raise SubjectError(f"{what} is an array of dtype {array.dtype}, expected {dtype}")
        return array
    if isinstance(value, float | int) and not isinstance(value, bool):
        return np.asarray(value, dtype)
    if value is None:
        raise SubjectError(f"{what} is None: nothing was returned or stored")
    length = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    raise SubjectError(f"{what} is a {type(value).__name__}{length}, expected an array")


def source(function: Callable[..., Any]) -> str:
    """Return ``file:line, name`` of a function's definition, the file relative to the working directory where it lies below it."""
    function = inspect.unwrap(function)
    try:
        path, (_, line) = Path(inspect.getfile(function)), inspect.getsourcelines(function)
    except (OSError, TypeError):
        return str(getattr(function, "__qualname__", type(function).__qualname__))
    return f"{shown(path)}:{line}, {function.__qualname__}"
