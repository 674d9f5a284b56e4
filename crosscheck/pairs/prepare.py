"""Prepare a pair: work out everything that follows from its declaration, once, before the checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

from crosscheck.adapters.convention import ConventionError
from crosscheck.adapters.layout import LayoutError
from crosscheck.adapters.match_params import MappingError
from crosscheck.core.operation import RefusedError
from crosscheck.pairs.declaration import Declaration, Ready
from crosscheck.pairs.model_pair import ModelPair
from crosscheck.pairs.optimizer_pair import OptimizerPair
from crosscheck.pairs.pair import Pair
from crosscheck.pairs.prepare_layer import prepare_layer
from crosscheck.pairs.prepare_model import PreparedModel, prepare_model
from crosscheck.pairs.prepare_optimizer import PreparedOptimizers, prepare_optimizer
from crosscheck.pairs.prepare_whole import PreparedWhole, prepare_whole
from crosscheck.pairs.prepared import Prepared
from crosscheck.references.resolve import UnknownReferenceError


@overload
def prepare(pair: Pair) -> Prepared: ...
@overload
def prepare(pair: OptimizerPair) -> PreparedOptimizers: ...
@overload
def prepare(pair: ModelPair) -> PreparedModel | PreparedWhole: ...
@overload
def prepare(pair: Declaration) -> Ready: ...
def prepare(pair: Declaration) -> Any:
    """Return the prepared pair; further calls with the same pair return the same object.

    Raises
    ------
    PairError
        If the declaration does not fit or is ambiguous.
    SubjectError
        If the subject cannot be created or copied.
    """
    if pair.wrong is not None:
        raise pair.wrong
    known = vars(pair)
    if _READY not in known:
        try:
            known[_READY] = next(make for kind, make in _PREPARE.items() if isinstance(pair, kind))(pair)
        except (ConventionError, MappingError, LayoutError, UnknownReferenceError, RefusedError) as error:
            raise pair.error(error) from error
    return known[_READY]


_READY = "_ready"
"""The attribute of a pair that holds its prepared form."""

_PREPARE: dict[type[Declaration], Callable[[Any], Ready]] = {
    Pair: prepare_layer,
    OptimizerPair: prepare_optimizer,
    ModelPair: lambda pair: prepare_model(pair) if pair.in_layers else prepare_whole(pair),
}
