"""The masks that a dropout draws: new ones for each forward pass and each sample, which keep elements with the declared probability.

A layer can compute correctly with its mask although the mask was never drawn, or is always the same.
"""

from __future__ import annotations

import numpy as np

from crosscheck.adapters.dropout_mask import Mask, mask_of
from crosscheck.checks.bench import Bench
from crosscheck.core.precision import Precision
from crosscheck.core.trace import Place
from crosscheck.training.mask_counts import DropoutRateTest, all_alike

_ENOUGH = 20_000
"""Elements that are drawn: of so many, chance keeps within 3 % of the number expected."""

_MOST = 200
"""Forward passes that are run at most."""


def masks_are_drawn(bench: Bench) -> str:
    """Draw a mask of its own for each sample and each forward pass, which keeps elements with the probability that is declared."""
    assert bench.dropped is not None
    precision, masks = Precision(bench.call.x.dtype, bench.elements), _drawn(bench)
    if all_alike(np.stack(masks)[None], bench.dropped, precision):
        return f"the same mask in each of {len(masks)} forward passes"
    if all_alike(np.stack(masks), bench.dropped, precision):
        return "the same mask for every sample of a batch"
    count = DropoutRateTest(bench.dropped)
    judgements = [count.judge(Place(0, "dropout", "mask"), mask, precision) for mask in masks]
    return judgements[-1].reason


def _drawn(bench: Bench) -> list[Mask]:
    """Return the masks of forward passes of one instance, until there are enough elements."""
    instance, layer, masks = bench.instance(), bench.layer, list[Mask]()
    while len(masks) < 2 or (len(masks) < _MOST and sum(mask.size for mask in masks) < _ENOUGH):
        found = bench.drawing(instance, bench.given(bench.call))
        results = {"output": layer.received("output", found["output"], bench.call)}
        if layer.mask:
            results["mask"] = layer.stored_mask(instance, bench.call)
        masks.append(mask_of(bench.call.x, results))
    return masks
