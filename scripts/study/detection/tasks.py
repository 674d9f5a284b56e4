"""The study in tasks: each is about one fault, one right implementation or one batch of them, runs anywhere, and ends in plain data.

A result does not depend on what ran before it or beside it, so that a run that was interrupted goes on with the tasks that are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crosscheck.core.judge import Facts

if TYPE_CHECKING:
    from study.detection.alarms_found import Chunk
    from tests.support.faults import Fault, Host


class NoFaultError(ValueError):
    """No fault has the name that was asked for."""


@dataclass(frozen=True)
class Task:
    """A piece of the study.

    Attributes
    ----------
    kind : str
        ``"fault"`` or ``"host"``: what the harness says; ``"fault-rivals"`` or ``"host-rivals"``: what other rules say; ``"ablation"``: whether a
        fault is seen without parts of the checks; ``"alarms"``: a batch of right implementations.
    name : str
        Of the fault or the right implementation, what is in the batch.
    seed : int
    quick : bool
        Whether a fault is checked up to the first check that sees it, and rivals get one family of inputs alone, gradcheck the smallest of these.
    chunk : Chunk, optional
        The batch.
    """

    kind: str
    name: str
    seed: int
    quick: bool = False
    chunk: Chunk | None = None

    @property
    def key(self) -> str:
        """What the result is kept under."""
        return f"{self.kind}:{self.name}"


def planned(faults: Sequence[Fault], hosts: Sequence[Host], chunks: Sequence[Chunk], seed: int, quick: bool) -> list[Task]:
    """Return everything that there is to do, in the order in which it tells most.

    Parameters
    ----------
    faults : sequence of Fault
    hosts : sequence of Host
        The right implementations that these are planted in.
    chunks : sequence of Chunk
        Batches of right implementations besides.
    seed : int
    quick : bool
        Whether to do no more than tells what is detected, where and why, and what rivals say about one family of inputs.
    """
    return [
        *(Task("fault", fault.name, seed, quick) for fault in faults),
        *(Task("host", host.name, seed) for host in hosts),
        *(Task("ablation", fault.name, seed) for fault in faults if not quick),
        *(Task("host-rivals", host.name, seed, quick) for host in hosts),
        *(Task("fault-rivals", fault.name, seed, quick) for fault in faults),
        *(Task("alarms", str(chunk), seed, quick, chunk) for chunk in chunks),
    ]


def run(task: Task) -> Facts:
    """Carry out a task and return its result."""
    from study.detection.work import KINDS  # noqa: PLC0415 - frameworks are imported only by processes that compute

    return KINDS[task.kind](task)
