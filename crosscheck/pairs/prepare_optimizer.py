"""A prepared pair of optimizers: its references, and the initial parameters and gradients of its checks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from crosscheck.adapters.optimizers import OptimizerConvention
from crosscheck.adapters.recognise_optimizer import recognise_optimizer
from crosscheck.core.operation import DTYPES
from crosscheck.core.precision import Array
from crosscheck.pairs.declaration import Ready
from crosscheck.pairs.optimizer_pair import GRADIENTS, OptimizerPair
from crosscheck.references.resolve import OptimizerReference, resolved_optimizer

_FEW = 5
"""The most steps in families other than normal numbers: a counter of steps is the same in all of them."""


@dataclass(frozen=True)
class PreparedOptimizers(Ready):
    """A prepared pair of optimizers."""

    pair: OptimizerPair
    convention: OptimizerConvention
    references: list[OptimizerReference]  # the first one supplies the expected values
    elements: int
    inferred: list[str] = field(default_factory=list)

    def start(self, dtype: str, seed: int) -> dict[str, Array]:
        """Return the parameters before the first step."""
        rng = self.rng(seed, "start")
        return {name: rng.standard_normal(shape).astype(dtype) for name, shape in self.pair.shapes.items()}

    def gradients(self, family: str, dtype: str, seed: int) -> list[dict[str, Array]]:
        """Return the gradients of every step."""
        rng, draw, steps = self.rng(seed, family), GRADIENTS[family], self.pair.steps if family == "normal" else min(self.pair.steps, _FEW)
        return [{name: draw(rng, shape).astype(dtype) for name, shape in self.pair.shapes.items()} for _ in range(steps)]


def prepare_optimizer(pair: OptimizerPair) -> PreparedOptimizers:
    """Return a prepared pair; raise if the reference does not make an optimizer, or has no state with a declared name."""
    given = pair.reference if isinstance(pair.reference, list | tuple) else [pair.reference]
    references = [resolved_optimizer(reference, pair.framework, pair.schedule) for reference in given]
    start = {name: np.ones(shape) for name, shape in pair.shapes.items()}
    kept = [reference.oracle.run(start, [start])[0].state for reference in references]
    if not references:
        raise pair.error("no reference is given")
    for mine, theirs in pair.state.items():
        for state in kept:
            if theirs not in state:
                raise pair.error(f"state[{mine!r}] is {theirs!r}, but the reference's states are: {', '.join(state) or 'nothing'}")
    sizes = sum(int(np.prod(shape)) for shape in pair.shapes.values())
    elements = sizes * (1 + len(pair.state)) * pair.steps * len(GRADIENTS) * len(DTYPES)
    convention, way = recognise_optimizer(pair.subject, pair.shapes)
    return PreparedOptimizers(pair, convention, references, elements, [f"it is called as {way}"] if way else [])
