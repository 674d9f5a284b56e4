"""Whole networks under test, and how they are trained: on the digits that ship, a hundred steps in lock-step with PyTorch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from digits.batches import batches
from digits.files import SHIPPED, Digits, load
from training.run import Plan, compared
from training.subjects import Twins, layered

import scratch
from crosscheck.core.judge import Judgement
from crosscheck.core.precision import Array
from crosscheck.training.listened import TrainingComparison
from reference.copying import settings_of
from scratch.initialisers import he_normal
from scratch.networks import tutorial
from scratch.optimizer import Optimizer

STEPS = 100
PERTURBED = 2


@dataclass(frozen=True)
class Network:
    """A network and its training."""

    make: Callable[[np.random.Generator, npt.DTypeLike], scratch.Sequential]
    optimizer: Callable[[dict[str, Array]], Optimizer]
    batch_size: int
    steps: int = STEPS


def every_layer(rng: np.random.Generator, dtype: npt.DTypeLike) -> scratch.Sequential:
    """Return a network of two convolutions and two linear layers, with every kind of layer in it, whose signal keeps its size."""
    model = scratch.Sequential(
        conv1=scratch.Conv2d(1, 4, 3, padding=1, rng=rng, dtype=dtype),
        relu1=scratch.ReLU(),
        pool1=scratch.MaxPool2d(3, stride=2),
        conv2=scratch.Conv2d(4, 6, (3, 2), stride=2, rng=rng, dtype=dtype),
        relu2=scratch.ReLU(),
        flatten=scratch.Flatten(),
        linear1=scratch.Linear(6 * 6 * 6, 20, rng=rng, dtype=dtype),
        relu3=scratch.ReLU(),
        linear2=scratch.Linear(20, 10, rng=rng, dtype=dtype),
    )
    for name, value in model.params.items():
        if name.endswith("weight"):
            fan_in = value[0].size if value.ndim == 4 else len(value)
            np.multiply(value, np.sqrt(fan_in), out=value)
        else:
            value[...] = rng.standard_normal(value.shape) / 10
    return model


def every_connection(rng: np.random.Generator, dtype: npt.DTypeLike) -> scratch.Sequential:
    """Return a small network with residual blocks, running statistics and a dropout."""

    def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> scratch.Conv2d:
        return scratch.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False, rng=rng, dtype=dtype, init=he_normal)

    return scratch.Sequential(
        conv=conv(1, 4, 3, 2),
        norm=scratch.BatchNorm2d(4, dtype=dtype),
        relu=scratch.ReLU(),
        block1=scratch.Residual(
            scratch.Sequential(conv1=conv(4, 4, 3), norm1=scratch.BatchNorm2d(4, dtype=dtype), relu=scratch.ReLU(), conv2=conv(4, 4, 3)),
        ),
        block2=scratch.Residual(scratch.Sequential(relu=scratch.LeakyReLU(), conv=conv(4, 6, 3, 2)), conv(4, 6, 1, 2)),
        tanh=scratch.Tanh(),
        pool=scratch.GlobalAveragePool2d(),
        dropout=scratch.Dropout(0.25, rng=rng),
        linear=scratch.Linear(6, 10, rng=rng, dtype=dtype),
    )


NETWORKS = {
    "tutorial": Network(tutorial, partial(scratch.SGD, lr=0.005), 1),
    "every-layer": Network(every_layer, partial(scratch.SGD, lr=0.01, momentum=0.9, weight_decay=0.001), 3),
    "every-connection": Network(every_connection, partial(scratch.Adam, lr=0.01), 4, steps=20),
}


@functools.cache
def digits() -> Digits:
    """Return the digits that ship."""
    return load(SHIPPED)


def trained(twins: Twins, plan: Plan, seed: int = 0, between: Callable[[int], None] = lambda step: None) -> TrainingComparison:
    """Do all steps of a plan, call ``between`` after each, and return the comparison."""
    comparison = compared(twins, plan, digits())
    for step, batch in enumerate(batches(digits(), plan, np.random.default_rng(seed)), start=1):
        comparison.step(batch.x, batch.labels, check=(step - 1) % plan.check_every == 0)
        between(step)
    comparison.look()
    return comparison


def first_of(comparison: TrainingComparison) -> Judgement:
    """Return the judgement that is the first divergence of a comparison."""
    assert comparison.first is not None
    return comparison.first.judgement


@functools.cache
def comparison_of(network: str, dtype: str) -> TrainingComparison:
    """Return the comparison of a network of the table, once it has trained."""
    row = NETWORKS[network]
    model = row.make(np.random.default_rng(0), dtype)
    twins = layered(model, row.optimizer(model.trainable_params))
    return trained(twins, Plan(np.dtype(dtype), row.batch_size, row.steps, 1, PERTURBED, 0))


def quantities_in(row: Network) -> tuple[tuple[str, str], ...]:
    """Return (layer, quantity) for everything that a step of a network makes, wires included."""
    model = row.make(np.random.default_rng(0), np.float64)
    kept = settings_of(row.optimizer(model.trainable_params)).states
    result = []
    for name, layer in model.layers.items():
        result += [(name, "input"), (name, "output"), (name, "grad_output"), (name, "grad_input")]
        for buffer in layer.buffers:
            result += [(name, f"{buffer}.before"), (name, buffer)]
        for parameter in layer.params:
            result += [(name, f"{parameter}.before"), (name, f"{parameter}.grad"), (name, parameter)]
            for state in kept:
                result += [(name, f"{parameter}.{state}.before"), (name, f"{parameter}.{state}")]
    return (*result, ("loss", "input"), ("loss", "output"), ("loss", "grad_input"))
