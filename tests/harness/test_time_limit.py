"""Time limits: kept wherever the signal happens to arrive."""

from __future__ import annotations

import gc
import time

import pytest

from crosscheck.containment import TimeLimitError, time_limit


def test_signal_during_garbage_collection_is_not_lost() -> None:
    """What a callback of the collector raises is swallowed and becomes a warning, an error here."""
    arrived: list[str] = []

    def slow(phase: str, info: dict[str, int]) -> None:
        end = time.monotonic() + 0.3
        while not arrived and time.monotonic() < end:
            pass
        arrived.append(phase)

    def collects() -> None:
        gc.collect()
        time.sleep(5)

    gc.callbacks.append(slow)
    try:
        with pytest.raises(TimeLimitError), time_limit(0.1):
            collects()
    finally:
        gc.callbacks.remove(slow)
    assert arrived
