"""What each part of the design contributes: which faults are still detected without this part.

If the part is a check, or a kind of inputs with its own checks, the verdicts of the other checks are enough to know. If the part is inside the
checks, the checks are run again without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Any

from crosscheck.checks import Check, Settings, checks_of
from crosscheck.core.arguments import Case
from crosscheck.core.inputs import FAMILIES, Family
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import Call, Shape
from crosscheck.pairs.declaration import Declaration
from crosscheck.pairs.model_pair import ModelPair
from crosscheck.pairs.optimizer_pair import OptimizerPair
from crosscheck.pairs.pair import Pair
from crosscheck.pairs.prepare import prepare
from crosscheck.pairs.prepared import Prepared
from crosscheck.pairs.sizes import Derived
from crosscheck.run.check import run_check
from study.detection.inputs import all_ones

LEFT_OUT: Mapping[str, tuple[str, ...]] = {
    **{f"without the family {name}": (f"*-{name}",) for name in FAMILIES},
    "without the float64 pass": ("*-float64", "*-float64-*"),
    "without float32": ("*-float32", "*-float32-*"),
    "without contracts": ("contract-*",),
    "without evaluation mode": ("evaluation-*",),
    "without the free run": ("freerun-*",),
}
"""The parts that consist of whole checks, each with patterns of the checks' names."""


@dataclass(frozen=True)
class Rerun:
    """How to run the checks without a part that is inside them."""

    applies: Callable[[Declaration], bool]  # whether a pair has this part
    without: Callable[[Declaration], tuple[Declaration, list[Check]]]  # returns a pair and its checks without this part


@dataclass(frozen=True)
class SummedCalls(Prepared):
    """A prepared pair whose upstream gradients are all ones."""

    def call(self, case: Case | Shape, family: Family, *given: Any, **named: Any) -> Call:
        """Return the pair's call with an upstream gradient of all ones."""
        return super().call(case, all_ones(family), *given, **named)


def _summed(prepared: Prepared) -> Prepared:
    return SummedCalls(**{field.name: getattr(prepared, field.name) for field in fields(prepared)})


def _changing(change: Callable[[Any], Any], without: str = "") -> Callable[[Declaration], tuple[Declaration, list[Check]]]:
    """Return a function from a pair to the pair and its checks, which first change the prepared pair; ``without`` names a check to leave out."""

    def changed(check: Check) -> Check:
        return replace(check, run=lambda prepared, settings: check.run(change(prepared), settings))

    return lambda pair: (pair, [changed(check) for check in checks_of(pair) if check.name != without])


def _one_step(pair: Declaration) -> tuple[Declaration, list[Check]]:
    assert isinstance(pair, OptimizerPair | ModelPair)
    short = replace(pair, steps=1)
    return short, checks_of(short)


MANY = "contract-many_samples_work"
"""The check that runs a batch size that the pair does not declare."""

RERUNS: Mapping[str, Rerun] = {
    "all ones for the random cotangent": Rerun(lambda pair: isinstance(pair, Pair), _changing(_summed)),
    "without derived sizes": Rerun(
        lambda pair: isinstance(pair, Pair) and bool(prepare(pair).derived), _changing(lambda prepared: replace(prepared, sizes=Derived()), MANY)
    ),
    "one shape only": Rerun(
        lambda pair: isinstance(pair, Pair) and len(prepare(pair).cases) > 1,
        _changing(lambda prepared: replace(prepared, cases=prepared.cases[:1])),
    ),
    "one step only": Rerun(lambda pair: isinstance(pair, OptimizerPair | ModelPair) and pair.steps > 1, _one_step),
}
"""The parts that are inside the checks, each with how to leave it out."""

ABLATIONS = (*LEFT_OUT, *RERUNS)


def seen_without(part: str, verdicts: Mapping[str, str]) -> bool:
    """Return whether any check outside a part of :data:`LEFT_OUT` detects a fault; ``verdicts`` has the verdict of each check."""
    return any(
        verdict == Verdict.MISMATCH and not any(fnmatchcase(check, pattern) for pattern in LEFT_OUT[part]) for check, verdict in verdicts.items()
    )


def seen_by_rerun(part: str, make: Callable[[], Declaration], seed: int) -> bool | None:
    """Return whether a fault is detected without a part of :data:`RERUNS`; None if the pair that ``make`` returns does not have this part."""
    pair = make()
    if not RERUNS[part].applies(pair):
        return None
    pair, checks = RERUNS[part].without(pair)
    settings = Settings(seed=seed, shrink=False)
    return any(run_check(pair, check, settings).counted is Verdict.MISMATCH for check in checks)
