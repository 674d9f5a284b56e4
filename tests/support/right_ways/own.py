"""The layers of scratch/, row by row of the table of layers, and JAX's versions of some of them as subjects beside JAX in float64.

JAX takes the smallest numbers for zero. Its own error theory knows that of the oracle, and the precision says it of the subject.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

import numpy as np

import reference.jax
import reference.pytorch
from crosscheck.adapters.adapted_layer import AdaptedLayer
from crosscheck.adapters.objects import Dicts
from crosscheck.core.judge import Verdict
from crosscheck.core.operation import Oracle
from crosscheck.core.precision import Precision
from crosscheck.references.pytorch.oracle import oracle
from reference.copying import layout_of
from tests.support.cases import CASES, Case
from tests.support.right_ways.frameworks import jax_ways
from tests.support.right_ways.task import Flushing, LayerTask, Way

IN_JAX = (
    "conv2d-s2p1 conv2d-same-even maxpool2d-3s2p1 avgpool2d-3s2p1 linear sigmoid tanh gelu logsoftmax softmaxcrossentropy batchnorm2d "
    "batchnorm1d-evaluation"
)
"""Rows whose version in JAX is a subject, too."""


def _task(name: str, row: str, written: dict[str, Way], own: Oracle, cost: float, kind: type[Precision] = Precision) -> LayerTask:
    case = CASES[row]
    layer = case.make(np.random.default_rng(0))
    layout = layout_of(layer)
    params = {p.name: p.layout.to_reference(np.zeros(layer.params[ours].shape)).shape for ours, p in layout.params.items()}
    buffers = {b.name: np.shape(layer.buffers[ours]) for ours, b in layout.buffers.items()}
    shapes = [(batch, *case.sample) for batch in case.batches]
    return LayerTask(name, lambda: own, written, shapes, params, buffers, case.constants, cost=cost, kind=kind)


def _in_scratch(row: str) -> LayerTask:
    layer = CASES[row].make(np.random.default_rng(0))
    written: dict[str, Way] = {"scratch": AdaptedLayer(Dicts(layer), layout_of(layer)).vjp}
    return _task(f"scratch {row}", row, written, oracle(reference.pytorch.twin(layer)), 3.0)


def _in_jax(row: str) -> LayerTask:
    twin = reference.jax.twin(CASES[row].make(np.random.default_rng(0)))
    return _task(f"jax {row}", row, dict(jax_ways(twin)), twin, 25.0, Flushing)


def _as_torch(case: Case) -> bool:
    """Return whether a row is declared to differ from PyTorch nowhere, as one with another tie rule does."""
    return not any(one.verdict is Verdict.MISMATCH and fnmatchcase("torch", one.where.split("-")[0]) for one in case.declared)


def tasks() -> Iterator[LayerTask]:
    yield from (_in_scratch(row) for row, case in CASES.items() if _as_torch(case))
    yield from map(_in_jax, IN_JAX.split())
