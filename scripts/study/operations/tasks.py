"""The tasks of the study of the test database: one task lists the operations, and each other task tries one operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from crosscheck.core.judge import Facts
from crosscheck.run.cli import UsageError
from study.workers import FAILED

STUDY = "operations"
"""The name of this study in its facts."""

NAMES = "operations"
"""The key of the task that lists the operations."""

QUICK = (
    "add",
    "cumsum",
    "exp",
    "log_softmax",
    "mm",
    "nn.functional.conv2d",
    "nn.functional.layer_norm",
    "nn.functional.softplus",
    "sparse.mm.reduce",
    "std",
)
"""The operations of a quick run: elementary ones, sums, some with a decomposition, and one that is refused. JAX has a version of most."""


class NoDatabaseError(UsageError):
    """The test database cannot be imported; the message says why, and what to do."""


@dataclass(frozen=True)
class OperationTask:
    """A piece of the study."""

    name: str  # of the operation; empty for the task that lists all of them
    seed: int

    @property
    def key(self) -> str:
        """The name of the task's result."""
        return f"operation:{self.name}" if self.name else NAMES


def run(task: OperationTask) -> Facts:
    """Carry out a task and return its result."""
    from study.operations.work import run as carried_out  # noqa: PLC0415 - only processes that compute import the database

    return carried_out(task)


def planned(names: Sequence[str], pattern: str, seed: int) -> list[OperationTask]:
    """Return a task for each operation whose name matches a pattern; raise UsageError if none matches."""
    found = [OperationTask(name, seed) for name in names if fnmatchcase(name, pattern)]
    if not found:
        raise UsageError(
            f"--operations {pattern}: no differentiable operation of PyTorch's test database has such a name; there are {', '.join(names)}"
        )
    return found


def expect_database(results: dict[str, Facts]) -> None:
    """Raise NoDatabaseError if a task failed because the database is missing; remove the results of such tasks, so that a run can continue."""
    start = f"{NoDatabaseError.__name__}: "
    failed = {key: str(result[FAILED]) for key, result in results.items() if str(result.get(FAILED, "")).startswith(start)}
    for key in failed:
        del results[key]
    if failed:
        raise NoDatabaseError(next(iter(failed.values())).removeprefix(start))
