"""Every reference in PyTorch that the tests' tables declare, with a call of it: what has to have a graph of elementary steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import TypeGuard

import numpy as np

from crosscheck.core.check_layer import check_layer
from crosscheck.core.inputs import FAMILIES
from crosscheck.core.judge import Judgement, Verdict
from crosscheck.core.operation import Call, Oracle
from crosscheck.core.precision import Precision
from crosscheck.oracles.chain import Composite
from crosscheck.pairs.pair import Pair
from crosscheck.pairs.prepare import prepare
from crosscheck.references.pytorch.oracle import TorchOracle, oracle
from tests.support.faults import CATALOGUE
from tests.support.functions import ROWS
from tests.support.operation_cases import CASES
from tests.support.right_ways.task import LayerTask, Results, Task, Trial, Written
from tests.support.right_ways.tasks import tasks

Source = Callable[[int], tuple[Oracle, Call]]
"""Makes a reference and draws a call of it, with the same shapes for every seed."""


def differing(reference: Oracle, call: Call, results: Results) -> dict[str, Judgement]:
    """Return the judgements on results for a call that are no match, by quantity; they are judged as those of a user's code."""
    check = check_layer(Written(lambda call: results), reference, call, Precision(np.dtype(np.float64), 1_000_000), "graph")
    return {judgement.place.quantity: judgement for judgement in check.judgements if judgement.verdict is not Verdict.MATCH}


def _of_pair(pair: Pair, seed: int) -> tuple[Oracle, Call]:
    ready = prepare(pair)
    call = ready.call(ready.cases[0], FAMILIES["normal"], "float64", seed)
    if ready.dropped is not None:
        kept = np.random.default_rng(seed).random(call.x.shape) > ready.dropped
        call = replace(call, constants={**call.constants, "mask": kept})
    return next(one.oracle for one in ready.references if isinstance(one.oracle, TorchOracle | Composite)), call


def _of_task(task: LayerTask, seed: int, family: str = "normal") -> tuple[Oracle, Call]:
    return task.reference(), task.call(Trial(family, "float64", 1 + seed * len(task.shapes)))


def _of_case(name: str, seed: int) -> tuple[Oracle, Call]:
    case = CASES[name]
    rng = np.random.default_rng([seed, *map(ord, name)])
    reference = oracle(case.reference)
    x = rng.standard_normal(case.shape)
    output = reference.vjp(Call(x))["output"]
    return reference, Call(x, cotangents=rng.standard_normal(output.shape))


def _hosts() -> Iterator[tuple[str, Pair]]:
    for fault in CATALOGUE.values():
        pair = fault.host.pair(fault.host.right)
        if isinstance(pair, Pair) and pair.wrong is None and callable(pair.reference) and not hasattr(pair.reference, "vjp"):
            yield fault.host.name, pair


def _is_of_torch(task: Task) -> TypeGuard[LayerTask]:
    return isinstance(task, LayerTask) and not task.images and not task.name.startswith("jax ")


def of_family(family: str) -> Mapping[str, Source]:
    """Return the references of right implementations in several ways, with calls that a family of inputs draws."""
    return {f"task {name}": partial(_of_task, task, family=family) for name, task in tasks().items() if _is_of_torch(task)}


@cache
def sources() -> Mapping[str, Source]:
    """Return a function for each reference that makes its oracle and draws a call in float64."""
    found: dict[str, Source] = {f"function {name}": partial(_of_pair, row.pair) for name, row in ROWS.items()}
    found |= {f"host {name}": partial(_of_pair, pair) for name, pair in _hosts()}
    found |= of_family("normal")
    return found | {f"case {name}": partial(_of_case, name) for name in CASES}
