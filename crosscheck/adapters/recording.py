"""Listening to a subject's own training step: its methods are wrapped for one step, called by nobody but the subject, and put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

Method = Callable[..., Any]


@contextmanager
def wrapped(owner: object, name: str, around: Callable[[Method], Method]) -> Iterator[None]:
    """Replace a method of one object by ``around(method)`` until the block ends."""
    method = getattr(owner, name)
    setattr(owner, name, around(method))
    try:
        yield
    finally:
        delattr(owner, name)


@contextmanager
def all_wrapped(*wrappings: tuple[object, str, Callable[[Method], Method]]) -> Iterator[None]:
    """Replace several methods until the block ends."""
    with ExitStack() as stack:
        for owner, name, around in wrappings:
            stack.enter_context(wrapped(owner, name, around))
        yield
