"""Code from outside, called so that nothing it does ends the run: what it raises, returns or never finishes becomes a reason.

The subject may do anything: raise, call ``exit``, return None, loop for ever. Each of these is a fact about the subject and ends as a verdict with
the reason; the other checks go on.
"""

from __future__ import annotations

import gc
import signal
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from crosscheck.arithmetic import Array

_OWN = Path(__file__).parent


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
        super().__init__(reason)
        self.reason, self.found = reason, dict(found or {})


class TimeLimitError(BaseException):
    """The subject was stopped; no ``Exception``, so that the subject's own handlers do not catch it."""


@contextmanager
def contained(what: str) -> Iterator[None]:
    """Turn whatever the subject raises in this block into a :class:`SubjectError`; its floating-point warnings are silenced.

    Parameters
    ----------
    what : str
        What was called, such as ``"forward"``.
    """
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    except SubjectError:
        raise
    except (Exception, SystemExit) as error:  # whatever it is, it is the subject's
        text = " ".join(str(error).split())
        shown = f"{type(error).__name__}: {text}" if text else type(error).__name__
        raise SubjectError(f"{what} raised {shown[:500]}{where(error)}") from error


def where(error: BaseException) -> str:
    """Return the innermost line of the subject's own code that an error passed through, as `` (file:line, function)``; empty where there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if not Path(f.filename).is_relative_to(_OWN) and "site-packages" not in f.filename]
    if not theirs:
        return ""
    last, here = theirs[-1], Path.cwd()
    path = Path(last.filename)
    return f" ({path.relative_to(here) if path.is_relative_to(here) else path}:{last.lineno}, {last.name})"


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop the block with a :class:`TimeLimitError` when it runs longer; 0 means no limit.

    A timer signal does it, which also ends a sleep; it is sent again every second, for code that swallows it. It works in the main thread of systems
    with such signals; elsewhere there is no limit.
    """
    if not seconds or not can_limit():
        yield
        return

    collecting = False

    def collects(phase: str, info: dict[str, int]) -> None:
        nonlocal collecting
        collecting = phase == "start"

    def stop(number: int, frame: FrameType | None) -> None:
        # Raised in code that the garbage collector calls it would be swallowed, and said so on stderr; the next signal comes in a second.
        callbacks = [getattr(callback, "__code__", None) for callback in gc.callbacks]
        if not collecting and (frame is None or frame.f_code not in callbacks):
            raise TimeLimitError

    before = signal.signal(signal.SIGALRM, stop)
    gc.callbacks.append(collects)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.callbacks.remove(collects)
        signal.signal(signal.SIGALRM, before)


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
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.kind not in "fciu":
            raise SubjectError(f"{what} is an array of dtype {array.dtype}, expected {dtype}")
        return array
    if isinstance(value, float | int) and not isinstance(value, bool):
        return np.asarray(value, dtype)
    if value is None:
        raise SubjectError(f"{what} is None: nothing was returned or stored")
    length = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    raise SubjectError(f"{what} is a {type(value).__name__}{length}, expected an array")
