"""The study of the test database in tasks: one names the operations, each other one tries one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from crosscheck.core.judge import Facts

STUDY = "operations"
"""What the facts of this study say that they are of."""

NAMES = "operations"
"""The key of the task that names them."""


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
"""The operations of a quick run: elementary ones, sums, what is taken apart, one that is refused; most have a version in JAX."""


class NoDatabaseError(RuntimeError):
    """The test database cannot be imported; the message says why, and what to do."""


class NoOperationError(ValueError):
    """No operation of the database has the name that was asked for."""


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
    from study.operations.work import run as carried_out  # noqa: PLC0415 - the database is imported only by processes that compute

    return carried_out(task)


def planned(names: Sequence[str], pattern: str, seed: int) -> list[OperationTask]:
    """Return a task for each operation that a pattern names.

    Raises
    ------
    NoOperationError
        If it names none.
    """
    found = [OperationTask(name, seed) for name in names if fnmatchcase(name, pattern)]
    if not found:
        raise NoOperationError(
            f"--operations {pattern}: no differentiable operation of PyTorch's test database has such a name; there are {', '.join(names)}"
        )
    return found


def expect_database(results: dict[str, Facts]) -> None:
    """Make sure that tasks did not fail for want of the database; their results are taken away, so that the run can be gone on with.

    Raises
    ------
    NoDatabaseError
    """
    start = f"{NoDatabaseError.__name__}: "
    failed = {key: str(result["failed"]) for key, result in results.items() if str(result.get("failed", "")).startswith(start)}
    for key in failed:
        del results[key]
    if failed:
        raise NoDatabaseError(next(iter(failed.values())).removeprefix(start))
