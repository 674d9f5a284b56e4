"""Every scratch layer, plain and fast, without running statistics or masks keeps every contract, in both precisions.

Batch normalisation has its contracts in test_normalisation.py; those of dropout are in test_dropout.py.
"""

from __future__ import annotations

import functools
import random
from dataclasses import replace

import numpy as np
import pytest

import scratch
from crosscheck.adapters.adapted_layer import AdaptedLayer
from crosscheck.adapters.objects import Dicts
from crosscheck.checks.bench import Bench, DoesNotApplyError
from crosscheck.checks.contracts import CONTRACTS
from crosscheck.core.operation import Call
from scratch.networks import Kernels
from scratch.normalisation import BatchNorm
from tests.support.cases import CASES
from tests.support.layer_runs import DTYPES, Run, call_of, made, subject_of, twin_of

BATCH, SMALLER = 3, 2
STATELESS = [(case, kernels) for case, row in CASES.items() if not isinstance(made(case), BatchNorm | scratch.Dropout) for kernels in row.kernels]
NOT_ASKED = {
    "another_size_works": "the declared shapes differ only in the number of samples",
    "gradients_accumulate_as_declared": "gradients are not declared to accumulate",
    "same_output_in_both_modes": "your code has no training and evaluation mode",
    "backward_uses_the_mode_of_forward": "your code has no training and evaluation mode",
    "handles_minus_infinity": "the operation itself is not finite where its input is minus infinity",
    "output_is_not_a_view": "the operation only rearranges its input: a view of it is usual",
    "grad_input_is_not_a_view": "the operation only rearranges its input: a view of the upstream gradient is usual",
}
"""Contracts that say nothing about some layers, and why; any other reason fails."""


@functools.cache
def calls_of(case: str, dtype: str) -> tuple[Call, Call, Call]:
    """Return a call, one with other numbers and a smaller one, for the benches of all contracts; a bench copies them."""
    call, other, smaller = (call_of(Run(case, batch, "normal", dtype, seed)) for batch, seed in ((BATCH, 0), (BATCH, 1), (SMALLER, 0)))
    return call, other, smaller


def bench_of(case: str, dtype: str, kernels: Kernels) -> Bench:
    """Return a layer that was never used, with weights from the table."""
    call, other, smaller = calls_of(case, dtype)
    return Bench(
        subject_of(case, kernels=kernels),
        call,
        replace(other, params=call.params),
        smaller,
        rearranges=case in ("flatten", "maxpool2d-1"),
        retrained=replace(call, params=other.params) if other.params else None,
        reference=twin_of(case)[0],
        samples=len(call.x),
        drawn=lambda samples: replace(call_of(Run(case, samples, "normal", dtype, 0)), params=call.params),
    )


def has_params(case: str) -> bool:
    """Return whether a layer has parameters."""
    return bool(calls_of(case, "float64")[0].params)


def broken_by(case: str, dtype: str, kernels: Kernels) -> dict[str, str]:
    """Return the broken contracts of a layer, and those that do not apply for an unexpected reason, each with its reason."""
    found = {}
    allowed = {""} if has_params(case) else {"", "there are no parameters"}
    for name, contract in CONTRACTS.items():
        try:
            found[name] = contract(bench_of(case, dtype, kernels))
        except DoesNotApplyError as error:
            found[name] = str(error)
    return {name: reason for name, reason in found.items() if reason not in allowed | {NOT_ASKED.get(name, "")}}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("case", "kernels"), STATELESS)
def test_contracts(case: str, kernels: Kernels, dtype: str) -> None:
    """A contract that does not apply says so for a reason that is known."""
    assert broken_by(case, dtype, kernels) == {}


def test_every_broken_contract_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that changes its input and seeds a generator that it shares with others breaks two contracts."""
    right = scratch.Linear.forward

    def forward(self: scratch.Linear, x: np.ndarray) -> np.ndarray:
        random.seed(0)
        output = right(self, x.copy())
        x += 1
        return output

    monkeypatch.setattr(scratch.Linear, "forward", forward)
    assert list(broken_by("linear", "float64", "plain")) == ["inputs_are_left_alone", "random_generators_are_not_seeded"]


@pytest.mark.parametrize(("case", "kernels"), STATELESS)
def test_the_harness_works_on_a_copy(case: str, kernels: Kernels) -> None:
    """Asking a layer about values leaves the layer that trains as it was."""
    call, smaller = (call_of(Run(case, batch, "normal", "float64", 0)) for batch in (BATCH, SMALLER))
    layer = made(case, kernels)
    subject = AdaptedLayer(Dicts(layer), twin_of(case)[1])
    before = {name: np.array(value) for name, value in getattr(layer, "params", {}).items()}
    subject.vjp(call)
    subject.vjp(smaller)
    after = getattr(layer, "params", {})
    assert [name for name in before if not np.array_equal(before[name], after[name])] == []
    assert not getattr(layer, "grads", {})
