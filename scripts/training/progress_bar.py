"""The progress bar of a training: steps done, time taken, time left."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def progress_bar(console: Console, words: str, *more: ProgressColumn) -> Progress:
    """Return a progress bar that vanishes at the end, with ``words`` before the bar and ``more`` columns after the number of steps."""
    counts = TextColumn(words), BarColumn(), MofNCompleteColumn(), TextColumn("steps")
    times = TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
    return Progress(*counts, *more, *times, console=console, transient=True)
