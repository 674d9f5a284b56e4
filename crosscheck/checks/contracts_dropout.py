"""The contract of dropout: each forward pass and each sample gets a new mask, which keeps elements with the declared probability.

A layer that always uses the same mask may still compute correctly with that mask.
"""

from __future__ import annotations

import numpy as np

from crosscheck.adapters.dropout_mask import Mask, mask_of
from crosscheck.checks.bench import Bench
from crosscheck.core.precision import Precision
from crosscheck.core.trace import Place
from crosscheck.training.mask_counts import DropoutRateTest, all_alike

_ENOUGH = 20_000
"""How many mask elements are drawn. By chance, the number of kept elements is then within 3 % of the expected number."""

_MOST = 200
"""The most forward passes that are run."""


def draws_new_masks(bench: Bench) -> str:
    """Dropout does not draw a new mask for each sample and each forward pass, or keeps a different share of the elements than declared."""
    assert bench.dropped is not None
    precision, masks = Precision(bench.call.dtype, bench.elements), _drawn(bench)
    if all_alike(np.stack(masks)[None], bench.dropped, precision):
        return f"the same mask in each of {len(masks)} forward passes"
    if all_alike(np.stack(masks), bench.dropped, precision):
        return "the same mask for every sample of a batch"
    count = DropoutRateTest(bench.dropped)
    judgements = [count.judge(Place(0, "dropout", "mask"), mask, precision) for mask in masks]
    return judgements[-1].reason


def _drawn(bench: Bench) -> list[Mask]:
    """Run forward passes of one instance until their masks have enough elements, and return the masks."""
    instance, layer, masks = bench.instance(), bench.layer, list[Mask]()
    while len(masks) < 2 or (len(masks) < _MOST and sum(mask.size for mask in masks) < _ENOUGH):
        found = bench.drawing(instance, bench.given(bench.call))
        results = {"output": layer.received("output", found["output"], bench.call)}
        if layer.mask:
            results["mask"] = layer.stored_mask(instance, bench.call)
        masks.append(mask_of(bench.call.x, results))
    return masks
