"""The tasks of the study: each is about one fault, one right implementation or one batch of them, and returns plain data.

A result does not depend on which tasks ran before it or at the same time, so an interrupted run continues with the tasks that are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crosscheck.core.judge import Facts
from study.workers import Setting

if TYPE_CHECKING:
    from study.detection.alarms_found import Chunk
    from tests.support.faults import Fault, Host


@dataclass(frozen=True)
class Task:
    """A piece of the study."""

    # ``"fault"``, ``"host"``: judge a fault, or a right implementation, with crosscheck; ``"fault-rivals"``, ``"host-rivals"``: judge it with other
    # tools' rules; ``"ablation"``: judge a fault without parts of the checks; ``"alarms"``: judge a batch of right implementations
    kind: str
    name: str  # the name of the fault or the right implementation, or the description of the batch
    seed: int
    # stop at the first check that detects the fault; give other rules only one family of inputs, and gradcheck only the smallest of these
    quick: bool = False
    chunk: Chunk | None = None  # the batch of right implementations, for ``"alarms"``

    @property
    def key(self) -> str:
        """The name of the task's result."""
        return f"{self.kind}:{self.name}"


def planned(faults: Sequence[Fault], hosts: Sequence[Host], chunks: Sequence[Chunk], seed: int, quick: bool) -> list[Task]:
    """Return all tasks; the tasks with the most important results come first.

    The hosts are the right implementations in which the faults are planted; the chunks are batches of others. A quick study leaves out the ablation
    and gives other rules one family of inputs.
    """
    return [
        *(Task("fault", fault.name, seed, quick) for fault in faults),
        *(Task("host", host.name, seed) for host in hosts),
        *(Task("ablation", fault.name, seed) for fault in faults if not quick),
        *(Task("host-rivals", host.name, seed, quick) for host in hosts),
        *(Task("fault-rivals", fault.name, seed, quick) for fault in faults),
        *(Task("alarms", str(chunk), seed, quick, chunk) for chunk in chunks),
    ]


def setting(task: Task) -> Setting:
    """Return the setting with which a task's process is started."""
    from study.detection import alarms  # noqa: PLC0415 - the planning of batches has imported it already

    return Setting() if task.chunk is None else alarms.setting(task.chunk)


def run(task: Task) -> Facts:
    """Carry out a task and return its result."""
    from study.detection.work import KINDS  # noqa: PLC0415 - only processes that compute import frameworks

    return KINDS[task.kind](task)
