"""The study of the test database in tasks: one names the operations, each other one tries one of them."""

from __future__ import annotations

from dataclasses import dataclass

from crosscheck.report.findings import Facts

NAMES = "operations"
"""The key of the task that names them."""


@dataclass(frozen=True)
class OperationTask:
    """A piece of the study.

    Attributes
    ----------
    name : str
        Of the operation; empty for the task that names all of them.
    seed : int
    """

    name: str
    seed: int

    @property
    def key(self) -> str:
        """What the result is kept under."""
        return f"operation:{self.name}" if self.name else NAMES


def run(task: OperationTask) -> Facts:
    """Carry out a task and return its result."""
    from detecting.operation_work import run as carried_out  # noqa: PLC0415 - the database is imported only by processes that compute

    return carried_out(task)
