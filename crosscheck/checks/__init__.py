"""The checks of each kind of pair. A check is a small function that returns a verdict and the evidence for it.

A check gets a prepared pair and does not depend on reports, test frameworks or other checks. To add a check, write one function and add one line to
the lists below.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from crosscheck.checks.check import Check, CheckResult, Settings
from crosscheck.checks.contracts import CONTRACTS, OF_DROPOUTS, layer_contract_check
from crosscheck.checks.gradients import difference_check
from crosscheck.checks.models import freerun_check, lockstep_check
from crosscheck.checks.models_contracts import MODEL_CONTRACTS, model_contract_check
from crosscheck.checks.optimizers import CONTRACTS as UPDATE_CONTRACTS
from crosscheck.checks.optimizers import update_check, update_contract_check
from crosscheck.checks.special import special_checks
from crosscheck.checks.values import evaluation_check, value_check
from crosscheck.checks.whole import predict_check, steps_check
from crosscheck.core.inputs import EVALUATED, FAMILIES
from crosscheck.core.operation import DTYPES
from crosscheck.pairs.declaration import Declaration
from crosscheck.pairs.model_pair import ModelPair
from crosscheck.pairs.optimizer_pair import GRADIENTS, OptimizerPair
from crosscheck.pairs.pair import Pair
from crosscheck.references.resolve import in_training

__all__ = ["Check", "CheckResult", "Settings", "checks_of"]


def checks_of(pair: Declaration) -> list[Check]:
    """Return all checks of a pair, including checks that turn out not to apply; none if the declaration, on which they depend, is wrong."""
    if pair.wrong is not None:
        return []
    for kind, checks in _CHECKS.items():
        if isinstance(pair, kind):
            return checks(pair)
    raise TypeError(f"a {type(pair).__name__} is not a Pair, OptimizerPair or ModelPair")


def _of_layer(pair: Pair) -> list[Check]:
    """Return a layer's checks: values in float64 (is the mathematics right?) and float32 (are the numerics right?), evaluation mode, contracts."""
    training, contracts = None, [*CONTRACTS]
    if pair.reference is None:
        values = [difference_check(family) for family in FAMILIES]
    else:
        values = [value_check(dtype, family) for dtype, family in itertools.product(DTYPES, FAMILIES)]
        values += special_checks(pair, DTYPES)
        first = pair.reference[0] if isinstance(pair.reference, list | tuple) and pair.reference else pair.reference
        training = in_training(first, pair.framework)
    if training is not None:
        values += [evaluation_check(dtype, family) for dtype, family in itertools.product(DTYPES, EVALUATED)]
        contracts += [] if training.dropped is None else [*OF_DROPOUTS]
    return [*values, *(layer_contract_check(name) for name in contracts)]


def _of_model(pair: ModelPair) -> list[Check]:
    """Return a model's checks: single steps and a free run, or predictions, first in float64, then in float32, followed by the contracts."""
    kinds = (lockstep_check, freerun_check) if pair.in_layers else (steps_check, predict_check)
    runs = [check(dtype) for dtype in DTYPES for check in kinds]
    return [*runs, *(model_contract_check(name) for name in MODEL_CONTRACTS)]


def _of_optimizer(pair: OptimizerPair) -> list[Check]:
    """Return an optimizer's checks: steps in float64, steps in float32, then the contracts."""
    values = [update_check(dtype, family) for dtype, family in itertools.product(DTYPES, GRADIENTS)]
    return [*values, *(update_contract_check(name) for name in UPDATE_CONTRACTS)]


_CHECKS: dict[type[Declaration], Callable[[Any], list[Check]]] = {
    Pair: _of_layer,
    OptimizerPair: _of_optimizer,
    ModelPair: _of_model,
}
