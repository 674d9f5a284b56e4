"""One training step of a small network by a reference in single precision, judged by the step of its oracles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crosscheck.core.judge import Kind, Verdict, judge
from crosscheck.core.precision import Array, Precision
from crosscheck.core.trace import Place, Trace
from crosscheck.core.training import TrainState
from crosscheck.oracles.step import OracleStep
from crosscheck.references.resolve import TrainingReference

RNG = np.random.default_rng(0)


X, LABELS = RNG.standard_normal((4, 5)).astype(np.float32), np.array([0, 1, 2, 0])


START = TrainState(
    {
        f"{layer}.{name}": RNG.standard_normal(shape).astype(np.float32)
        for layer, name, shape in (("first", "weight", (4, 5)), ("first", "bias", (4,)), ("second", "weight", (3, 4)), ("second", "bias", (3,)))
    }
)


PRECISION = Precision(np.dtype(np.float32), 1000)


UPDATED = [(layer, name) for layer in ("first", "second") for name in ("weight", "bias")]


def stepped(reference: TrainingReference, lr_factor: float = 1.0) -> dict[tuple[str, str], Array]:
    """Return what a reference's own step in single precision computes, the parameters after it included."""
    training, trace = reference.make(np.float32, None, 0), Trace(1)
    training.load(START)
    training.step(X, LABELS, trace, lr_factor=lr_factor)
    return dict(trace) | {(layer, name): training.params[f"{layer}.{name}"] for layer, name in UPDATED}


def verdicts(step: OracleStep, found: Mapping[tuple[str, str], Array]) -> dict[tuple[str, str], Verdict]:
    return {key: judge(Place(1, *key), Kind.WHOLE, found[key], *step.expected[key], PRECISION).verdict for key in step.expected}
