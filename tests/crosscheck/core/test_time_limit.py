"""Time limits: kept wherever the signal happens to arrive."""

from __future__ import annotations

import gc
import time

import pytest

from crosscheck.core.guard import TimeLimitError, contained, time_limit


def ends_after_collecting() -> None:
    """Collect garbage when the time is up, and go on."""

    def collects() -> None:
        gc.collect()
        time.sleep(5)

    with pytest.raises(TimeLimitError), time_limit(0.1), contained("forward"):
        collects()


def test_signal_in_a_callback_of_the_collector_is_not_lost() -> None:
    """What such a callback raises is swallowed and becomes a warning, an error here."""
    phases: list[str] = []

    def slow(phase: str, info: dict[str, int]) -> None:
        time.sleep(0 if phases else 0.3)
        phases.append(phase)

    gc.callbacks.append(slow)
    try:
        ends_after_collecting()
    finally:
        gc.callbacks.remove(slow)
    assert phases


def test_signal_in_a_finalizer_is_not_lost() -> None:
    finalized: list[bool] = []

    class Cyclic:
        """Refers to itself, so that only the collector finds it."""

        def __init__(self) -> None:
            self.own = self

        def __del__(self) -> None:
            time.sleep(0.3)
            finalized.append(True)

    Cyclic()
    ends_after_collecting()
    assert finalized == [True]
