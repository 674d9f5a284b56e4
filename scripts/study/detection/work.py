"""The functions that carry out each kind of task. Importing this module imports the catalogue and PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from fnmatch import fnmatchcase

import numpy as np
import torch

from crosscheck.checks import Settings
from crosscheck.core.guard import own_surroundings
from crosscheck.core.judge import Facts, Verdict
from crosscheck.pairs.declaration import Declaration
from crosscheck.pairs.pair import Pair
from crosscheck.pairs.prepare import prepare
from crosscheck.run.check import check_pair
from crosscheck.run.cli import UsageError
from study.detection.ablation import RERUNS, seen_by_rerun
from study.detection.inputs import calls, compared, families_of
from study.detection.rivals import GRADCHECK, RULES, Compared, right_gradients
from study.detection.tasks import Task
from tests.support.faults import FAULTS, Fault, Host
from tests.support.faults.outcome import first_outcome_of, outcome_of

torch.set_num_threads(1)  # the arrays of a check are far too small for more

ALL_ONES, RANDOM = "all-ones", "random"
COTANGENTS = (ALL_ONES, RANDOM)


APART = "sizes-"
"""Faults that only derived sizes show: they are taken if a pattern names them. That they are seen is tested with each of them; what explains them is
often true of one derived size alone."""


def selected(pattern: str) -> list[Fault]:
    """Return the faults whose names match a pattern, or all faults if it is empty; raise UsageError if none matches."""
    found = [fault for name, fault in FAULTS.items() if (fnmatchcase(name, pattern) if pattern else not name.startswith(APART))]
    if not found:
        raise UsageError(f"--faults {pattern}: no fault of tests/support/faults has such a name; there are {', '.join(FAULTS)}")
    return found


def hosts_of(faults: list[Fault]) -> list[Host]:
    """Return the right implementations in which faults are planted, each once."""
    return list({fault.host.name: fault.host for fault in faults}.values())


def _host(task: Task) -> Facts:
    result = check_pair(_right(task.name), Settings(seed=task.seed, shrink=False))
    verdicts = [judgement.verdict for one in result.results for _, judgement in one.judgements]
    compared = [verdict for verdict in verdicts if verdict in (Verdict.MATCH, Verdict.MISMATCH)]
    wrong = [f"{one.check}: {one.reason or 'differs'}" for one in result.results if one.counted is Verdict.MISMATCH]
    return {"verdict": str(result.verdict), "quantities": len(compared), "alarms": wrong, "words": result.error}


def _right(name: str) -> Declaration:
    """Return the pair of a right implementation and its reference."""
    host = next(host for host in hosts_of(list(FAULTS.values())) if host.name == name)
    return host.pair(host.right)


def _rivals(make: Callable[[], Declaration], task: Task) -> Facts:
    """Return how many quantities each rule judged and how many it rejected, by upstream gradient and family."""
    families = families_of(make())[: 1 if task.quick else None]
    found = {rule: {cotangent: {family: [0, 0] for family in families} for cotangent in COTANGENTS} for rule in (*RULES, GRADCHECK)}
    for cotangent in COTANGENTS:
        for family in families:
            with own_surroundings(task.seed):
                for rule, right in _answers(make(), family, cotangent == ALL_ONES, task.seed):
                    _count(found[rule][cotangent][family], right)
                # gradcheck is slow: if it rejects a fault on the first family, it does not get the other families.
                if task.kind == "host-rivals" or not found[GRADCHECK][cotangent][families[0]][1]:
                    for right in _gradchecks(make(), family, cotangent == ALL_ONES, task):
                        _count(found[GRADCHECK][cotangent][family], right)
    return {"counts": found}


def _count(counts: list[int], right: bool) -> None:
    counts[:] = counts[0] + 1, counts[1] + (not right)


def _answers(pair: Declaration, family: str, summed: bool, seed: int) -> Iterator[tuple[str, bool]]:
    """Yield, for each quantity, the name of each rule and whether the rule accepts the quantity."""
    for one in compared(pair, family, summed, seed):
        yield from ((name, rule.takes_for_right(one)) for name, rule in RULES.items() if rule.applies(one))


def _gradchecks(pair: Declaration, family: str, summed: bool, task: Task) -> Iterator[bool]:
    """Yield whether gradcheck accepts each call of a layer; nothing for optimizers and models, which it cannot judge."""
    if isinstance(pair, Pair) and "float64" in pair.dtypes:
        found = sorted(calls(prepare(pair), family, "float64", summed, task.seed), key=lambda call: call.x.size)
        for call in found[: 1 if task.quick else None]:
            yield right_gradients(prepare(pair).layer, call, summed, fast=task.quick or family != "normal")


def _alarms(task: Task) -> Facts:
    """Judge a batch of right implementations with crosscheck, and if it is a task's first batch, with the rules of other tools as well."""
    from study.detection.alarms import DEFAULT, compared_in, run_here  # noqa: PLC0415 - other tasks need none of these implementations

    assert task.chunk is not None
    found = run_here(task.chunk)
    rules = {name: [0, 0] for name in RULES}
    for one in compared_in(task.chunk) if task.chunk.environment == DEFAULT and not task.chunk.first else ():
        if np.isfinite(one.reference).all():
            as_given = Compared(one.quantity, one.found, one.reference, one.exact)
            for name, rule in RULES.items():
                if rule.applies(as_given):
                    _count(rules[name], rule.takes_for_right(as_given))
    largest = max((reached.largest for reached in found.reached.values()), default=0.0)
    counts = {"quantities": found.quantities, "measured": found.measured, "elements": found.elements, "ways": list(found.ways)}
    counts["reasons"] = found.reasons
    return {**counts, "alarms": found.alarms, "largest": largest if np.isfinite(largest) else None, "rules": rules}


KINDS: Mapping[str, Callable[[Task], Facts]] = {
    "fault": lambda task: asdict((first_outcome_of if task.quick else outcome_of)(FAULTS[task.name], task.seed)),
    "host": _host,
    "ablation": lambda task: {"seen": {part: seen_by_rerun(part, FAULTS[task.name].pair, task.seed) for part in RERUNS}},
    "fault-rivals": lambda task: _rivals(FAULTS[task.name].pair, task),
    "alarms": _alarms,
    "host-rivals": lambda task: _rivals(lambda: _right(task.name), task),
}
