"""Contracts of networks that train. Each is a function that returns what is wrong, or an empty text; reports print its docstring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crosscheck.adapters.network_listened import TracedNetwork
from crosscheck.checks.bench import DoesNotApplyError, complaint, differing
from crosscheck.checks.check import Check
from crosscheck.checks.contracts import contract_check
from crosscheck.checks.models import comparison_of
from crosscheck.core.guard import SubjectError
from crosscheck.core.precision import Array
from crosscheck.pairs.model_pair import Batch
from crosscheck.pairs.prepare_model import PreparedModel, Trained


@dataclass(frozen=True)
class ModelBench:
    """Makes fresh networks with the pair's factory, and batches for them."""

    prepared: PreparedModel
    dtype: str
    seed: int

    def network(self) -> Trained:
        """Return a fresh network with the initial parameters."""
        return self.prepared.fresh(self.dtype, self.seed)

    def batches(self, count: int) -> list[Batch]:
        """Return the first ``count`` batches."""
        return self.prepared.batches(self.dtype, self.seed, count)


def batch_is_left_alone(bench: ModelBench) -> str:
    """Training changes the batch or the labels."""
    ((x, labels),) = bench.batches(1)
    network = bench.network()
    own, own_labels = network.train.batch(x), network.train.labels(labels)
    network.train(own, own_labels)
    given = {"the batch": network.train.batch(x), "the labels": np.asarray(network.train.labels(labels))}
    return complaint("changed in place", differing(given, {"the batch": own, "the labels": np.asarray(own_labels)}))


def same_start_same_result(bench: ModelBench) -> str:
    """Two networks with the same parameters and the same batches give different results."""
    batches, ends = bench.batches(2), []
    for _ in range(2):
        network = bench.network()
        losses = {f"the loss of step {step}": network.train(*_own(network, batch)) for step, batch in enumerate(batches, start=1)}
        ends.append(losses | network.params)
    return complaint("different the second time", differing(*ends))


def smaller_batch_works(bench: ModelBench) -> str:
    """Training is wrong on a smaller batch after a larger one, as at the end of an epoch."""
    if (size := bench.prepared.pair.shape[0]) == 1:
        raise DoesNotApplyError("the batch is a single sample")
    (full, (x, labels)), comparison = bench.batches(2), comparison_of(bench.prepared, bench.dtype, bench.seed, 0)
    comparison.step(*full)
    if comparison.first is not None:
        raise DoesNotApplyError("training on the full batch is wrong already")
    try:
        comparison.step(x[:-1], labels[:-1])
    except SubjectError as error:
        return f"a batch of {size - 1} after one of {size}: {error.reason}"
    first = comparison.first
    return f"a batch of {size - 1} after one of {size}: {first.judgement.place.layer}.{first.judgement.place.quantity} is wrong" if first else ""


def predicting_does_not_change_parameters(bench: ModelBench) -> str:
    """Predicting changes the parameters."""
    ((x, _),), network = bench.batches(1), bench.network()
    if not isinstance(network, TracedNetwork) and not network.predicts:
        raise DoesNotApplyError("there is no function that predicts")
    before = network.params
    network.predict(x)
    return complaint("changed by predicting", differing(before, network.params))


def networks_share_nothing(bench: ModelBench) -> str:
    """Training one network changes another network from the same factory."""
    batches, one, other = bench.batches(2), bench.network(), bench.network()
    before = one.params
    for batch in batches:
        other.train(*_own(other, batch))
    return complaint("changed by training another network", differing(before, one.params))


def _own(network: Trained, batch: Batch) -> tuple[Array, object]:
    """Return a batch in the subject's layout."""
    return network.train.batch(batch[0]), network.train.labels(batch[1])


MODEL_CONTRACTS: dict[str, Callable[[ModelBench], str]] = {
    contract.__name__: contract
    for contract in (batch_is_left_alone, same_start_same_result, smaller_batch_works, predicting_does_not_change_parameters, networks_share_nothing)
}


def model_contract_check(name: str) -> Check:
    """Return the check of one contract of a network."""
    return contract_check(MODEL_CONTRACTS[name], ModelBench)
