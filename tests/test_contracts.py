"""Every scratch layer keeps every contract, in both precisions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import CASES, DTYPES, Run, call_of, subject_of
from contracts import CONTRACTS

from crosscheck.layout import LayerLayout
from crosscheck.operation import Call
from reference.pytorch import twin


def layer_of(case: str, call: Call) -> Any:
    """Return a layer that was never used, with the weights of a call."""
    layer = CASES[case].make(np.random.default_rng(0))
    layout: LayerLayout = twin(layer)[1]
    for name, parameter in layout.params.items():
        layer.params[name] = np.array(parameter.layout.to_subject(call.params[parameter.name]), order="C")
    return layer


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("case", CASES)
def test_contract(case: str, contract: str, dtype: str) -> None:
    call, smaller = (call_of(Run(case, batch, "normal", dtype, 0)) for batch in (3, 2))
    broken = CONTRACTS[contract](layer_of(case, call), call, smaller)
    assert broken == ""


@pytest.mark.parametrize("case", CASES)
def test_the_harness_works_on_a_copy(case: str) -> None:
    """Asking a layer about values leaves the layer that trains as it was."""
    call, smaller = (call_of(Run(case, batch, "normal", "float64", 0)) for batch in (3, 2))
    layer = layer_of(case, call)
    before = {name: np.array(value) for name, value in getattr(layer, "params", {}).items()}
    subject_of(layer).vjp(smaller)
    after = getattr(layer, "params", {})
    assert [name for name in before if not np.array_equal(before[name], after[name])] == []
    assert not getattr(layer, "grads", {})
