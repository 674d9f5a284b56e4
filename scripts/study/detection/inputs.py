"""What other tools' rules compare: the results of subject and framework on the inputs of the harness's own checks.

A layer is called once for each shape, family and precision. An optimizer and a model do several steps from the same start; after each step the
parameters are compared, and for a model its loss. If the framework's own result overflows, there is nothing to compare.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from crosscheck.adapters.network_listened import TracedNetwork
from crosscheck.checks.bench import copies
from crosscheck.checks.values import judged
from crosscheck.core.guard import SubjectError, as_array, contained
from crosscheck.core.inputs import EVALUATED, FAMILIES, Family
from crosscheck.core.operation import Arrays, Call, RefusedError, Shape
from crosscheck.core.training import TrainState
from crosscheck.pairs.declaration import Declaration
from crosscheck.pairs.model_pair import ModelPair
from crosscheck.pairs.optimizer_pair import GRADIENTS, OptimizerPair
from crosscheck.pairs.pair import Pair
from crosscheck.pairs.prepare import prepare
from crosscheck.pairs.prepare_model import PreparedModel, Trained
from crosscheck.pairs.prepare_optimizer import PreparedOptimizers
from crosscheck.pairs.prepared import Prepared
from crosscheck.pairs.trained_subject import Batch
from crosscheck.references.pytorch.optimizers import TorchOptimizer
from study.detection.rivals import Compared

TRAINING = "training"
"""The name of the family of a model's inputs, which are batches."""


def ones(rng: np.random.Generator, shape: Shape) -> npt.NDArray[np.float64]:
    """Return an upstream gradient of all ones, as in ``output.sum().backward()``."""
    return np.ones(shape)


def all_ones(family: Family) -> Family:
    """Return a family with an upstream gradient of all ones instead of a random one."""
    return replace(family, cotangent=ones)


def families_of(pair: Declaration) -> list[str]:
    """Return the kinds of inputs that the value checks of a pair use."""
    return list(FAMILIES) if isinstance(pair, Pair) else list(GRADIENTS) if isinstance(pair, OptimizerPair) else [TRAINING]


def compared(pair: Declaration, family: str, summed: bool, seed: int) -> Iterator[Compared]:
    """Yield every quantity of every call of a family, in both precisions; with ``summed``, upstream gradients are all ones."""
    for dtype in pair.dtypes:
        for one in _compared(pair, family, dtype, summed, seed):
            if np.isfinite(one.reference).all():
                yield one


def _compared(pair: Declaration, family: str, dtype: str, summed: bool, seed: int) -> Iterator[Compared]:
    if isinstance(pair, Pair):
        for prepared in in_modes(prepare(pair), family):
            for call in calls(prepared, family, dtype, summed, seed):
                yield from _layer(prepared, call, dtype)
    elif isinstance(pair, OptimizerPair):
        yield from _optimizer(prepare(pair), family, dtype, seed)
    elif isinstance(pair, ModelPair) and isinstance(ready := prepare(pair), PreparedModel) and dtype in ready.dtypes:
        yield from _model(ready, dtype, seed)


def in_modes(prepared: Prepared, family: str) -> Iterator[Prepared]:
    """Yield a pair in training mode, and also in evaluation mode if the harness checks both."""
    yield prepared
    training = prepared.references[0].training if prepared.references else None
    if training is not None and not prepared.no_evaluation and family in EVALUATED:
        yield prepared.evaluating


def calls(prepared: Prepared, family: str, dtype: str, summed: bool, seed: int) -> Iterator[Call]:
    """Yield the calls of a value check."""
    kind = all_ones(FAMILIES[family]) if summed else FAMILIES[family]
    for shape in prepared.cases_for(kind):
        try:
            yield prepared.call(shape, kind, dtype, seed)
        except RefusedError:
            continue  # the reference does not take this shape


def _layer(prepared: Prepared, call: Call, dtype: str) -> Iterator[Compared]:
    if not prepared.references:
        return
    check, _ = judged(prepared, call, dtype)
    if not check.expected:
        return
    try:
        reference = check.oracle.vjp(check.wide.astype(dtype))
    except RefusedError:
        return
    for quantity in check.expected:
        if quantity not in prepared.layer.absent:
            yield Compared(quantity, check.found.get(quantity), reference[quantity], check.expected[quantity])


def _optimizer(prepared: PreparedOptimizers, family: str, dtype: str, seed: int) -> Iterator[Compared]:
    oracle = prepared.references[0].oracle
    if not isinstance(oracle, TorchOptimizer):
        return
    start, grads = prepared.start(dtype, seed), prepared.gradients(family, dtype, seed)
    exact = oracle.run(start, grads)
    found = _stepped(prepared, start, grads)
    for number, reference in enumerate(_torch_steps(oracle, start, grads)):
        for name, value in reference.items():
            mine = found[number][name] if number < len(found) else None
            yield Compared(f"{name} after step {number + 1}", mine, value, exact[number].params[name])


def _stepped(prepared: PreparedOptimizers, start: Arrays, grads: Sequence[Arrays]) -> list[Arrays]:
    """Return the subject's parameters after each step, up to the first step that raises."""
    left: list[Arrays] = []
    try:
        with contained("a step"):
            stepper = prepared.convention.stepper(copies(dict(start)))
            for given in grads:
                stepper.step(copies(dict(given)))
                params = stepper.params()
                left.append({name: np.array(as_array(params.get(name), name, value.dtype)) for name, value in start.items()})
    except SubjectError:
        return left
    return left


def _torch_steps(oracle: TorchOptimizer, start: Arrays, grads: Sequence[Arrays]) -> Iterator[Arrays]:
    """Yield PyTorch's parameters after each step in the subject's precision."""
    params = {name: torch.from_numpy(np.array(value)).requires_grad_() for name, value in start.items()}
    optimizer = oracle.make(list(params.values()))
    for given in grads:
        for name, param in params.items():
            param.grad = torch.from_numpy(np.array(given[name]))
        optimizer.step()
        yield {name: param.detach().numpy().copy() for name, param in params.items()}


def _model(prepared: PreparedModel, dtype: str, seed: int) -> Iterator[Compared]:
    start = prepared.start(dtype, seed)
    twin, wide = (prepared.reference.make(np.dtype(kind), None, 0) for kind in (dtype, "float64"))
    network: Trained | None = prepared.fresh(dtype, seed)
    assert network is not None
    for one in (twin, wide):
        one.load(TrainState(start, {}, network.buffers))
    for number, batch in enumerate(prepared.batches(dtype, seed, prepared.pair.steps), start=1):
        found, constants = ({}, {}) if network is None else _step(network, copy.deepcopy(batch))
        network = network if found else None
        references = [{"loss": np.asarray(one.step(batch["input"], batch["labels"], constants=constants).loss), **one.params} for one in (twin, wide)]
        for name, value in references[0].items():
            as_given = value.astype(dtype)
            yield Compared(f"{name} after step {number}", found.get(name), as_given, references[1][name])


def _step(network: Trained, batch: Batch) -> tuple[Arrays, dict[str, Arrays]]:
    """Return the subject's loss and parameters after a step, and the masks that it drew; both are empty if it raises."""
    try:
        if isinstance(network, TracedNetwork):
            outcome = network.step(*batch.values())
            loss, constants = np.asarray(outcome.loss, next(iter(network.params.values())).dtype), dict(outcome.constants)
        else:
            loss, constants = network.step(*batch.values()), {}
        return {"loss": loss, **network.params}, constants
    except SubjectError:
        return {}, {}
