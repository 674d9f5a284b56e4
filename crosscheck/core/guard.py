"""Guarded calls of the subject, so that nothing that its code does can end the run.

The subject may raise, call ``exit``, return None or loop for ever. Each of these becomes a verdict with a reason, and the other checks go on.
"""

from __future__ import annotations

import gc
import inspect
import io
import os
import random
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np

from crosscheck.core.files import shown
from crosscheck.core.precision import Array

_OWN = Path(__file__).parent.parent
_AGAIN = 0.1
"""Seconds between repetitions of the signal that stops the subject."""


class SubjectError(Exception):
    """The subject failed, or returned something unusable.

    Parameters
    ----------
    reason : str
        A sentence for the report.
    found : mapping of str to array, optional
        The quantities that the subject computed before it failed.
    """

    def __init__(self, reason: str, found: Mapping[str, Array] | None = None) -> None:
        self.reason, self.found = printable(reason), dict(found or {})
        super().__init__(self.reason)


_running: ContextVar[bool] = ContextVar("running", default=False)
"""Whether the subject's own code is running."""

_silent: ContextVar[bool] = ContextVar("silent", default=False)
"""Whether warnings are silenced already."""

_deadline: ContextVar[float] = ContextVar("deadline", default=float("inf"))
"""The time, on the monotonic clock, at which the subject's time is up."""


class TimeLimitError(BaseException):
    """The subject exceeded its time limit. This is not an ``Exception``, so that the subject's own ``except Exception`` does not catch it."""


class Printed(io.StringIO):
    """The text that the subject wrote to standard output and error. ``close`` does nothing, because the subject may close ``sys.stdout``."""

    def close(self) -> None:
        """Do nothing."""

    def note(self, who: str = "your code") -> str:
        """Return a sentence that says how many lines the code printed and quotes the first; empty if the code printed nothing."""
        lines = [line for line in self.getvalue().splitlines() if line.strip()]
        count = f"{len(lines):,} lines, the first" if len(lines) > 1 else "a line"
        return f"{who} printed {count}: {lines[0].strip()[:120]!r}" if lines else ""


@contextmanager
def own_surroundings(seed: int) -> Iterator[Printed]:
    """Isolate the subject's output, global random generators and floating-point settings, and restore everything after the block.

    Printed text is collected, so that it does not mix with a report; text that compiled code writes without ``sys.stdout`` is not caught. The global
    random generators start from the seed, so that a subject that uses them does the same in every run. The subject cannot end the program, and the
    working directory is restored.
    """
    numpy_state, state = np.random.get_state(), random.getstate()  # noqa: NPY002 - the global generator is what the subject may use
    printed, here, leave = Printed(), Path.cwd(), os._exit
    # The original would end the run with the subject's status and without a message.
    os._exit = sys.exit  # type: ignore[assignment]
    try:
        # NumPy's defaults, even if the subject's module changed them when it was imported.
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
    """Silence all warnings in this block, including those of floating-point operations.

    Inside it, :class:`contained` blocks do not silence warnings themselves, which otherwise takes most of their time.
    """
    before = _silent.set(True)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        _silent.reset(before)


class contained:  # noqa: N801 - used like a function
    """Turn every exception that the subject raises in this block into a :class:`SubjectError`, and silence its warnings.

    Parameters
    ----------
    what : str
        The name of the call for the error message, such as ``"forward"``.
    """

    # A class is faster than a generator; each call of a layer uses five of these blocks, and difference quotients need some ten thousand calls.
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
            # Everything else comes from the subject, including sys.exit and a test framework's skip.
            raise SubjectError(f"{self._what} raised {said(error)}{where(error)}") from error


def said(error: BaseException) -> str:
    """Return a line that describes an exception: its class and, if it can be read, its message."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "its message cannot be read"
    return printable(f"{type(error).__name__}: {text}" if text else type(error).__name__)[:500]


def printable(text: str) -> str:
    """Return a text that every terminal can show and every file can store: lone surrogates and control characters become escapes."""
    shown = "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
    return shown.encode("utf-8", "backslashreplace").decode()


def where(error: BaseException) -> str:
    """Return the place in the subject's code where an error was raised, as `` (file:line, function)``; empty if its code is not in the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if not Path(f.filename).is_relative_to(_OWN) and "site-packages" not in f.filename and not f.filename.startswith("<")]
    if not theirs:
        return ""
    last = theirs[-1]
    return f" ({shown(Path(last.filename))}:{last.lineno}, {last.name})"


@dataclass
class _Limit:
    """A block with a time limit. An exception in code that the garbage collector calls would be printed and lost: signals wait for its end."""

    seconds: float
    keyboard: Any  # what handles an interrupt from the keyboard outside the block
    started: float = field(default_factory=time.monotonic)
    collecting: bool = False
    interrupted: bool = False

    def collects(self, phase: str, info: dict[str, int]) -> None:
        """Note, as a callback of the collector, whether it is at work."""
        self.collecting = phase == "start"

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal of the timer; if it is too early, the next one comes soon."""
        if self._is_collecting(frame):
            return
        if self.interrupted:
            raise KeyboardInterrupt
        if _running.get() or time.monotonic() - self.started > 2 * self.seconds + 10:
            raise TimeLimitError

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Handle an interrupt from the keyboard; if it is too early, leave it to the timer."""
        if self._is_collecting(frame):
            self.interrupted = True
            signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
        else:
            self.keyboard(number, frame)

    def _is_collecting(self, frame: FrameType | None) -> bool:
        callbacks = [getattr(callback, "__code__", None) for callback in gc.callbacks]
        return self.collecting or (frame is not None and frame.f_code in callbacks)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop the block with a :class:`TimeLimitError` if it takes longer than this; 0 means no limit.

    A timer signal stops the block, even during a sleep. The signal is repeated, because code may catch the first one. At first only the subject's
    code is stopped, because a framework that is interrupted during an import stays broken; after twice the time plus ten seconds, any code is.
    The limit works only in the main thread, on systems with such signals. An earlier alarm is set again afterwards, for the rest of its time.
    """
    if not seconds or not can_limit():
        yield
        return

    limit = _Limit(seconds, signal.getsignal(signal.SIGINT))
    before, deadline, running = signal.signal(signal.SIGALRM, limit.stop), _deadline.set(limit.started + seconds), _running.get()
    gc.callbacks.append(limit.collects)
    if callable(limit.keyboard):  # otherwise it is ignored, or ends the process
        signal.signal(signal.SIGINT, limit.interrupt)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        # If the signal came while a contained block was being entered, its __exit__ did not run.
        _running.set(running)
        gc.callbacks.remove(limit.collects)
        signal.signal(signal.SIGALRM, before)
        if callable(limit.keyboard):
            signal.signal(signal.SIGINT, limit.keyboard)
        _deadline.reset(deadline)
        if left:
            soon = 1e-3  # an alarm that is due must not be set to 0, which means no alarm
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - limit.started), soon), interval)


@contextmanager
def part_of_the_time(share: float) -> Iterator[None]:
    """Stop the block with a :class:`TimeLimitError` after a share of the time that is left, if there is a limit."""
    left = _deadline.get() - time.monotonic()
    with time_limit(max(left * share, 1e-3) if left < float("inf") else 0):
        yield


def can_limit() -> bool:
    """Return whether a time limit works here."""
    return hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()


def as_array(value: Any, what: str, dtype: np.dtype[Any]) -> Array:
    """Return a value that the subject returned or stored as an array.

    Parameters
    ----------
    value : object
        An array, or a number such as a loss.
    what : str
        The value's name for the error message.
    dtype : numpy.dtype
        The expected precision; a plain Python number is converted to it.

    Raises
    ------
    SubjectError
        If the value is neither an array of real numbers nor a number.
    """
    if np.ma.is_masked(value):
        raise SubjectError(f"{what} is a masked array with masked elements, expected an array with all elements")
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


def as_whole_numbers(value: Any, what: str, dtype: np.dtype[Any]) -> Array:
    """Return whole numbers or booleans that the subject returned, exactly, in a precision in which they can be compared.

    Raises
    ------
    SubjectError
        If the value holds other numbers.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "biu":
        found = f"an array of dtype {array.dtype}" if array.dtype != object else f"a {type(value).__name__}"
        raise SubjectError(f"{what} is {found}, expected whole numbers")
    return array.astype(dtype)


def source(function: Callable[..., Any]) -> str:
    """Return ``file:line, name`` of a function's definition; the file is relative to the working directory if it is inside."""
    function = inspect.unwrap(function)
    try:
        path, (_, line) = Path(inspect.getfile(function)), inspect.getsourcelines(function)
    except (OSError, TypeError):
        return str(getattr(function, "__qualname__", type(function).__qualname__))
    return f"{shown(path)}:{line}, {function.__qualname__}"
