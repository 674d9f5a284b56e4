"""Kinds of layers with an error theory of their own: the oracle of each, right implementations, and the verdict on one for a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from crosscheck.core.inputs import FAMILIES, labels
from crosscheck.core.judge import Judgement, Kind, judge
from crosscheck.core.operation import Call
from crosscheck.core.precision import Precision
from crosscheck.core.trace import Place
from crosscheck.oracles.theories import Scaling
from crosscheck.references.pytorch.oracle import TorchOracle, oracle
from tests.support import theory_cases as cases

ELEMENTS, SEEDS = 1_000_000, range(12)
DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Kinds:
    """A kind of layer: its oracle, the shape of its input, and right implementations by name."""

    oracle: Callable[[], TorchOracle]
    shape: tuple[int, ...]
    right: Mapping[str, cases.Layer]


def of(module: nn.Module) -> TorchOracle:
    return oracle(module)  # type: ignore[return-value]


def dropped(p: float) -> TorchOracle:
    """Return the oracle of dropout by a mask, which PyTorch itself has not."""

    class ByMask(TorchOracle):
        def _apply(self, inputs: Any, params: Any, given: Any, call: Call) -> Any:
            return inputs["input"] * torch.from_numpy(call.constants["mask"]) / (1 - p)

    return ByMask(nn.Identity(), Scaling(p))


NORMS: Mapping[str, cases.Layer] = {way: cases.batch_norm(way) for way in ("compact", "step by step", "fused")}
FIXED: Mapping[str, cases.Layer] = {way: cases.batch_norm(way, training=False) for way in ("compact", "fused")}
LAYERS: Mapping[str, Kinds] = {
    "batch norm 1d": Kinds(lambda: of(nn.BatchNorm1d(4)), (9, 4), NORMS),
    "batch norm 2d": Kinds(lambda: of(nn.BatchNorm2d(3)), (8, 3, 6, 5), NORMS),
    "batch norm, evaluation": Kinds(lambda: of(nn.BatchNorm2d(3).eval()), (4, 3, 4, 5), FIXED),
    "leaky relu": Kinds(lambda: of(nn.LeakyReLU(0.1)), (6, 50), {"choice": cases.leaky(0.1), "maximum": cases.leaky(0.1, by_maximum=True)}),
    "sigmoid": Kinds(
        lambda: of(nn.Sigmoid()),
        (6, 50),
        {
            "two arms": cases.elementwise(cases.sigmoid, lambda x: cases.sigmoid(x) * cases.sigmoid(-x)),
            "naive": cases.elementwise(cases.naive_sigmoid, lambda x: cases.naive_sigmoid(x) * (1 - cases.naive_sigmoid(x))),
        },
    ),
    "tanh": Kinds(
        lambda: of(nn.Tanh()),
        (6, 50),
        {
            "square": cases.elementwise(np.tanh, lambda x: 1 - np.tanh(x) ** 2),
            "factors": cases.elementwise(np.tanh, lambda x: (1 - np.tanh(x)) * (1 + np.tanh(x))),
            "cosh": cases.elementwise(np.tanh, lambda x: 1 / np.cosh(x) ** 2),
        },
    ),
    "gelu": Kinds(
        lambda: of(nn.GELU()),
        (6, 50),
        {
            "erf": cases.elementwise(cases.gelu, cases.gelu_slope_by_erf),
            "erfc": cases.elementwise(cases.gelu_by_erfc, cases.gelu_slope),
        },
    ),
    "gelu by tanh": Kinds(
        lambda: of(nn.GELU(approximate="tanh")),
        (6, 50),
        {
            "tanh": cases.elementwise(cases.gelu_tanh, cases.gelu_tanh_slope),
            "sigmoid": cases.elementwise(cases.gelu_by_sigmoid, cases.gelu_tanh_slope),
        },
    ),
    "log softmax": Kinds(
        lambda: of(nn.LogSoftmax(1)),
        (6, 10),
        {"depths": cases.of_log_softmax(cases.log_softmax), "maximum": cases.of_log_softmax(cases.log_softmax_by_maximum)},
    ),
    "log-likelihood": Kinds(lambda: of(nn.NLLLoss()), (6, 10), {"quotient": cases.of_labels(), "reciprocal": cases.of_labels(spread=True)}),
    "squared error": Kinds(lambda: of(nn.MSELoss()), (6, 10), {"mean": cases.squared_error(), "spread": cases.squared_error(spread=True)}),
    "dropout": Kinds(lambda: dropped(0.3), (6, 50), {"quotient": cases.dropout(0.3), "reciprocal": cases.dropout(0.3, reciprocal=True)}),
}


def call_of(kind: str, family: str, dtype: str, seed: int, shape: tuple[int, ...] = ()) -> Call:
    rng = np.random.default_rng(seed)
    x = FAMILIES[family].input(rng, shape or LAYERS[kind].shape, dtype)
    constants: dict[str, Any] = {"mask": rng.random(x.shape) < 0.7} if kind == "dropout" else {}
    params: dict[str, Any] = {}
    buffers: dict[str, Any] = {}
    if kind.startswith("batch norm"):
        channels = x.shape[1]
        params = {"weight": 1 + 0.3 * rng.standard_normal(channels), "bias": rng.standard_normal(channels)}
        buffers = {"running_mean": rng.standard_normal(channels), "running_var": rng.uniform(0.5, 2, channels)}
    if kind == "log-likelihood":
        constants["labels"] = labels(rng, *x.shape)
    if kind == "squared error":
        constants["labels"] = FAMILIES[family].input(rng, x.shape, dtype)
    loss = kind in ("log-likelihood", "squared error")
    grad_output = FAMILIES[family].grad_output(rng, () if loss else x.shape, dtype)
    arrays = [{name: value.astype(dtype) for name, value in given.items()} for given in (params, buffers)]
    return Call(x, arrays[0], grad_output, constants, arrays[1])


def judged(kind: str, layer: cases.Layer, call: Call) -> dict[str, Judgement]:
    """Judge every quantity of a layer for a call."""
    reference, precision = LAYERS[kind].oracle(), Precision(call.dtype, ELEMENTS)
    wide = call.astype(np.float64)
    expected = reference.vjp(wide)
    bounds = reference.rounding.bounds(reference, wide, expected, precision)
    with np.errstate(all="ignore"):
        found = layer(call)
    assert list(expected) == list(bounds) == list(found)
    return {
        name: judge(Place(0, kind, name), Kind.ISOLATED, np.asarray(found[name]), value, bounds[name], precision) for name, value in expected.items()
    }
