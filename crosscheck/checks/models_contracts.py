"""Contracts of networks that train. Each is a function that returns what is wrong, or an empty text; reports print its docstring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosscheck.adapters.network_listened import TracedNetwork
from crosscheck.adapters.whole_network import WholeNetwork
from crosscheck.causes.divergence import Divergence
from crosscheck.checks.bench import DoesNotApplyError, complaint, differing
from crosscheck.checks.check import Check
from crosscheck.checks.contracts import contract_check
from crosscheck.checks.models import comparison_of
from crosscheck.checks.whole import comparison_of as whole_comparison
from crosscheck.core.guard import SubjectError
from crosscheck.pairs.prepare_model import PreparedModel
from crosscheck.pairs.prepare_whole import PreparedWhole


@dataclass(frozen=True)
class ModelBench:
    """Makes fresh networks with the pair's factory, and batches for them."""

    prepared: PreparedModel | PreparedWhole
    dtype: str
    seed: int

    def network(self) -> Any:
        """Return a fresh network with the initial parameters."""
        return self.prepared.fresh(self.dtype, self.seed)

    def batches(self, count: int) -> list[dict[str, Any]]:
        """Return the first ``count`` batches, each with its arrays by name."""
        return self.prepared.batches(self.dtype, self.seed, count)

    def own(self, network: Any, batch: Mapping[str, Any]) -> list[Any]:
        """Return copies of a batch's arrays in the subject's layout."""
        if isinstance(network, WholeNetwork):
            return network.arguments(batch)
        x, labels = batch.values()
        return [network.train.batch(x), network.train.labels(labels)]

    def train(self, network: Any, arguments: list[Any]) -> Any:
        """Do one training step and return the loss."""
        return network.train(arguments, np.dtype(self.dtype)) if isinstance(network, WholeNetwork) else network.train(*arguments)

    def predict(self, network: Any, batch: Mapping[str, Any]) -> None:
        """Let a network predict."""
        if isinstance(network, WholeNetwork):
            network.predict(batch, np.dtype(self.dtype))
        else:
            network.predict(next(iter(batch.values())))

    def first_divergence(self, batches: Sequence[Mapping[str, Any]]) -> Divergence | None:
        """Return the first divergence of a training on these batches."""
        if isinstance(self.prepared, PreparedWhole):
            whole = whole_comparison(self.prepared, self.dtype, self.seed)
            for batch in batches:
                whole.step(batch)
            return whole.first
        comparison = comparison_of(self.prepared, self.dtype, self.seed, 0)
        for batch in batches:
            comparison.step(*batch.values())
        return comparison.first


def batch_is_left_alone(bench: ModelBench) -> str:
    """Training changes the batch or the labels."""
    ((batch,), network) = bench.batches(1), bench.network()
    own = bench.own(network, batch)
    bench.train(network, own)
    before, after = (
        {f"the {name}": np.asarray(value) for name, value in zip(batch, values, strict=True)} for values in (bench.own(network, batch), own)
    )
    return complaint("changed in place", differing(before, after))


def same_start_same_result(bench: ModelBench) -> str:
    """Two networks with the same parameters and the same batches give different results."""
    batches, ends = bench.batches(2), []
    for _ in range(2):
        network = bench.network()
        losses = {f"the loss of step {step}": bench.train(network, bench.own(network, batch)) for step, batch in enumerate(batches, start=1)}
        ends.append({name: loss for name, loss in losses.items() if loss is not None} | network.params)
    return complaint("different the second time", differing(*ends))


def smaller_batch_works(bench: ModelBench) -> str:
    """Training is wrong on a smaller batch after a larger one, as at the end of an epoch."""
    full, other = bench.batches(2)
    size = len(next(iter(full.values())))
    if size == 1:
        raise DoesNotApplyError("the batch is a single sample")
    if any(len(value) != size for value in other.values()):
        raise DoesNotApplyError("not every array of a batch has the samples as its first axis")
    smaller = {name: value[:-1] for name, value in other.items()}
    try:
        first = bench.first_divergence([full])
    except SubjectError:
        first = None
    if first is not None:
        raise DoesNotApplyError("training on the full batch is wrong already")
    try:
        first = bench.first_divergence([full, smaller])
    except SubjectError as error:
        return f"a batch of {size - 1} after one of {size}: {error.reason}"
    return f"a batch of {size - 1} after one of {size}: {first.judgement.place.layer}.{first.judgement.place.quantity} is wrong" if first else ""


def predicting_does_not_change_parameters(bench: ModelBench) -> str:
    """Predicting changes the parameters."""
    ((batch,), network) = bench.batches(1), bench.network()
    if not isinstance(network, TracedNetwork) and not network.predicts:
        raise DoesNotApplyError("there is no function that predicts")
    before = network.params
    bench.predict(network, batch)
    return complaint("changed by predicting", differing(before, network.params))


def networks_share_nothing(bench: ModelBench) -> str:
    """Training one network changes another network from the same factory."""
    batches, one, other = bench.batches(2), bench.network(), bench.network()
    before = one.params
    for batch in batches:
        bench.train(other, bench.own(other, batch))
    changed = complaint("changed by training another network", differing(before, one.params))
    return f"{changed}; let the factory make new arrays for each network" if changed else ""


MODEL_CONTRACTS: dict[str, Callable[[ModelBench], str]] = {
    contract.__name__: contract
    for contract in (batch_is_left_alone, same_start_same_result, smaller_batch_works, predicting_does_not_change_parameters, networks_share_nothing)
}


def model_contract_check(name: str) -> Check:
    """Return the check of one contract of a network."""
    return contract_check(MODEL_CONTRACTS[name], ModelBench)
